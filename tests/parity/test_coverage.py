"""Which of PyTorch's public names fastnn has: the feed-forward part whole; what is left out is listed here with why."""

import inspect

import pytest

torch = pytest.importorskip("torch")

import fastnn

# Recurrent networks, attention and transformers are another part of the project.
LATER_MODULES = {
    "RNN", "RNNBase", "RNNCell", "RNNCellBase", "LSTM", "LSTMCell", "GRU", "GRUCell", "MultiheadAttention",
    "Transformer", "TransformerDecoder", "TransformerDecoderLayer", "TransformerEncoder", "TransformerEncoderLayer",
    "CTCLoss",
}  # fmt: skip
# Multi-GPU wrappers, and names that PyTorch itself deprecates.
NEVER_MODULES = {
    "DataParallel",
    "SyncBatchNorm",
    "CrossMapLRN2d",
    "Container",
    "NLLLoss2d",
}
LATER_FUNCTIONS = {
    "scaled_dot_product_attention",
    "scaled_grouped_mm", "scaled_mm", "grouped_mm", "multi_head_attention_forward", "ctc_loss",
}  # fmt: skip
# Its gradients are sparse tensors, which fastnn has not.
NEVER_OPTIMIZERS = {"SparseAdam"}


def public_classes(module, base):
    return {
        n
        for n, c in vars(module).items()
        if inspect.isclass(c) and issubclass(c, base) and not n.startswith("_")
    }


def functional_names():
    f = torch.nn.functional
    out = set()
    for name, value in vars(f).items():
        if name.startswith("_") or not callable(value) or inspect.isclass(value):
            continue
        home = getattr(value, "__module__", None) or ""
        if (
            home.startswith(("torch.nn", "torch._C"))
            or "torch.nn.functional" in str(value)
            or home == ""
        ):
            out.add(name)
    helpers = {"assert_int_or_pair", "handle_torch_function", "has_torch_function", "has_torch_function_unary",
               "has_torch_function_variadic", "boolean_dispatch", "reproducibility_notes", "sparse_support_str",
               "tf32_notes", "grad"}  # fmt: skip
    return (
        out
        - helpers
        - {n for n in out if n.endswith("_with_indices") and n.startswith("fractional")}
    )


def report(what, wanted, ours):
    missing = sorted(wanted - ours)
    print(
        f"{what}: {len(wanted) - len(missing)} of {len(wanted)}; missing: {', '.join(missing) or 'none'}"
    )
    return missing


def test_modules():
    wanted = public_classes(torch.nn, torch.nn.Module) | {
        "Parameter",
        "Buffer",
        "ParameterList",
        "ParameterDict",
    }
    wanted = wanted - LATER_MODULES - NEVER_MODULES
    assert report("nn", wanted, set(dir(fastnn.nn))) == []


def test_functions():
    wanted = functional_names() - LATER_FUNCTIONS
    assert len(wanted) > 90
    assert report("nn.functional", wanted, set(dir(fastnn.nn.functional))) == []


def test_optimizers():
    wanted = public_classes(torch.optim, torch.optim.Optimizer) - NEVER_OPTIMIZERS
    assert report("optim", wanted, set(dir(fastnn.optim))) == []


def test_schedulers():
    scheduler = torch.optim.lr_scheduler
    wanted = public_classes(scheduler, scheduler.LRScheduler) | {"ReduceLROnPlateau"}
    assert report("optim.lr_scheduler", wanted, set(dir(fastnn.optim.lr_scheduler))) == []


def test_initialisers():
    wanted = {
        n
        for n, v in vars(torch.nn.init).items()
        if inspect.isfunction(v) and n.endswith("_") and not n.startswith("_")
    }
    wanted |= {"calculate_gain"}
    assert report("nn.init", wanted, set(dir(fastnn.nn.init))) == []


def test_tensor_methods_and_functions_of_the_issue():
    names = [
        "reshape", "view", "transpose", "permute", "expand", "squeeze", "unsqueeze", "split", "chunk", "narrow", "flatten",
        "gather", "index_select", "masked_fill", "cumsum", "sort", "topk", "argmax", "clamp", "detach", "matmul",
        "register_hook", "requires_grad_", "scatter", "where", "unbind", "repeat", "roll", "flip", "norm", "std", "var",
    ]  # fmt: skip
    missing = [n for n in names if not hasattr(fastnn.Tensor, n)]
    assert missing == []
    functions = ["cat", "stack", "where", "einsum", "zeros", "ones", "arange", "linspace", "eye", "full", "rand", "randn",
                 "randint", "randperm", "manual_seed", "no_grad", "from_numpy", "tensor", "save", "load"]  # fmt: skip
    assert [n for n in functions if not hasattr(fastnn, n)] == []
    ours = {n for n in dir(fastnn.Tensor) if not n.startswith("_")}
    theirs = {n for n in dir(torch.Tensor) if not n.startswith("_")}
    print(f"Tensor: {len(ours & theirs)} of PyTorch's {len(theirs)} public attributes")
    strangers = ours - theirs - {"alias"}
    assert strangers == set(), f"Tensor has names that PyTorch's has not: {sorted(strangers)}"
