"""nn.Module: registration, walking, state_dict, hooks, containers, conversion."""

import copy
from collections import OrderedDict

import numpy as np
import pytest

import fastnn
from fastnn import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Linear(4, 3)
        self.second = nn.Sequential(nn.ReLU(), nn.Linear(3, 2, bias=False))
        self.register_buffer("steps", fastnn.tensor(0))
        self.register_buffer("scratch", fastnn.zeros(1), persistent=False)

    def forward(self, x):
        return self.second(self.first(x))


def test_names_and_repr():
    net = Net()
    assert [n for n, _ in net.named_parameters()] == [
        "first.weight",
        "first.bias",
        "second.1.weight",
    ]
    assert list(net.state_dict()) == ["steps", "first.weight", "first.bias", "second.1.weight"]
    assert [n for n, _ in net.named_modules()] == ["", "first", "second", "second.0", "second.1"]
    assert repr(net) == (
        "Net(\n"
        "  (first): Linear(in_features=4, out_features=3, bias=True)\n"
        "  (second): Sequential(\n"
        "    (0): ReLU()\n"
        "    (1): Linear(in_features=3, out_features=2, bias=False)\n"
        "  )\n"
        ")"
    )


def test_load_state_dict_takes_plain_arrays():
    net, rng = Net(), np.random.default_rng(0)
    state = {
        k: rng.standard_normal(v.shape).astype(np.float32) for k, v in net.state_dict().items()
    }
    state["steps"] = np.array(5)
    assert repr(net.load_state_dict(state)) == "<All keys matched successfully>"
    x = rng.standard_normal((2, 4)).astype(np.float32)
    hidden = np.maximum(x @ state["first.weight"].T + state["first.bias"], 0)
    got = net(fastnn.from_numpy(x)).detach().numpy()
    np.testing.assert_allclose(got, hidden @ state["second.1.weight"].T, rtol=1e-5, atol=1e-6)
    assert net.steps.item() == 5


def test_load_state_dict_refuses_whole_or_not_at_all():
    net = Net()
    before = {k: v.numpy().copy() for k, v in net.state_dict().items()}
    bad = {k: np.zeros(v.shape, np.float32) for k, v in net.state_dict().items()}
    bad["first.bias"] = np.zeros(9, np.float32)
    del bad["steps"]
    bad["extra"] = np.zeros(1)
    with pytest.raises(RuntimeError) as caught:
        net.load_state_dict(bad)
    for fragment in (
        "first.bias",
        "(9,)",
        "(3,)",
        'Missing key(s) in state_dict: "steps"',
        '"extra"',
    ):
        assert fragment in str(caught.value)
    for k, v in net.state_dict().items():
        np.testing.assert_array_equal(v.numpy(), before[k])
    bad["first.bias"] = before["first.bias"]
    result = net.load_state_dict(bad, strict=False)
    assert result.missing_keys == ["steps"] and result.unexpected_keys == ["extra"]


def test_modes_freezing_and_conversion():
    net = Net()
    assert net.training and not net.eval().second[0].training and net.train().first.training
    net.requires_grad_(False)
    assert not any(p.requires_grad for p in net.parameters())
    weight = net.first.weight
    net.double()
    assert (
        net.first.weight is weight
        and weight.dtype is fastnn.float64
        and net.steps.dtype is fastnn.int64
    )
    with pytest.raises(TypeError, match="floating point"):
        net.to(fastnn.int64)
    seen = []
    net.apply(lambda m: seen.append(type(m).__name__))
    assert seen == ["Linear", "ReLU", "Linear", "Sequential", "Net"]


def test_zero_grad():
    net = Net()
    net(fastnn.ones(1, 4)).sum().backward()
    net.zero_grad(set_to_none=False)
    assert all(float(p.grad.abs().sum()) == 0 for p in net.parameters())
    net.zero_grad()
    assert all(p.grad is None for p in net.parameters())


def test_forward_hooks():
    layer, calls = nn.Linear(2, 2), []
    h1 = layer.register_forward_pre_hook(lambda m, args: (args[0] * 0,))
    h2 = layer.register_forward_hook(lambda m, args, out: calls.append(out) or out + 1)
    out = layer(fastnn.ones(1, 2))
    np.testing.assert_allclose(
        out.detach().numpy(), layer.bias.detach().numpy()[None] + 1, rtol=1e-6
    )
    assert len(calls) == 1
    h1.remove()
    h2.remove()
    layer(fastnn.ones(1, 2))
    assert len(calls) == 1


