"""Module: parameters, buffers, submodules, hooks, state_dict, as PyTorch has them."""

from __future__ import annotations

import itertools
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from .. import dtypes
from ..autograd.node import RemovableHandle, no_grad
from ..ops._util import TensorBase
from ..tensor import Tensor, _to_arguments
from .parameter import Buffer, Parameter


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


_FIELDS = ("_parameters", "_buffers", "_modules")


class Module:
    """Base class of all layers and models.

    Set Parameters, buffers (register_buffer) and Modules as attributes in ``__init__`` (after ``super().__init__()``) and
    write ``forward``; call the module itself.
    """

    training: bool
    _version = 1

    def __init__(self) -> None:
        set_ = super().__setattr__
        set_("training", True)
        for field in _FIELDS:
            set_(field, {})
        set_("_non_persistent", set())
        for field in (
            "_forward_hooks",
            "_forward_pre_hooks",
            "_backward_hooks",
            "_backward_pre_hooks",
        ):
            set_(field, {})
        set_("_state_dict_hooks", {})
        set_("_load_state_dict_pre_hooks", {})

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError(
            f'Module [{type(self).__name__}] is missing the required "forward" function'
        )

    # ---- calling -----------------------------------------------------------------------------------------------

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if not (
            self._forward_hooks
            or self._forward_pre_hooks
            or self._backward_hooks
            or self._backward_pre_hooks
        ):
            return self.forward(*args, **kwargs)
        return self._call_with_hooks(args, kwargs)

    def _call_with_hooks(self, args: tuple, kwargs: dict) -> Any:
        for hook, with_kwargs in tuple(self._forward_pre_hooks.values()):
            if with_kwargs:
                changed = hook(self, args, kwargs)
                if changed is not None:
                    args, kwargs = changed
            else:
                changed = hook(self, args)
                if changed is not None:
                    args = changed if isinstance(changed, tuple) else (changed,)
        watched = bool(self._backward_hooks or self._backward_pre_hooks)
        grads_in: list = []
        if watched:
            args = _watch_inputs(args, grads_in)
        result = self.forward(*args, **kwargs)
        for hook, with_kwargs in tuple(self._forward_hooks.values()):
            changed = hook(self, args, kwargs, result) if with_kwargs else hook(self, args, result)
            if changed is not None:
                result = changed
        if watched:
            _watch_outputs(self, result, grads_in)
        return result

    # ---- registration ------------------------------------------------------------------------------------------

    def _check_name(self, kind: str, name: str) -> None:
        if not isinstance(name, str):
            raise TypeError(f"{kind} name should be a string. Got {type(name).__name__}")
        if "." in name:
            raise KeyError(f'{kind} name can\'t contain ".", got: {name}')
        if name == "":
            raise KeyError(f'{kind} name can\'t be empty string ""')

    def register_parameter(self, name: str, param: Parameter | None) -> None:
        """Adds a parameter (None: a place for one)."""
        if "_parameters" not in self.__dict__:
            raise AttributeError("cannot assign parameter before Module.__init__() call")
        self._check_name("parameter", name)
        if param is not None and not isinstance(param, Parameter):
            raise TypeError(
                f"cannot assign '{type(param).__name__}' object to parameter '{name}' "
                "(fastnn.nn.Parameter or None required)"
            )
        self.__dict__.pop(name, None)
        self._parameters[name] = param

    def register_buffer(self, name: str, tensor: Any, persistent: bool = True) -> None:
        """Adds a tensor that is state but no parameter; not in the state_dict unless `persistent`."""
        if "_buffers" not in self.__dict__:
            raise AttributeError("cannot assign buffer before Module.__init__() call")
        self._check_name("buffer", name)
        if hasattr(self, name) and name not in self._buffers:
            raise KeyError(f"attribute '{name}' already exists")
        if tensor is not None and not isinstance(tensor, TensorBase):
            raise TypeError(
                f"cannot assign '{type(tensor).__name__}' object to buffer '{name}' (fastnn Tensor or "
                "None required)"
            )
        self._buffers[name] = tensor
        (self._non_persistent.discard if persistent else self._non_persistent.add)(name)

    def add_module(self, name: str, module: Module | None) -> None:
        """Adds a submodule."""
        if module is not None and not isinstance(module, Module):
            raise TypeError(f"{type(module).__name__} is not a Module subclass")
        self._check_name("module", name)
        if hasattr(self, name) and name not in self._modules:
            raise KeyError(f"attribute '{name}' already exists")
        self._modules[name] = module

    register_module = add_module

    def __setattr__(self, name: str, value: Any) -> None:
        fields = self.__dict__
        if isinstance(value, Parameter):
            self._forget(name, "_parameters")
            self.register_parameter(name, value)
            return
        if isinstance(value, Module):
            if "_modules" not in fields:
                raise AttributeError("cannot assign module before Module.__init__() call")
            self._forget(name, "_modules")
            fields.pop(name, None)
            self._modules[name] = value
            return
        if isinstance(value, Buffer) and name not in fields.get("_buffers", ()):
            self.register_buffer(name, value, value.persistent)
            return
        for field in _FIELDS:
            known = fields.get(field)
            if known is not None and name in known:
                if value is not None and (field != "_buffers" or not isinstance(value, TensorBase)):
                    raise TypeError(
                        f"cannot assign '{type(value).__name__}' as {field[1:-1]} '{name}' "
                        f"({'Tensor' if field == '_buffers' else field[1:-1]} or None expected)"
                    )
                known[name] = value
                return
        super().__setattr__(name, value)

    def _forget(self, name: str, keep: str) -> None:
        for field in _FIELDS:
            if field != keep and field in self.__dict__:
                self.__dict__[field].pop(name, None)

    def __getattr__(self, name: str) -> Any:
        fields = self.__dict__
        for field in _FIELDS:
            known = fields.get(field)
            if known is not None and name in known:
                return known[name]
        raise AttributeError(f"'{type(self).__name__}' object has no attribute '{name}'")

    def __delattr__(self, name: str) -> None:
        for field in _FIELDS:
            if name in self.__dict__.get(field, ()):
                del self.__dict__[field][name]
                self._non_persistent.discard(name)
                return
        super().__delattr__(name)

    def __dir__(self) -> list[str]:
        names = set(super().__dir__())
        for field in _FIELDS:
            names.update(self.__dict__.get(field, ()))
        return sorted(names)

    # ---- walking -----------------------------------------------------------------------------------------------

    def children(self) -> Iterator[Module]:
        """The direct submodules."""
        return (m for _, m in self.named_children())

    def named_children(self) -> Iterator[tuple[str, Module]]:
        seen = set()
        for name, m in self._modules.items():
            if m is not None and m not in seen:
                seen.add(m)
                yield name, m

    def modules(self) -> Iterator[Module]:
        """This module and all below it, each once."""
        return (m for _, m in self.named_modules())

    def named_modules(
        self, memo: set | None = None, prefix: str = "", remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Module]]:
        memo = set() if memo is None else memo
        if self in memo:
            return
        if remove_duplicate:
            memo.add(self)
        yield prefix, self
        for name, m in self._modules.items():
            if m is not None:
                yield from m.named_modules(
                    memo, f"{prefix}.{name}" if prefix else name, remove_duplicate
                )

    def _named_members(
        self, field: str, prefix: str, recurse: bool, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Any]]:
        seen = set()
        items = self.named_modules(prefix=prefix, remove_duplicate=remove_duplicate)
        for module_name, m in items if recurse else [(prefix, self)]:
            for name, value in m.__dict__[field].items():
                if value is None or (remove_duplicate and id(value) in seen):
                    continue
                seen.add(id(value))
                yield (f"{module_name}.{name}" if module_name else name), value

    def parameters(self, recurse: bool = True) -> Iterator[Parameter]:
        """All parameters, each once."""
        return (p for _, p in self.named_parameters(recurse=recurse))

    def named_parameters(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Parameter]]:
        return self._named_members("_parameters", prefix, recurse, remove_duplicate)

    def buffers(self, recurse: bool = True) -> Iterator[Tensor]:
        """All buffers, each once."""
        return (b for _, b in self.named_buffers(recurse=recurse))

    def named_buffers(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Tensor]]:
        return self._named_members("_buffers", prefix, recurse, remove_duplicate)

    def _lookup(self, target: str) -> tuple[Module, str]:
        path, _, name = target.rpartition(".")
        return self.get_submodule(path), name

    def get_submodule(self, target: str) -> Module:
        """The submodule of a dotted name."""
        m: Any = self
        for part in target.split(".") if target else ():
            if part not in m._modules:
                raise AttributeError(f"{type(m).__name__} has no attribute `{part}`")
            m = m._modules[part]
        return m

    def get_parameter(self, target: str) -> Parameter:
        """The parameter of a dotted name."""
        m, name = self._lookup(target)
        if name not in m._parameters:
            raise AttributeError(f"{type(m).__name__} has no parameter `{name}`")
        return m._parameters[name]

    def get_buffer(self, target: str) -> Tensor:
        """The buffer of a dotted name."""
        m, name = self._lookup(target)
        if name not in m._buffers:
            raise AttributeError(f"{type(m).__name__} has no buffer `{name}`")
        return m._buffers[name]

    # ---- changing ----------------------------------------------------------------------------------------------

    def apply(self, fn: Callable[[Module], Any]) -> Any:
        """Calls fn on every submodule and then on this module."""
        for m in self.children():
            m.apply(fn)
        fn(self)
        return self

    def _apply(self, fn: Callable[[Any], Any]) -> Any:
        """Replaces the arrays of parameters (keeping the Parameter objects), their gradients, and buffers."""
        for m in self.children():
            m._apply(fn)
        with no_grad():
            for p in self._parameters.values():
                if p is not None:
                    p.data = fn(p.detach())
                    if p._grad is not None:
                        p._grad = fn(p._grad.detach())
            for name, b in self._buffers.items():
                if b is not None:
                    self._buffers[name] = fn(b)
        return self

    def to(self, *args: Any, **kwargs: Any) -> Any:
        """Converts floating-point parameters and buffers to a dtype (and everything to a device)."""
        d, memory_format = _to_arguments(args, kwargs)
        if d is not None and not d.is_floating_point:
            raise TypeError(
                f"nn.Module.to only accepts floating point dtypes, but got desired dtype={d}"
            )

        def convert(t: Any) -> Any:
            if d is not None and t.is_floating_point():
                t = t.to(d)
            if memory_format is not None and t.dim() in (4, 5):
                t = t.contiguous(memory_format=memory_format)
            return t

        return self._apply(convert)

    def type(self, dst_type: Any) -> Any:
        return self._apply(lambda t: t.to(dst_type))

    def float(self) -> Any:
        return self.to(dtypes.float32)

    def double(self) -> Any:
        return self.to(dtypes.float64)

    def half(self) -> Any:
        return self.to(dtypes.float16)

    def bfloat16(self) -> Any:
        return self.to(dtypes.bfloat16)

    def cpu(self) -> Any:
        return self

    def train(self, mode: bool = True) -> Any:
        """Training mode for this module and all below it."""
        if not isinstance(mode, bool):
            raise ValueError("training mode is expected to be boolean")
        self.training = mode
        for m in self.children():
            m.train(mode)
        return self

    def eval(self) -> Any:
        """Evaluation mode: train(False)."""
        return self.train(False)

    def requires_grad_(self, requires_grad: bool = True) -> Any:
        for p in self.parameters():
            p.requires_grad_(requires_grad)
        return self

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Drops (or zeroes) the gradients of all parameters."""
        for p in self.parameters():
            if p._grad is not None:
                if set_to_none:
                    p._grad = None
                else:
                    p._grad.detach_().zero_()

    # ---- hooks -------------------------------------------------------------------------------------------------

    def register_forward_hook(
        self,
        hook: Callable[..., Any],
        *,
        prepend: bool = False,
        with_kwargs: bool = False,
        always_call: bool = False,
    ) -> RemovableHandle:
        """``hook(module, args, output)`` after forward; what it returns (unless None) becomes the output."""
        return _register(self._forward_hooks, hook, with_kwargs, prepend)

    def register_forward_pre_hook(
        self, hook: Callable[..., Any], *, prepend: bool = False, with_kwargs: bool = False
    ) -> RemovableHandle:
        """``hook(module, args)`` before forward; what it returns (unless None) becomes the arguments."""
        return _register(self._forward_pre_hooks, hook, with_kwargs, prepend)

    def register_full_backward_hook(
        self, hook: Callable[..., Any], prepend: bool = False
    ) -> RemovableHandle:
        """``hook(module, grad_input, grad_output)`` when the gradients of the inputs are there."""
        return _register(self._backward_hooks, hook, False, prepend)

    def register_full_backward_pre_hook(
        self, hook: Callable[..., Any], prepend: bool = False
    ) -> RemovableHandle:
        """``hook(module, grad_output)`` before the module's backward."""
        return _register(self._backward_pre_hooks, hook, False, prepend)

    def register_state_dict_post_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        return RemovableHandle(self._state_dict_hooks, hook)

    def register_load_state_dict_pre_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        return RemovableHandle(self._load_state_dict_pre_hooks, hook)

    # ---- state -------------------------------------------------------------------------------------------------

    def state_dict(
        self, *, destination: Any = None, prefix: str = "", keep_vars: bool = False
    ) -> dict[str, Any]:
        """All parameters and persistent buffers by dotted name (detached, sharing memory)."""
        out = OrderedDict() if destination is None else destination
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
                out[prefix + name] = t if keep_vars else t.detach()

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
        for m_prefix, m in self.named_modules():
            for hook in m._load_state_dict_pre_hooks.values():
                hook(m, state, f"{m_prefix}." if m_prefix else "")
        own = self._slots()
        missing = [k for k in own if k not in state]
        unexpected = [k for k in state if k not in own]
        problems = []
        if strict and unexpected:
            quoted = ", ".join(f'"{k}"' for k in unexpected)
            problems.append(f"Unexpected key(s) in state_dict: {quoted}. ")
        if strict and missing:
            quoted = ", ".join(f'"{k}"' for k in missing)
            problems.append(f"Missing key(s) in state_dict: {quoted}. ")
        for key, (_, _, t) in own.items():
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
            for key, (m, name, t) in own.items():
                if key in state:
                    _load_into(m, name, t, state[key], assign)
        return IncompatibleKeys(missing, unexpected)

    def _slots(self) -> dict[str, tuple[Module, str, Any]]:
        out: dict[str, tuple[Module, str, Any]] = OrderedDict()
        for prefix, m in self.named_modules(remove_duplicate=False):
            for name, t in itertools.chain(m._parameters.items(), m._buffers.items()):
                if t is not None and name not in m._non_persistent:
                    out[f"{prefix}.{name}" if prefix else name] = (m, name, t)
        return out

    def __getstate__(self) -> dict:
        return self.__dict__.copy()

    def __setstate__(self, state: dict) -> None:
        self.__dict__.update(state)

    # ---- printing ----------------------------------------------------------------------------------------------

    def extra_repr(self) -> str:
        """What the repr shows between the parentheses."""
        return ""

    def _get_name(self) -> str:
        return type(self).__name__

    def __repr__(self) -> str:
        extra = self.extra_repr()
        lines = extra.split("\n") if extra else []
        below = [f"({name}): " + repr(m).replace("\n", "\n  ") for name, m in self._modules.items()]
        if not below and len(lines) <= 1:
            return f"{self._get_name()}({extra})"
        return f"{self._get_name()}(\n  " + "\n  ".join(lines + below) + "\n)"


