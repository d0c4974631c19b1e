"""``fastnn bench [GROUP]...``: ours and the peers' times, side by side."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from . import UsageError


def add_parser(commands: Any) -> None:
    p = commands.add_parser(
        "bench", help="benchmarks, side by side with PyTorch", description=__doc__
    )
    p.add_argument(
        "groups", nargs="*", metavar="GROUP", help="which groups (default: all); --list names them"
    )
    p.add_argument("--list", action="store_true", help="name the groups")
    p.add_argument("--threads", default="1,2", help="thread counts, e.g. 1,2")
    p.add_argument("--json", type=Path, help="write the results to this file")
    p.add_argument("--quick", action="store_true", help="fewer repeats")
    p.set_defaults(run=run)


def _benchmarks() -> Any:
    """The benchmark package: installed inside the wheel, or at the top of the source tree."""
    here = Path(__file__).resolve()
    for parent in (here.parents[1] / "_benchmarks", here.parents[3]):
        if (parent / "benchmarks" / "suite.py").exists():
            sys.path.insert(0, str(parent))
            import benchmarks.suite

            return benchmarks.suite
    raise UsageError("fastnn bench: the benchmarks are not part of this installation")


def run(args: argparse.Namespace) -> int:
    suite = _benchmarks()
    if args.list:
        print("\n".join(suite.GROUPS))
        return 0
    for g in args.groups:
        if g not in suite.GROUPS:
            raise UsageError(
                f"fastnn bench: unknown group '{g}'; choose from {', '.join(suite.GROUPS)}"
            )
    try:
        threads = [int(t) for t in args.threads.split(",")]
    except ValueError:
        raise UsageError(
            f"fastnn bench: --threads takes numbers like 1,2, got '{args.threads}'"
        ) from None
    suite.run(args.groups or list(suite.GROUPS), threads, args.json, args.quick)
    return 0
