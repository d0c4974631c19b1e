#!/usr/bin/env python3
"""Checks that no instruction set level leaks into code that runs on every machine.

    scripts/check_symbols.py BUILD_DIRECTORY

Kernels are compiled once per level. A function that such a file shares with others (an inline one
from a header: a weak symbol) may be the copy that the linker keeps for everybody, and then crashes
older machines. So, for every object file:
- a kernel's object defines no weak symbols, exports nothing outside its own namespace
  fastnn::<level>, and runs no code at load time;
- an object that is not of an AVX level contains no AVX instruction.
Exit status 1 when a rule is broken. Build without sanitizers: they add symbols of their own.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

LEVELS = ("baseline", "avx2", "avx512", "avx512_bf16", "amx")
KERNEL = re.compile(rf"fastnn_\w+?_({'|'.join(sorted(LEVELS, key=len, reverse=True))})\.dir/")
# AVX and later encode with VEX or EVEX: names that begin with v, and k for the mask registers.
AVX = re.compile(
    r"\t(v(?!err\b|erw\b|mcall\b|mxoff\b)[a-z0-9]+"
    r"|k(?:mov|and|or|xor|not|shift|unpck|test)[a-z]*)\s"
)
FUNCTION = re.compile(r"^[0-9a-f]+ <(.+)>:$")


def output_of(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def symbol_faults(path: Path, level: str) -> Iterator[str]:
    for line in output_of("nm", "--defined-only", "--demangle", str(path)).splitlines():
        _, kind, name = line.split(" ", 2)
        if kind in "WVuwv":
            yield f"weak symbol {name}"
        elif kind.isupper() and not re.search(rf"\bfastnn::{level}::", name):
            yield f"exported outside of fastnn::{level}: {name}"
    for section in output_of("objdump", "--section-headers", str(path)).split():
        if section.startswith((".init_array", ".ctors")):
            yield f"code that runs at load time ({section})"


def instruction_faults(path: Path) -> Iterator[str]:
    function = "?"
    seen = set()
    listing = output_of("objdump", "-d", "--demangle", "--no-show-raw-insn", str(path))
    for line in listing.splitlines():
        if start := FUNCTION.match(line):
            function = start[1]
        elif (found := AVX.search(line)) and function not in seen:
            seen.add(function)
            yield f"AVX instruction {found[1]} in {function}"


def main() -> int:
    if len(sys.argv) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    objects = sorted(Path(sys.argv[1]).rglob("*.o"))
    levels = {path: match[1] for path in objects if (match := KERNEL.search(str(path)))}
    if not levels:
        print(f"no kernel objects below {sys.argv[1]}: build first", file=sys.stderr)
        return 1
    faults = 0
    for path in objects:
        level = levels.get(path)
        found = list(symbol_faults(path, level)) if level else []
        if level in (None, "baseline"):
            found += instruction_faults(path)
        for fault in found:
            print(f"{path}: {fault}")
        faults += len(found)
    print(f"{len(objects)} objects, {len(levels)} of kernels: {faults or 'no'} faults")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