def _load_into(m: Module, name: str, t: Any, value: Any, assign: bool) -> None:
    from ..ops.creation import as_tensor

    value = as_tensor(value)
    if not assign:
        t.detach().copy_(value)
    elif name in m._parameters:
        m._parameters[name] = Parameter(value.detach(), t.requires_grad)
    else:
        m._buffers[name] = value


def _register(hooks: dict, hook: Any, with_kwargs: bool, prepend: bool) -> RemovableHandle:
    """Hooks are kept as (hook, takes keyword arguments)."""
    handle = RemovableHandle(hooks, hook)
    hooks[handle.id] = (hook, with_kwargs)
    if prepend:
        for k in [k for k in hooks if k != handle.id]:
            hooks[k] = hooks.pop(k)
    return handle


def _watch_inputs(args: tuple, grads_in: list) -> tuple:
    """Inputs passed through an alias each, so that their gradients can be seen together."""
    out = []
    for a in args:
        if isinstance(a, TensorBase) and a.requires_grad:
            a = a.alias()
        out.append(a)
    grads_in.extend(a for a in out if isinstance(a, TensorBase))
    return tuple(out)


def _watch_outputs(module: Module, result: Any, inputs: list) -> None:
    """Calls the module's backward hooks when the gradients have come through."""
    outs = list(result) if isinstance(result, (tuple, list)) else [result]
    tensors = [t for t in outs if isinstance(t, TensorBase) and t.requires_grad]
    if not tensors:
        return
    grad_output: list = [None] * len(outs)

    def saw_output(index: int) -> Callable[[Any], Any]:
        def hook(g: Any) -> Any:
            grad_output[index] = g
            for pre, _ in tuple(module._backward_pre_hooks.values()):
                changed = pre(module, tuple(grad_output))
                if changed is not None:
                    g = grad_output[index] = (
                        changed[index] if isinstance(changed, tuple) else changed
                    )
            if not any(t.requires_grad for t in inputs):
                for after, _ in tuple(module._backward_hooks.values()):
                    after(module, (None,) * len(inputs), tuple(grad_output))
            return g

        return hook

    for i, t in enumerate(outs):
        if isinstance(t, TensorBase) and t.requires_grad:
            t.register_hook(saw_output(i))
    wanted = [i for i, t in enumerate(inputs) if t.requires_grad]
    grad_input: list = [None] * len(inputs)

    def saw_input(index: int) -> Callable[[Any], Any]:
        def hook(g: Any) -> Any:
            grad_input[index] = g
            if all(grad_input[k] is not None for k in wanted):
                for after, _ in tuple(module._backward_hooks.values()):
                    changed = after(module, tuple(grad_input), tuple(grad_output))
                    if changed is not None:
                        grad_input[:] = changed if isinstance(changed, tuple) else (changed,)
            return grad_input[index]

        return hook

    for i in wanted:
        inputs[i].register_hook(saw_input(i))
