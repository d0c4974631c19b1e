"""Optimizer: parameter groups, state, and what every optimizer checks."""

from __future__ import annotations

import copy
import functools
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from .. import _core
from ..autograd.node import RemovableHandle, enable_grad, no_grad
from ..ops._util import TensorBase, cast, wrap


class _Required:
    def __repr__(self) -> str:
        return "<required parameter>"


required = _Required()


def check(condition: bool, name: str, value: Any) -> None:
    """ValueError unless a hyper-parameter is in its range; NaN never is."""
    if not condition:
        raise ValueError(f"Invalid {name}: {value}")


def check_hyper(**values: Any) -> None:
    """Each of lr, weight_decay, eps, ... must be a number >= 0; ValueError otherwise."""
    for name, value in values.items():
        text = {"lr": "learning rate", "eps": "epsilon value"}.get(name, f"{name} value")
        try:
            number = float(value)
        except (TypeError, ValueError):
            raise TypeError(f"{name} must be a number, got {type(value).__name__}") from None
        check(number >= 0.0, text, value)


def check_betas(betas: Any) -> None:
    """Both numbers must be in [0, 1); ValueError otherwise."""
    if not isinstance(betas, (tuple, list)) or len(betas) != 2:
        raise ValueError(f"betas must be two numbers, got {betas!r}")
    for i, beta in enumerate(betas):
        check(0.0 <= beta < 1.0, f"beta parameter at index {i}", beta)


def _with_hooks(step: Callable[..., Any]) -> Callable[..., Any]:
    """Counts steps (schedulers ask) and runs the hooks around them."""

    @functools.wraps(step)
    def wrapped(self: Any, *args: Any, **kwargs: Any) -> Any:
        for hook in tuple(self._step_pre_hooks.values()):
            changed = hook(self, args, kwargs)
            if changed is not None:
                args, kwargs = changed
        result = step(self, *args, **kwargs)
        self._step_count += 1
        for hook in tuple(self._step_post_hooks.values()):
            hook(self, args, kwargs)
        return result

    return wrapped


