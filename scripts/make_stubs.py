"""Writes python/fastnn/_core.pyi from the built extension: ``scripts/make_stubs.py [--check]``.

The tensor methods that are attached at import stand there too, with the signatures of the functions behind them. With
--check nothing is written, and the exit status is 1 when the file in the tree is another.
"""

from __future__ import annotations

import inspect
import sys
from pathlib import Path
from types import FunctionType
from typing import Any

import fastnn
from fastnn import _core

TARGET = Path(fastnn.__file__).with_name("_core.pyi")

HEAD = """# fmt: off
# Written by scripts/make_stubs.py; do not edit.
# The compiled kernels. Their arrays are NumPy's; each binding checks its own arguments.
from typing import Any

__version__: str

class VersionCounter:
    value: int
    exports: int

class PreparedWeights:
    bytes: int

class FoldedNorm:
    bytes: int
    def clear(self) -> None: ...

class NodeBase:
    backward: Any
    ctx: Any
    hooks: dict | None
    prehooks: dict | None
    metadata: Any
    label: str | None
    edges: tuple
    wanted: tuple
    outputs: int
    sequence: int
    freed: bool
    def saved_tensors(self) -> tuple: ...
    def saves(self, tensor: Any) -> bool: ...
    def free(self) -> None: ...

OUTPUT: Any
grad_mode: Any

class TensorBase:
    _data: Any
    _grad: Any
    _node: Any
    _base: Any
    _view: Any
    _hooks: Any
    _index: int
    _seen_version: int
    _requires_grad: bool
    _retains_grad: bool
    _counter: VersionCounter
    requires_grad: bool
    @property
    def _version(self) -> int: ...
    # What only class Tensor has.
    def __getattr__(self, name: str) -> Any: ...
"""


OPERATORS = {
    f"__{prefix}{op}__"
    for op in "add sub mul truediv floordiv mod pow and or xor lshift rshift matmul".split()
    for prefix in ("", "i", "r")
} | {"__eq__", "__ne__", "__lt__", "__le__", "__gt__", "__ge__"}


def parameter(p: inspect.Parameter) -> str:
    """A parameter without its annotation and with its default elided."""
    star = {p.VAR_POSITIONAL: "*", p.VAR_KEYWORD: "**"}.get(p.kind, "")
    return f"{star}{p.name}: Any" + ("" if p.default is p.empty else " = ...")


def signature(function: Any) -> str:
    """The parameters after the first (which is self)."""
    parts: list[str] = ["self"]
    keyword_only = False
    for p in list(inspect.signature(function).parameters.values())[1:]:
        if p.kind == p.VAR_POSITIONAL:
            keyword_only = True
        elif p.kind == p.KEYWORD_ONLY and not keyword_only:
            parts.append("*")
            keyword_only = True
        parts.append(parameter(p))
    return ", ".join(parts)


def stub() -> str:
    lines = [HEAD.rstrip("\n")]
    written = set(vars(fastnn.Tensor)) & set(_names_in_class())
    attached = {
        n: f
        for n, f in vars(fastnn.Tensor).items()
        if isinstance(f, (FunctionType, type(_core.view))) and n not in written
    }
    for name in sorted(attached):
        # Operators in the one form that Python calls.
        arguments = "self, other: Any" if name in OPERATORS else signature(attached[name])
        lines.append(f"    def {name}({arguments}) -> Any: ...")
    lines.append("")
    functions = [
        n
        for n in dir(_core)
        if not n.startswith("_")
        and callable(getattr(_core, n))
        and not inspect.isclass(getattr(_core, n))
    ]
    lines.extend(f"def {n}(*args: Any, **kwargs: Any) -> Any: ..." for n in sorted(functions))
    return "\n".join(lines) + "\n"


def _names_in_class() -> list[str]:
    """The methods that the body of class Tensor itself defines."""
    import ast

    tree = ast.parse(Path(fastnn.__file__).with_name("tensor.py").read_text())
    (cls,) = (n for n in tree.body if isinstance(n, ast.ClassDef) and n.name == "Tensor")
    return [n.name for n in cls.body if isinstance(n, ast.FunctionDef)]


def main() -> int:
    text = stub()
    if "--check" in sys.argv[1:]:
        if TARGET.read_text() != text:
            print(f"{TARGET.name} is not what the extension has; run scripts/make_stubs.py")
            return 1
        return 0
    TARGET.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
