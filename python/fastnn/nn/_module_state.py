"""The state_dict half of Module."""

from __future__ import annotations

import itertools
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from ..autograd.node import no_grad
from .parameter import Parameter, is_lazy


class IncompatibleKeys(NamedTuple):
    """What load_state_dict returns."""

    missing_keys: list[str]
    unexpected_keys: list[str]

    def __repr__(self) -> str:
        if not self.missing_keys and not self.unexpected_keys:
            return "<All keys matched successfully>"
        return (
            f"IncompatibleKeys(missing_keys={self.missing_keys}, "
            f"unexpected_keys={self.unexpected_keys})"
        )


class ModuleState:
    """What a module gives to a checkpoint and takes from it."""

    _parameters: dict[str, Any]
    _buffers: dict[str, Any]
    _modules: dict[str, Any]
    _non_persistent: set[str]
    _state_dict_hooks: dict[int, Any]
    _state_dict_pre_hooks: dict[int, Any]
    _load_state_dict_pre_hooks: dict[int, Any]

    def named_modules(
        self, memo: set | None = None, prefix: str = "", remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Any]]:
        raise NotImplementedError

    def state_dict(
        self, *, destination: Any = None, prefix: str = "", keep_vars: bool = False
    ) -> dict[str, Any]:
        """All parameters and persistent buffers by dotted name (detached, sharing memory)."""
        out = OrderedDict() if destination is None else destination
        for before in self._state_dict_pre_hooks.values():
            before(self, prefix, keep_vars)
        self._save_to_state_dict(out, prefix, keep_vars)
        for name, m in self._modules.items():
            if m is not None:
                m.state_dict(destination=out, prefix=f"{prefix}{name}.", keep_vars=keep_vars)
        for hook in self._state_dict_hooks.values():
            hook(self, out, prefix, {})
        return out

    def _save_to_state_dict(self, out: dict, prefix: str, keep_vars: bool) -> None:
        buffers = {k: v for k, v in self._buffers.items() if k not in self._non_persistent}
        for name, t in itertools.chain(self._parameters.items(), buffers.items()):
            if t is not None:
                out[prefix + name] = t if keep_vars or is_lazy(t) else t.detach()

    def load_state_dict(
        self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False
    ) -> IncompatibleKeys:
        """Copies parameters and buffers from `state_dict` (tensors or arrays).

        Everything is checked first: RuntimeError names every missing and unexpected key (when `strict`) and every wrong
        shape, and then nothing has changed.
        """
        if not isinstance(state_dict, Mapping):
            raise TypeError(
                f"Expected state_dict to be dict-like, got {type(state_dict).__name__}."
            )
        state = OrderedDict(state_dict)
        missing: list[str] = []
        unexpected: list[str] = []
        problems: list[str] = []
        for m_prefix, m in self.named_modules():
            prefix = f"{m_prefix}." if m_prefix else ""
            for hook in m._load_state_dict_pre_hooks.values():
                hook(m, state, prefix, {}, True, missing, unexpected, problems)  # as PyTorch's
        own = self._slots()
        missing += [k for k in own if k not in state]
        unexpected += [k for k in state if k not in own]
        if strict and unexpected:
            quoted = ", ".join(f'"{k}"' for k in unexpected)
            problems.append(f"Unexpected key(s) in state_dict: {quoted}. ")
        if strict and missing:
            quoted = ", ".join(f'"{k}"' for k in missing)
            problems.append(f"Missing key(s) in state_dict: {quoted}. ")
        given = {k: v for k, v in own.items() if not (is_lazy(v[2]) and is_lazy(state.get(k)))}
        for key, (_, _, t) in given.items():
            if key in state and not hasattr(state[key], "shape"):
                problems.append(
                    f'While copying "{key}": expected a tensor or an array, got {type(state[key]).__name__}. '
                )
            elif key in state and tuple(state[key].shape) != tuple(t._data.shape):
                problems.append(
                    f"size mismatch for {key}: copying a param with shape {tuple(state[key].shape)} "
                    f"from checkpoint, the shape in current model is {tuple(t._data.shape)}."
                )
        if problems:
            raise RuntimeError(
                f"Error(s) in loading state_dict for {type(self).__name__}:\n\t"
                + "\n\t".join(problems)
            )
        with no_grad():
            for key, (m, name, t) in given.items():
                if key in state:
                    _load_into(m, name, t, state[key], assign)
        return IncompatibleKeys(missing, unexpected)

    def _slots(self) -> dict[str, tuple[Any, str, Any]]:
        out: dict[str, tuple[Any, str, Any]] = OrderedDict()
        for prefix, m in self.named_modules(remove_duplicate=False):
            for name, t in itertools.chain(m._parameters.items(), m._buffers.items()):
                if t is not None and name not in m._non_persistent:
                    out[f"{prefix}.{name}" if prefix else name] = (m, name, t)
        return out


def _load_into(m: Any, name: str, t: Any, value: Any, assign: bool) -> None:
    from ..ops.creation import as_tensor

    value = as_tensor(value)
    if not assign:
        t.detach().copy_(value)
    elif name in m._parameters:
        m._parameters[name] = Parameter(value.detach(), t.requires_grad)
    else:
        m._buffers[name] = value
