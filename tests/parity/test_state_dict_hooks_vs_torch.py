"""The hooks of state_dict() and load_state_dict() are called with what PyTorch calls them with."""

import pytest

import fastnn

torch = pytest.importorskip("torch")


def calls(t):
    """What each hook of an inner and an outer module saw, and what loading with a message from a hook raised."""
    net = t.nn.Sequential(t.nn.Linear(2, 3), t.nn.Sequential(t.nn.Linear(3, 1)))
    seen = []
    for name, module in (("outer", net), ("inner", net[1][0])):

        def before(m, prefix, keep_vars, name=name):
            seen.append((name, "before", type(m).__name__, prefix, keep_vars))

        def after(m, state, prefix, metadata, name=name):
            seen.append((name, "after", type(m).__name__, sorted(state), prefix))

        def loads(m, state, prefix, meta, strict, missing, unexpected, errors, name=name):
            own = sorted(k for k in state if k.startswith(prefix))  # theirs sees no others
            seen.append((name, "loads", own, prefix, strict, missing, unexpected, errors))

        module.register_state_dict_pre_hook(before)
        module.register_state_dict_post_hook(after)
        module.register_load_state_dict_pre_hook(loads)
    net.load_state_dict(net.state_dict(keep_vars=True), strict=False)
    return seen


def refusal(t):
    layer = t.nn.Linear(2, 3)
    layer.register_load_state_dict_pre_hook(lambda *args: args[-1].append("too old"))
    with pytest.raises(RuntimeError, match="too old"):
        layer.load_state_dict(layer.state_dict(), strict=False)


def test_hooks_see_the_same():
    assert calls(fastnn) == calls(torch)


def test_a_hook_may_refuse():
    refusal(fastnn)
    refusal(torch)