class Optimizer:
    """Base class of all optimizers.

    ``params`` is an iterable of tensors, of (name, tensor) pairs, or of dicts with a key "params"
    and hyper-parameters that differ from ``defaults``. ``state`` holds a dict for every parameter.
    """

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "step" in cls.__dict__:
            cls.step = _with_hooks(cls.__dict__["step"])  # type: ignore[method-assign]

    def __init__(self, params: Iterable[Any], defaults: Mapping[str, Any]) -> None:
        if isinstance(params, TensorBase) or not isinstance(params, Iterable):
            raise TypeError(
                f"{type(self).__name__}: params argument given to the optimizer should be an iterable of Tensors or dicts, "
                f"but got {type(params).__name__}"
            )
        self.defaults = dict(defaults)
        self.state: defaultdict[Any, dict] = defaultdict(dict)
        self.param_groups: list[dict[str, Any]] = []
        self._step_count = 0
        self._step_pre_hooks: dict = OrderedDict()
        self._step_post_hooks: dict = OrderedDict()
        groups = list(params)
        if not groups:
            raise ValueError("optimizer got an empty parameter list")
        if not isinstance(groups[0], dict):
            groups = [{"params": groups}]
        for group in groups:
            self.add_param_group(group)

    def __repr__(self) -> str:
        lines = [type(self).__name__ + " ("]
        for i, group in enumerate(self.param_groups):
            lines.append(f"Parameter Group {i}")
            lines += [f"    {k}: {group[k]}" for k in sorted(group) if k != "params"]
        return "\n".join([*lines, ")"])

    # ---- Parameters ------------------------------------------------------------------------------

    def add_param_group(self, param_group: dict) -> None:
        """Adds parameters with hyper-parameters of their own.

        Raises TypeError for anything that is no tensor, ValueError for a tensor that is no leaf, no
        float, or in another group already, and for a missing required hyper-parameter.
        """
        if not isinstance(param_group, dict):
            raise TypeError(f"param_group must be a dict, but got {type(param_group)}")
        group = dict(param_group)
        params = group["params"]
        if isinstance(params, TensorBase):
            params = [params]
        elif isinstance(params, (set, frozenset)):
            raise TypeError(
                "optimizer parameters need to be organized in ordered collections, but the "
                "ordering of tensors in sets will change between runs. Please use a list instead."
            )
        params = list(params)
        if params and isinstance(params[0], tuple):
            group["param_names"] = [name for name, _ in params]
            params = [p for _, p in params]
        for p in params:
            _check_parameter(p)
        known = {id(p) for g in self.param_groups for p in g["params"]}
        if known & {id(p) for p in params}:
            raise ValueError("some parameters appear in more than one parameter group")
        if len({id(p) for p in params}) != len(params):
            raise ValueError("optimizer contains a parameter group with duplicate parameters")
        for name, default in self.defaults.items():
            if default is required and name not in group:
                raise ValueError(
                    "parameter group didn't specify a value of required optimization parameter "
                    + name
                )
            group.setdefault(name, default)
        group["params"] = params
        self.param_groups.append({"params": params, **group})

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forgets the gradients of all parameters, or sets them to zero."""
        params = [p for g in self.param_groups for p in g["params"] if p._grad is not None]
        if set_to_none:
            for p in params:
                p._grad = None
            return
        for p in params:
            p._grad = p._grad.detach()
            p._grad._counter.value += 1
        _core.grads_zero_([p._grad._data for p in params])

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One update. `closure` computes the loss again (with gradients) and returns it."""
        raise NotImplementedError(f"{type(self).__name__} has no step()")

    @staticmethod
    def _loss(closure: Callable[[], Any] | None) -> Any:
        if closure is None:
            return None
        if not callable(closure):
            raise TypeError(f"step: closure must be callable, got {type(closure).__name__}")
        with enable_grad():
            return closure()

    # ---- Hooks -----------------------------------------------------------------------------------

    def register_step_pre_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """``hook(optimizer, args, kwargs)`` before each step; may return (args, kwargs)."""
        return RemovableHandle(self._step_pre_hooks, hook)

    def register_step_post_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """``hook(optimizer, args, kwargs)`` after each step."""
        return RemovableHandle(self._step_post_hooks, hook)

    # ---- State -----------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """{"state": a dict for each parameter number, "param_groups": ...}, as PyTorch's."""
        numbers: dict[int, int] = {}
        groups = []
        for group in self.param_groups:
            for p in group["params"]:
                numbers[id(p)] = len(numbers)
            packed = {k: v for k, v in group.items() if k != "params"}
            groups.append({**packed, "params": [numbers[id(p)] for p in group["params"]]})
        state = {numbers[id(p)]: dict(s) for p, s in self.state.items() if id(p) in numbers}
        return {"state": state, "param_groups": groups}

    @no_grad()
    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Takes over a copy of what state_dict() gave, of this or of PyTorch's optimizer.

        Raises ValueError when groups or shapes are not those of this optimizer; then nothing
        changes.
        """
        if not isinstance(state_dict, Mapping) or not {"state", "param_groups"} <= set(state_dict):
            raise ValueError(
                "load_state_dict: expected a dict with 'state' and 'param_groups', as state_dict() gives"
            )
        saved = state_dict["param_groups"]
        if len(saved) != len(self.param_groups):
            raise ValueError(
                "loaded state dict has a different number of parameter groups: "
                f"{len(saved)} instead of {len(self.param_groups)}"
            )
        by_number: dict[Any, Any] = {}
        for theirs, ours in zip(saved, self.param_groups, strict=True):
            if len(theirs["params"]) != len(ours["params"]):
                raise ValueError(
                    "loaded state dict contains a parameter group that doesn't match the size of "
                    f"optimizer's group: {len(theirs['params'])} parameters instead of "
                    f"{len(ours['params'])}"
                )
            by_number.update(zip(theirs["params"], ours["params"], strict=True))
        state: defaultdict[Any, dict] = defaultdict(dict)
        for number, entries in state_dict["state"].items():
            p = by_number.get(number, by_number.get(_as_number(number)))
            if p is not None:
                state[p] = {k: self._restore(k, v, p) for k, v in entries.items()}
        groups = []
        for theirs, ours in zip(saved, self.param_groups, strict=True):
            loaded = {k: copy.deepcopy(v) for k, v in theirs.items() if k != "params"}
            groups.append({"params": ours["params"], **self._missing(ours, loaded), **loaded})
        self.state, self.param_groups = state, groups

    @staticmethod
    def _missing(ours: dict, loaded: dict) -> dict:
        """Hyper-parameters that a state dict of another version does not have."""
        return {k: v for k, v in ours.items() if k != "params" and k not in loaded}

    def _restore(self, name: str, value: Any, p: Any) -> Any:
        """A copy of a state entry for parameter p: buffers get its dtype, counters stay."""
        if not isinstance(value, TensorBase):
            if name == "step" and isinstance(value, (int, float)):
                return scalar(value)
            return copy.deepcopy(value)
        a = value._data
        if a.ndim == 0 and p._data.ndim:
            return wrap(a.copy())
        if name == "step" or not value.is_floating_point():
            return wrap(a.copy())
        if name in self._shaped and a.shape != p._data.shape:
            raise ValueError(
                f"loaded state dict: {name} has shape {tuple(a.shape)}, but its parameter has "
                f"shape {tuple(p._data.shape)}"
            )
        out = (
            np.empty_like(p._data) if a.shape == p._data.shape else np.empty_like(a, p._data.dtype)
        )
        out[...] = cast(a, out.dtype)
        return wrap(out)

    # State entries of the parameter's shape.
    _shaped: frozenset[str] = frozenset()


def _as_number(key: Any) -> Any:
    """Parameter numbers come back as strings from JSON."""
    return int(key) if isinstance(key, str) and key.isdigit() else key


def _check_parameter(p: Any) -> None:
    if not isinstance(p, TensorBase):
        raise TypeError(
            f"optimizer can only optimize Tensors, but one of the params is {type(p).__name__}"
        )
    if p._node is not None:
        raise ValueError("can't optimize a non-leaf Tensor")
    if not p.is_floating_point():
        raise ValueError(f"can only optimize floating-point Tensors, but one has dtype {p.dtype}")


def scalar(value: float) -> Any:
    """A counter or coefficient: a float32 tensor without dimensions."""
    return wrap(np.array(value, np.float32))


class _ByGroup(Optimizer):
    """An optimizer that updates the parameters with gradients of each group, and keeps a state for each."""

    def _new_state(self, p: Any, group: dict) -> dict[str, Any]:
        raise NotImplementedError

    @no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One update. `closure` computes the loss again (with gradients) and returns it."""
        loss = self._loss(closure)
        for group in self.param_groups:
            params = [p for p in group["params"] if p._grad is not None]
            if params:
                self._update(group, params)
        return loss

    def _update(self, group: dict, params: list) -> None:
        raise NotImplementedError

    def _states(self, group: dict, params: list) -> list[dict]:
        """The state of each parameter, made where there is none."""
        states = [self.state[p] for p in params]
        for p, state in zip(params, states, strict=True):
            if not state:
                state.update(self._new_state(p, group))
        return states


