"""The references of tests/reference agree with PyTorch in float64: values and gradients."""

import pytest

torch = pytest.importorskip("torch")

from tests.catalog import OPERATORS
from tests.parity.validate import GRADIENT_BAR, validate

F = torch.nn.functional
# Floating-point arguments, by position, that have no gradient (statistics, weights, signs).
CONSTANTS = {
    "batch_norm": (1, 2),
    "instance_norm": (1, 2),
    "hinge_embedding_loss": (1,),
    "soft_margin_loss": (1,),
    "cosine_embedding_loss": (2,),
    "margin_ranking_loss": (2,),
    "cross_entropy": (2,),
    "nll_loss": (2,),
    "multi_margin_loss": (2,),
    "multilabel_soft_margin_loss": (2,),
    "mse_loss": (2,),
    "l1_loss": (2,),
    "huber_loss": (2,),
    "binary_cross_entropy": (2,),
    "binary_cross_entropy_with_logits": (2, 3),
}
BARS = {"hardsigmoid": 1e-7}  # torch's float64 gradient takes 1/6 from float32


def bags_of_embeddings(indices, weight, offsets=None, mode=None, scale_grad_by_freq=None, **_):
    """embedding_bag(mode="mean"): torch 2.13's own divides a row by the count of another one."""
    rows = F.embedding(indices, weight, scale_grad_by_freq=scale_grad_by_freq)
    ends = [*offsets[1:].tolist(), len(indices)]
    bags = [rows[a:b] for a, b in zip(offsets.tolist(), ends, strict=True)]
    return torch.stack([bag.sum(0) / max(1, len(bag)) for bag in bags])


def function_of(op, case):
    if op.name == "embedding_bag" and case.id == "frequency":
        return bags_of_embeddings
    return op.of(torch)


@pytest.mark.filterwarnings("ignore::UserWarning")  # torch's advice on kl_div, affine_grid, ...
@pytest.mark.parametrize(
    "op, case",
    [pytest.param(op, case, id=f"{op.name}-{case}") for op in OPERATORS for case in op.cases],
)
def test_reference(op, case):
    validate(
        function_of(op, case), op.forward, op.backward, case,
        skip=CONSTANTS.get(op.name, ()), bar=BARS.get(op.name, GRADIENT_BAR),
    )  # fmt: skip
