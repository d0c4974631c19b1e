"""``fastnn bench [GROUP]...``: ours and the peers' times, side by side."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..training.report import machine, write_json
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
    p.add_argument(
        "--peers",
        default="torch",
        help="whom to measure beside us, e.g. torch,torch.compile,onnxruntime,numpy,jax (default: torch)",
    )
    p.add_argument("--only", default="", metavar="TEXT", help="cases whose name contains this")
    p.add_argument("--json", type=Path, metavar="FILE", help="write the results to this file")
    p.add_argument(
        "--again",
        action="store_true",
        help="go on with the --json file of an earlier run: only the cases that it lacks, or whose cores were taken away",
    )
    p.add_argument("--plot", type=Path, metavar="DIR", help="draw charts into this folder")
    p.add_argument("--quick", action="store_true", help="fewer rounds and fewer shapes")
    p.add_argument(
        "--rounds",
        type=int,
        metavar="N",
        help="how often each backend is measured in turn (default: 7; with --quick 3)",
    )
    p.add_argument(
        "--patience",
        type=float,
        default=0.0,
        metavar="SECONDS",
        help="go on with a case for so long, until a neighbour on a core leaves a few rounds undisturbed (default: 0)",
    )
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
    _known("group", args.groups, suite.GROUPS)
    peers = [p for p in args.peers.split(",") if p]
    _known("peer", peers, suite.peers.PEERS)
    try:
        threads = [int(t) for t in args.threads.split(",")]
        if min(threads) < 1:
            raise ValueError
    except ValueError:
        raise UsageError(
            f"fastnn bench: --threads takes numbers like 1,2, got '{args.threads}'"
        ) from None
    if args.rounds is not None and args.rounds < 1:
        raise UsageError(f"fastnn bench: --rounds takes a number from 1, got {args.rounds}")
    if not 0 <= args.patience < float("inf"):
        raise UsageError(f"fastnn bench: --patience takes seconds from 0, got {args.patience}")
    groups = args.groups or suite.GROUPS
    if not any(True for g in groups for _ in suite.cases_of(g, args.quick, args.only)):
        raise UsageError(
            f"fastnn bench: no case of {', '.join(groups)} has '{args.only}' in its name"
        )
    again = _earlier(args.json) if args.again else None
    rounds = args.rounds or (3 if args.quick else 7)

    def save(whole: dict[str, Any]) -> None:
        if args.json is not None:
            args.json.parent.mkdir(parents=True, exist_ok=True)
            write_json(whole, args.json)

    whole = suite.run(
        groups,
        threads,
        names=peers,
        quick=args.quick,
        rounds=rounds,
        patience=args.patience,
        only=args.only,
        again=again,
        save=save,
    )
    save(whole)
    if args.json is not None:
        print(f"written to {args.json}")
    if args.plot is not None:
        from benchmarks.plot import draw

        print("drawn:", *draw(whole, args.plot))
    return 0


def _earlier(path: Path | None) -> dict[str, Any]:
    try:
        whole: dict[str, Any] = json.loads(path.read_text()) if path else {}
        theirs, _ = whole["machine"], list(whole["results"])
        ours = machine()
        other = [k for k in ("cpu", "cores", "isa") if theirs.get(k) != ours[k]]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise UsageError("fastnn bench: --again needs the --json file of an earlier run") from None
    if other:
        k = other[0]
        raise UsageError(
            f"fastnn bench: --again: {path} is of another machine ({k}: {theirs.get(k)}, here {ours[k]})"
        )
    return whole


def _known(what: str, names: Sequence[str], known: Sequence[str]) -> None:
    for name in names:
        if name not in known:
            raise UsageError(
                f"fastnn bench: unknown {what} '{name}'; choose from {', '.join(known)}"
            )