def test_hooks_are_found_by_pytorchs_names_and_copied():
    layer, calls = nn.Linear(2, 2), []
    assert not layer._forward_hooks and not layer._backward_pre_hooks
    handle = layer.register_forward_hook(lambda m, args, out: calls.append("after"))
    layer.register_forward_pre_hook(lambda m, args: calls.append("before"))
    assert list(layer._forward_hooks) == [handle.id] and len(layer._forward_pre_hooks) == 1
    copied = copy.deepcopy(layer)
    handle.remove()
    assert not layer._forward_hooks and len(copied._forward_hooks) == 1
    copied(fastnn.ones(1, 2))
    layer(fastnn.ones(1, 2))
    assert calls == ["before", "after", "before"]
    copied._forward_hooks = {}  # as programs remove all of them
    copied._forward_pre_hooks.clear()
    copied(fastnn.ones(1, 2))
    assert len(calls) == 3 and not copied._forward_hooks


def test_full_backward_hook():
    layer, seen = nn.Linear(2, 3), {}

    def hook(module, grad_input, grad_output):
        seen["in"], seen["out"] = grad_input, grad_output
        return (grad_input[0] * 2,)

    layer.register_full_backward_hook(hook)
    x = fastnn.ones(1, 2, requires_grad=True)
    layer(x).sum().backward()
    expected = layer.weight.detach().numpy().sum(0, keepdims=True)
    np.testing.assert_allclose(seen["in"][0].numpy(), expected, rtol=1e-6)
    np.testing.assert_allclose(seen["out"][0].numpy(), np.ones((1, 3)))
    np.testing.assert_allclose(x.grad.numpy(), expected * 2, rtol=1e-6)


def test_containers():
    seq = nn.Sequential(OrderedDict(a=nn.Linear(2, 2), b=nn.ReLU()))
    assert list(seq.state_dict()) == ["a.weight", "a.bias"] and isinstance(seq[-1], nn.ReLU)
    assert len(seq[:1]) == 1 and "a.weight" in seq[:1].state_dict()
    items = nn.ModuleList([nn.Linear(1, 1)])
    items.append(nn.ReLU()).insert(0, nn.Tanh())
    assert [type(m).__name__ for m in items] == ["Tanh", "Linear", "ReLU"]
    del items[0]
    assert list(items.state_dict()) == ["0.weight", "0.bias"]
    table = nn.ModuleDict({"x": nn.Linear(1, 1)})
    assert "x" in table and list(table.state_dict()) == ["x.weight", "x.bias"]
    params = nn.ParameterList([fastnn.zeros(1), fastnn.zeros(2)])
    assert len(list(params.parameters())) == 2 and list(params.state_dict()) == ["0", "1"]
    named = nn.ParameterDict({"w": fastnn.zeros(3)})
    assert list(named.state_dict()) == ["w"]


def test_shared_parameters_count_once():
    net = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    net[1].weight = net[0].weight
    assert len(list(net.parameters())) == 3
    assert list(net.state_dict()) == ["0.weight", "0.bias", "1.weight", "1.bias"]


def test_mistakes_are_named():
    class Early(nn.Module):
        def __init__(self):
            self.layer = nn.Linear(1, 1)

    with pytest.raises(AttributeError, match="before Module"):
        Early()
    net = Net()
    with pytest.raises(TypeError, match="parameter 'weight'"):
        net.first.weight = fastnn.zeros(3)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = net.nothing
    with pytest.raises(KeyError, match="already exists"):
        net.register_buffer("first", fastnn.zeros(1))
    with pytest.raises(NotImplementedError, match="forward"):
        nn.Module()(1)
    with pytest.raises(ValueError, match="in_features"):
        net(fastnn.ones(2, 5))


def test_hooks_around_loading_may_mend_and_refuse():
    net = fastnn.nn.Sequential(fastnn.nn.Linear(2, 3))
    state = {"0.w": net[0].weight.detach().clone(), "0.bias": fastnn.ones(3)}

    def rename(module, state, prefix, metadata, strict, missing, unexpected, errors):
        state[prefix + "weight"] = state.pop(prefix + "w")

    handle = net[0].register_load_state_dict_pre_hook(rename)
    net.load_state_dict(state)
    assert "0.w" in state and net[0].bias.sum().item() == 3

    handle.remove()
    refuse = net.register_load_state_dict_pre_hook(lambda *args: args[-1].append("too old"))
    with pytest.raises(RuntimeError, match="too old"):
        net.load_state_dict({"0.weight": fastnn.zeros(3, 2), "0.bias": fastnn.zeros(3)})
    assert net[0].bias.sum().item() == 3
    refuse.remove()


def test_hooks_around_saving():
    net, seen = fastnn.nn.Sequential(fastnn.nn.Linear(2, 3)), []
    net[0].register_state_dict_pre_hook(lambda m, prefix, keep: seen.append((prefix, keep)))
    net.register_state_dict_post_hook(lambda m, state, prefix, meta: state.pop("0.bias"))
    assert list(net.state_dict(keep_vars=True)) == ["0.weight"]
    assert seen == [("0.", True)]
