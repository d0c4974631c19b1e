"""The lane maps of tests/cuda/lane_maps.txt as the PTX ISA gives them, written without a look at the shim.

    python scripts/cuda_lane_maps.py            compares the committed file with the PTX ISA
    python scripts/cuda_lane_maps.py --write    writes it, until a GPU has (scripts/gpu_check.py calibration)

Elements of fragments are numbered lane by lane, then register, then half.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

FILE = Path(__file__).resolve().parent.parent / "tests/cuda/lane_maps.txt"
SOURCE = "# source: the PTX ISA 9.0, not yet hardware\n"
LANES = range(32)


def line(name: str, values: Iterable[int]) -> str:
    return f"{name}: {' '.join(map(str, values))}\n"


def ldmatrix(trans: bool) -> Iterator[str]:
    """Thread i of matrix m gets row i / 4, elements 2 (i % 4) and the next."""
    name = "ldmatrix.x4" + ".trans" * trans
    for matrix in range(4):
        for half in (0, 1):
            places = [(i // 4, i % 4 * 2 + half) for i in LANES]
            values = [64 * matrix + (8 * c + r if trans else 8 * r + c) for r, c in places]
            yield line(f"{name} r{matrix}.{'hi' if half else 'lo'}", values)


def warp() -> Iterator[str]:
    yield line("warp shfl.xor 5", (i ^ 5 for i in LANES))
    yield line("warp shfl.up 3", (i - 3 if i >= 3 else i for i in LANES))
    yield line("warp shfl.down 3", (i + 3 if i + 3 < 32 else i for i in LANES))
    yield line("warp shfl.idx 7i", (7 * i % 32 for i in LANES))
    yield line("warp ballot i%3", (int(i % 3 == 0) for i in LANES))


def copies() -> Iterator[str]:
    """The bytes beyond src-size are zeros; words beyond cp-size keep their 9."""
    yield line("cp.async 0 of 16", (0, 0, 0, 0))
    yield line("cp.async 12 of 16", (1, 2, 3, 0))
    yield line("cp.async 16", (1, 2, 3, 4))
    yield line("cp.async 4 of 8", (1, 0, 9, 9))
    yield line("cp.async 4", (1, 9, 9, 9))


def rounding() -> Iterator[str]:
    """1 + i / 32 ulp: .rn is to the nearest, ties to even; .rna ties away from zero."""
    one = {"bf16": 0x3F80, "f16": 0x3C00, "tf32": 0x3F800000 >> 13}
    for name, ties_up in (("bf16", False), ("f16", False), ("tf32", True)):
        yield line(f"round {name}", (one[name] + (i > 16 or (i == 16 and ties_up)) for i in LANES))


def mma(name: str, halves: int, a_place: dict, b_place: dict) -> Iterator[str]:
    """For each element of a: the first sum that it reaches, and the elements of b in its row of k.

    c_i lies in row lane / 4 (i < 2) or lane / 4 + 8, column lane % 4 * 2 + i % 2.
    """
    sums = {(i // 4 + 8 * (r // 2), i % 4 * 2 + r % 2): 4 * i + r for i in LANES for r in range(4)}
    for element in range(32 * 4 * halves):
        row, k = a_place[element]
        by_place = sorted((sums[row, n], e) for e, (kb, n) in b_place.items() if kb == k)
        yield line(f"{name} a{element}", [by_place[0][0], *(e for _, e in by_place)])


def mma16(kind: str) -> Iterator[str]:
    """a_i: row lane / 4 (i in 0 1 4 5) or + 8; column lane % 4 * 2 + i % 2, + 8 for i >= 4.
    b_i: row lane % 4 * 2 + i % 2, + 8 for i >= 2; column lane / 4."""
    a = {
        8 * i + e: (i // 4 + 8 * (e in (2, 3, 6, 7)), i % 4 * 2 + e % 2 + 8 * (e >= 4))
        for i in LANES
        for e in range(8)
    }
    b = {4 * i + e: (i % 4 * 2 + e % 2 + 8 * (e >= 2), i // 4) for i in LANES for e in range(4)}
    return mma(f"mma.m16n8k16.{kind}", 2, a, b)


def mma8() -> Iterator[str]:
    """a_i: row lane / 4 (a0, a2) or + 8; column lane % 4 (a0, a1) or + 4. b_i: row lane % 4 + 4 i; column lane / 4."""
    a = {
        4 * i + e: (i // 4 + 8 * (e in (1, 3)), i % 4 + 4 * (e >= 2))
        for i in LANES
        for e in range(4)
    }
    b = {2 * i + e: (i % 4 + 4 * e, i // 4) for i in LANES for e in range(2)}
    return mma("mma.m16n8k8.tf32", 1, a, b)


def main() -> int:
    lines = [*ldmatrix(False), *ldmatrix(True), *warp(), *copies(), *rounding()]
    text = "".join([*lines, *mma16("bf16"), *mma16("f16"), *mma8()])
    if "--write" in sys.argv:
        FILE.write_text(SOURCE + text)
        return 0
    same = FILE.read_text().partition("\n")[2] == text
    print(f"{FILE.name} {'is' if same else 'is NOT'} what the PTX ISA says")
    return not same


if __name__ == "__main__":
    sys.exit(main())
