"""Adaptive softmax: a cheap classifier for very many classes of which few are frequent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from ..ops import joining
from ..ops.softmax import log_softmax
from .container import ModuleList, Sequential
from .linear import Linear
from .module import Module


class ASMoutput(NamedTuple):
    """What AdaptiveLogSoftmaxWithLoss gives: the log probability of each target, and their negative mean."""

    output: Any
    loss: Any


class AdaptiveLogSoftmaxWithLoss(Module):
    """Log softmax over `n_classes` classes sorted by frequency, frequent ones first (Grave et al. 2017).

    The head tells apart the first cutoffs[0] classes and one cluster for each range between cutoffs; a cluster's classes
    are told apart by its tail, two linear layers over in_features // div_value**(i + 1) features.
    Shapes: input (N, in_features) or (in_features,), target (N,) or (); output as target, loss ().
    Raises ValueError for cutoffs that do not increase strictly between 1 and n_classes - 1, RuntimeError for a target
    outside of [0, n_classes).
    """

    def __init__(
        self,
        in_features: int,
        n_classes: int,
        cutoffs: Sequence[int],
        div_value: float = 4.0,
        head_bias: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        cutoffs = list(cutoffs)
        if not cutoffs:
            raise ValueError("cutoffs should be a sequence of length larger than 0")
        whole = all(int(c) == c for c in cutoffs)
        if (
            not whole
            or sorted(set(cutoffs)) != cutoffs
            or cutoffs[0] < 1
            or cutoffs[-1] >= n_classes
        ):
            raise ValueError(
                "cutoffs should be a sequence of unique, positive integers sorted in an increasing order, "
                f"where each value is between 1 and n_classes-1; got {cutoffs} for {n_classes} classes"
            )
        self.in_features = in_features
        self.n_classes = n_classes
        self.cutoffs = [*cutoffs, n_classes]
        self.div_value = div_value
        self.head_bias = head_bias
        self.shortlist_size = cutoffs[0]
        self.n_clusters = len(cutoffs)
        self.head_size = self.shortlist_size + self.n_clusters
        options = {"device": device, "dtype": dtype}
        self.head = Linear(in_features, self.head_size, bias=head_bias, **options)
        self.tail = ModuleList()
        for i in range(self.n_clusters):
            hidden = int(in_features // div_value ** (i + 1))
            classes = self.cutoffs[i + 1] - self.cutoffs[i]
            self.tail.append(
                Sequential(
                    Linear(in_features, hidden, bias=False, **options),
                    Linear(hidden, classes, bias=False, **options),
                )
            )

    def reset_parameters(self) -> None:
        """New random parameters."""
        self.head.reset_parameters()
        for projection, classes in self.tail:
            projection.reset_parameters()
            classes.reset_parameters()

    def forward(self, input_: Any, target_: Any) -> ASMoutput:
        batched = target_.dim() > 0
        if target_.dim() > 1:
            raise RuntimeError("0D or 1D target tensor expected, multi-target not supported")
        if input_.dim() != 1 + batched or (batched and input_.shape[0] != target_.shape[0]):
            raise RuntimeError(
                f"input of shape {tuple(input_.shape)} and target of shape {tuple(target_.shape)} do not "
                "belong together; expected (N, in_features) and (N,), or (in_features,) and ()"
            )
        x, target = (input_, target_) if batched else (input_.unsqueeze(0), target_.unsqueeze(0))
        inside = (target >= 0) & (target < self.n_classes)
        if not bool(inside.all()):
            raise RuntimeError(
                f"Target values should be in [0, {self.n_classes - 1}], but values in range "
                f"[{target.min().item()}, {target.max().item()}] were found."
            )
        of_head = target.clone()
        rows, in_cluster = [], []
        for i, tail in enumerate(self.tail):
            low, high = self.cutoffs[i], self.cutoffs[i + 1]
            here = ((target >= low) & (target < high)).nonzero().flatten()
            if here.numel() == 0:
                continue
            of_head[here] = self.shortlist_size + i
            classes = (target[here] - low).unsqueeze(1)
            rows.append(here)
            in_cluster.append(log_softmax(tail(x[here]), 1).gather(1, classes).squeeze(1))
        output = log_softmax(self.head(x), 1).gather(1, of_head.unsqueeze(1)).squeeze(1)
        if rows:
            output = output.index_add(0, joining.cat(rows), joining.cat(in_cluster))
        loss = (-output).mean()
        return ASMoutput(output if batched else output.squeeze(0), loss)

    def log_prob(self, input: Any) -> Any:
        """Log probabilities of all classes: (N, in_features) to (N, n_classes)."""
        head = log_softmax(self.head(input), 1)
        parts = [head[:, : self.shortlist_size]]
        for i, tail in enumerate(self.tail):
            cluster = head[:, self.shortlist_size + i].unsqueeze(1)
            parts.append(log_softmax(tail(input), 1) + cluster)
        return joining.cat(parts, 1)

    def predict(self, input: Any) -> Any:
        """The most probable class of each row: (N, in_features) to (N,)."""
        return self.log_prob(input).argmax(dim=1)
