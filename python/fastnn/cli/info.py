"""``fastnn info``: version, instruction set levels, threads, CUDA, memory."""

from __future__ import annotations

import argparse
import json
import os
from typing import Any


def add_parser(commands: Any) -> None:
    p = commands.add_parser("info", help="what this installation has and uses", description=__doc__)
    p.add_argument("--json", action="store_true", help="as JSON")
    p.set_defaults(run=run)


def facts() -> dict[str, Any]:
    from .. import _core
    from ..training.report import machine, versions

    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return {
        "versions": versions(),
        "machine": machine(),
        "isa levels": _core.isa_levels(),
        "isa in use": _core.isa(),
        "threads": _core.num_threads(),
        "cuda": "not in this build (CPU only)",
        "memory": {"total_gb": round(pages / 2**30, 1), **_core.memory_stats()},
    }


def run(args: argparse.Namespace) -> int:
    found = facts()
    if args.json:
        print(json.dumps(found, indent=2))
        return 0
    memory, where = found["memory"], found["machine"]
    print(f"fastnn {found['versions']['fastnn']}")
    print("python {python}, numpy {numpy}, ml_dtypes {ml_dtypes}".format(**found["versions"]))
    print(f"cpu      {where['cpu']}, {where['cores']} cores")
    print(f"isa      {found['isa in use']} in use; this CPU has {', '.join(found['isa levels'])}")
    print(f"threads  {found['threads']}")
    print(f"cuda     {found['cuda']}")
    print(
        f"memory   {memory['total_gb']} GB; pool: {memory['allocated']:,} bytes in use, "
        f"{memory['cached']:,} cached"
    )
    return 0
