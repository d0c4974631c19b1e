"""The command line: ``fastnn train | predict | info | bench``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Any

from .. import _core


class UsageError(Exception):
    """A mistake of the caller's: one line and exit code 2."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> Any:
        raise UsageError(f"{self.prog}: {message}")


def _parser() -> argparse.ArgumentParser:
    from . import bench, info, predict, train

    parser = _Parser(prog="fastnn", description="Small, fast neural networks.")
    parser.add_argument("--version", action="version", version=f"fastnn {_core.__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="command")
    for module in (train, predict, info, bench):
        module.add_parser(commands)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command; returns the exit code (2: wrong use, 130: interrupted)."""
    try:
        args = _parser().parse_args(argv)
        return args.run(args)
    except UsageError as e:
        print(" ".join(str(e).split()), file=sys.stderr)  # one line, whatever the cause had
        return 2
    except KeyboardInterrupt:
        print("fastnn: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        return 1