class ComposedOptimizer(_ByGroup):
    """An optimizer whose step is made of tensor ops, one parameter after the other."""

    def _update(self, group: dict, params: list) -> None:
        for p, state in zip(params, self._states(group, params), strict=True):
            self._update_one(group, p, p._grad.detach(), state)

    def _update_one(self, group: dict, p: Any, grad: Any, state: dict) -> None:
        raise NotImplementedError


class FusedOptimizer(_ByGroup):
    """An optimizer whose step is one kernel call for all parameters of a group."""

    _kind: str
    _MOMENTUM, _NESTEROV, _FIRST, _AMSGRAD, _DECOUPLED, _CENTERED, _MAXIMIZE = (
        1 << i for i in range(7)
    )

    def _flags(self, group: dict) -> int:
        return self._MAXIMIZE if group["maximize"] else 0

    def _hyper(self, group: dict) -> list[float]:
        """The kernel's numbers besides lr and weight_decay."""
        raise NotImplementedError

    def _scalars(self, group: dict) -> dict[str, float]:
        """Names and first values of the state entries that are one number."""
        return {"step": 0.0}

    def _buffers(self, group: dict) -> dict[str, float]:
        """Names and first values of the state entries that have the parameter's shape."""
        raise NotImplementedError

    def _new_state(self, p: Any, group: dict) -> dict[str, Any]:
        state = {name: scalar(value) for name, value in self._scalars(group).items()}
        for name, value in self._buffers(group).items():
            state[name] = wrap(np.full_like(p._data, value))
        return state

    def _update(self, group: dict, params: list) -> None:
        self._launch(group, params, self._states(group, params), self._flags(group))

    def _launch(self, group: dict, params: list, states: list, flags: int) -> None:
        _core.optim_step(
            self._kind,
            flags,
            float(group["lr"]),
            float(group.get("weight_decay", 0.0)),
            self._hyper(group),
            [p._data for p in params],
            [p._grad._data for p in params],
            [[s[name]._data for s in states] for name in self._buffers(group)],
            [[s[name]._data for s in states] for name in self._scalars(group)],
        )
        for p in params:
            p._counter.value += 1


def check_switches(capturable: Any = False, differentiable: Any = False) -> None:
    """PyTorch's switches that have no meaning here may only be off."""
    if capturable or differentiable:
        name = "capturable" if capturable else "differentiable"
        raise NotImplementedError(f"optimizer: {name}=True is not supported")
