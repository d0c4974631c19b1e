"""Module: parameters, buffers, submodules, hooks, state_dict, as PyTorch has them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from ..autograd.node import RemovableHandle
from ..ops._util import TensorBase
from ..tensor import Tensor
from ._module_conversion import ModuleConversion
from ._module_hooks import Hooks, hook_table, register, watch_inputs, watch_outputs
from ._module_state import ModuleState
from .parameter import Buffer, Parameter

_FIELDS = ("_parameters", "_buffers", "_modules")


class Module(ModuleConversion, ModuleState):
    """Base class of all layers and models.

    Set Parameters, buffers (register_buffer) and Modules as attributes in ``__init__`` (after ``super().__init__()``) and
    write ``forward``; call the module itself.
    """

    training: bool
    _version = 1
    _call_hooks: Hooks | None = (
        None  # made for the first hook: a call reads little of a module without
    )

    def __init__(self) -> None:
        set_ = super().__setattr__
        set_("training", True)
        for field in _FIELDS:
            set_(field, {})
        set_("_non_persistent", set())
        set_("_state_dict_pre_hooks", {})
        set_("_state_dict_hooks", {})
        set_("_load_state_dict_pre_hooks", {})
        set_("_call_hooks", None)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError(
            f'Module [{type(self).__name__}] is missing the required "forward" function'
        )

    # ---- calling -----------------------------------------------------------------------------------------------

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        hooks = self._call_hooks
        if not hooks:
            return self.forward(*args, **kwargs)
        return self._call_with_hooks(hooks, args, kwargs)

    def _call_with_hooks(self, hooks: Hooks, args: tuple, kwargs: dict) -> Any:
        for hook, with_kwargs in tuple(hooks.forward_pre.values()):
            if with_kwargs:
                changed = hook(self, args, kwargs)
                if changed is not None:
                    args, kwargs = changed
            else:
                changed = hook(self, args)
                if changed is not None:
                    args = changed if isinstance(changed, tuple) else (changed,)
        watched = bool(hooks.backward or hooks.backward_pre)
        grads_in: list = []
        if watched:
            args = watch_inputs(args, grads_in)
        result = self.forward(*args, **kwargs)
        for hook, with_kwargs in tuple(hooks.forward.values()):
            changed = hook(self, args, kwargs, result) if with_kwargs else hook(self, args, result)
            if changed is not None:
                result = changed
        if watched:
            watch_outputs(self, hooks, result, grads_in)
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
        """(name, module) of each module directly below, each once."""
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
        """(dotted name, module) of this module and all below it; `remove_duplicate`: each once."""
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
        """(dotted name, parameter) of this module and, with `recurse`, of all below it."""
        return self._named_members("_parameters", prefix, recurse, remove_duplicate)

    def buffers(self, recurse: bool = True) -> Iterator[Tensor]:
        """All buffers, each once."""
        return (b for _, b in self.named_buffers(recurse=recurse))

    def named_buffers(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Tensor]]:
        """(dotted name, buffer) of this module and, with `recurse`, of all below it."""
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
        """Sets requires_grad of all parameters; returns the module."""
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

    # PyTorch's names, which programs read and set.
    _forward_hooks = hook_table("forward")
    _forward_pre_hooks = hook_table("forward_pre")
    _backward_hooks = hook_table("backward")
    _backward_pre_hooks = hook_table("backward_pre")

    def register_forward_hook(
        self,
        hook: Callable[..., Any],
        *,
        prepend: bool = False,
        with_kwargs: bool = False,
        always_call: bool = False,
    ) -> RemovableHandle:
        """``hook(module, args, output)`` after forward; what it returns (unless None) becomes the output."""
        return register(self._forward_hooks, hook, with_kwargs, prepend)

    def register_forward_pre_hook(
        self, hook: Callable[..., Any], *, prepend: bool = False, with_kwargs: bool = False
    ) -> RemovableHandle:
        """``hook(module, args)`` before forward; what it returns (unless None) becomes the arguments."""
        return register(self._forward_pre_hooks, hook, with_kwargs, prepend)

    def register_full_backward_hook(
        self, hook: Callable[..., Any], prepend: bool = False
    ) -> RemovableHandle:
        """``hook(module, grad_input, grad_output)`` when the gradients of the inputs are there."""
        return register(self._backward_hooks, hook, False, prepend)

    def register_full_backward_pre_hook(
        self, hook: Callable[..., Any], prepend: bool = False
    ) -> RemovableHandle:
        """``hook(module, grad_output)`` before the module's backward."""
        return register(self._backward_pre_hooks, hook, False, prepend)

    def register_state_dict_pre_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """hook(module, prefix, keep_vars), before this module writes its part of a state_dict."""
        return RemovableHandle(self._state_dict_pre_hooks, hook)

    def register_state_dict_post_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """hook(module, state_dict, prefix, local_metadata), after this module has written its part."""
        return RemovableHandle(self._state_dict_hooks, hook)

    def register_load_state_dict_pre_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """hook(module, state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs), before
        anything is loaded; it may change the state_dict, which is a copy, and add to the lists."""
        return RemovableHandle(self._load_state_dict_pre_hooks, hook)

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
