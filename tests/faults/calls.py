"""Malformed calls over the whole public API, one expression a line, grouped by the name of the op.

Run as a script it makes every call and prints one JSON line before and one after each, so that a
crash or a hang leaves the culprit as the last line. `test_bad_input.py` judges the lines.
"""

import json
import os
import sys
import tempfile

import numpy as np

import fastnn
from fastnn import _core, nn, optim
from fastnn.nn import functional as F
from fastnn.utils import data

from .calls_layers import LAYERS

OPS = {
    "conv1d": """
        F.conv1d(x3, w1, stride=0)
        F.conv1d(x3, w1, padding=HUGE)
        F.conv1d(x3, w1, padding=-1)
        F.conv1d(x3, w2)
        F.conv1d(x3, None)
        F.conv1d(None, w1)
        F.conv1d("x", w1)
        F.conv1d(x3, w1, dilation=HUGE)
        F.conv1d(x3, w1, stride=(1, 1))
        F.conv1d(x3, w1, stride=1.5)
        F.conv1d(x3, w1, padding="some")
        F.conv1d(x3, w1, padding="same", stride=2)
        """,
    "conv2d": """
        F.conv2d(x4, w2, stride=0)
        F.conv2d(x4, w2, stride=-1)
        F.conv2d(x4, w2, stride=(1, 0))
        F.conv2d(x4, w2, stride=10**30)
        F.conv2d(x4, w2, dilation=0)
        F.conv2d(x4, w2, dilation=-3)
        F.conv2d(x4, w2, padding=-1)
        F.conv2d(x4, w2, padding=HUGE)
        F.conv2d(x4, w2, padding=2**63)
        F.conv2d(x4, w2, padding=-(2**63))
        F.conv2d(x4, w2, padding=2**40)
        F.conv2d(x4, w2, groups=0)
        F.conv2d(x4, w2, groups=-1)
        F.conv2d(x4, w2, groups=2)
        F.conv2d(x4, w2, groups=3)
        F.conv2d(x4, w2, groups=HUGE)
        F.conv2d(x4, w2, groups="1")
        F.conv2d(x4, w2, groups=None)
        F.conv2d(x4, w2[:, :, :0])
        F.conv2d(x4, w2[:, :0])
        F.conv2d(x4, w2, x2)
        F.conv2d(x4, w2, v[:3])
        F.conv2d(x4, w2, fastnn.ones(4, dtype=fastnn.float64))
        F.conv2d(x4.double(), w2)
        F.conv2d(x4.long(), w2.long())
        F.conv2d(x2, w2)
        F.conv2d(x5, w2)
        F.conv2d(x4[:, :, :2, :2], w2)
        F.conv2d(x4, w2, stride=())
        F.conv2d(x4, w2, stride=(1, 2, 3))
        F.conv2d(x4, w2, stride="ab")
        F.conv2d(x4, w2, stride=None)
        F.conv2d(x4, w2, stride=x4)
        F.conv2d(deep, w2)
        F.conv2d(x4, deep)
        """,
    "conv3d": """
        F.conv3d(x5, w2)
        F.conv3d(x5, w3, stride=(1, 1))
        F.conv3d(x5, w3, padding=(HUGE, 0, 0))
        F.conv3d(x2, w3)
        """,
    "conv_transpose": """
        F.conv_transpose1d(x3, w1.transpose(0, 1), stride=0)
        F.conv_transpose2d(x4, t2, output_padding=-1)
        F.conv_transpose2d(x4, t2, output_padding=1)
        F.conv_transpose2d(x4, t2, output_padding=HUGE)
        F.conv_transpose2d(x4, t2, stride=2, output_padding=2)
        F.conv_transpose2d(x4, t2, padding=10)
        F.conv_transpose2d(x4, t2, padding=HUGE)
        F.conv_transpose2d(x4, t2, stride=HUGE)
        F.conv_transpose2d(x4, t2, dilation=0)
        F.conv_transpose2d(x4, t2, groups=2)
        F.conv_transpose2d(x4, w2)
        F.conv_transpose2d(x4, None)
        F.conv_transpose3d(x5, t2)
        """,
    "conv": """
        _core.conv_forward(a4, aw, None, 0, 0, 1, 1)
        _core.conv_forward(a4, None, None, 1, 0, 1, 1)
        _core.conv_forward(a4.astype(object), aw, None, 1, 0, 1, 1)
        _core.conv_forward(a4.astype(complex), aw, None, 1, 0, 1, 1)
        _core.conv_forward([1, 2], aw, None, 1, 0, 1, 1)
        _core.conv_backward_input(a4, aw, (2, 3), 1, 0, 1, 1)
        _core.conv_backward_input(a4, aw, (2, 3, -1, 8), 1, 0, 1, 1)
        _core.conv_backward_input(a4, aw, (HUGE, 3, 8, 8), 1, 0, 1, 1)
        _core.conv_backward_input(a4, aw, None, 1, 0, 1, 1)
        _core.conv_backward_weight(a4, a4, (4, 3, 0, 0), 1, 0, 1, 1)
        _core.conv_backward_weight(a4, a4, (4, 3, 3, 3), 1, 0, 1, 1)
        _core.conv_backward_weight(a4, a4, "abc", 1, 0, 1, 1)
        _core.conv_backward_bias(a4, -1)
        _core.conv_backward_bias(a4, HUGE)
        """,
    "max_pool": """
        F.max_pool1d(x3, 0)
        F.max_pool1d(x3, -1)
        F.max_pool1d(x3, HUGE)
        F.max_pool1d(x4, 2)
        F.max_pool2d(x4, 0)
        F.max_pool2d(x4, 2, stride=0, padding=HUGE)
        F.max_pool2d(x4, 2, stride=-1)
        F.max_pool2d(x4, 2, padding=2)
        F.max_pool2d(x4, 2, padding=-1)
        F.max_pool2d(x4, 2, dilation=0)
        F.max_pool2d(x4, 2, dilation=HUGE)
        F.max_pool2d(x4, (2, 2, 2))
        F.max_pool2d(x4, "2")
        F.max_pool2d(x4, None)
        F.max_pool2d(x4, 1.5)
        F.max_pool2d(x4, 9)
        F.max_pool2d(x4.long(), 2)
        F.max_pool2d(x2, 2)
        F.max_pool2d(None, 2)
        F.max_pool3d(x5, (1, 1))
        F.max_pool3d(x5, 10)
        _core.max_pool(a4, 2, 2, 0, 0, 1, False, "none")
        _core.max_pool(a4, 2, 2, 2, 0, 1, False, "wrong")
        _core.max_pool(a4, 7, 2, 2, 0, 1, False, "none")
        _core.max_pool_backward(a4, ai4, (2, 3, 8, 8), 2, 2, 2, 0, 1, False)
        _core.max_pool_backward(a4, ai4.astype(np.uint8), (2, 3, 8, 8), 2, 2, 2, 0, 1, False)
        _core.max_pool_scatter(a4, ai4 + 64, (2, 3, 8, 8), 2)
        _core.max_pool_scatter(a4, ai4 - 1, (2, 3, 8, 8), 2)
        _core.max_pool_scatter(a4, ai4, (2, 3, 8), 2)
        _core.max_pool_scatter(a4, ai4.astype(np.float32), (2, 3, 8, 8), 2)
        """,
    "avg_pool": """
        F.avg_pool1d(x3, 0)
        F.avg_pool2d(x4, 2, stride=-1)
        F.avg_pool2d(x4, 2, padding=2)
        F.avg_pool2d(x4, 2, padding=HUGE)
        F.avg_pool2d(x4, 2, divisor_override=0)
        F.avg_pool2d(x4, HUGE)
        F.avg_pool2d(x4, (2,) * 5)
        F.avg_pool2d(x2, 2)
        F.avg_pool2d(x4.int(), 2)
        F.avg_pool3d(x5, -2)
        _core.avg_pool_backward(a4, (2, 3, 9, 9), 2, 2, 2, 0, False, True, None)
        _core.avg_pool_backward(a4, (HUGE, HUGE, 9, 9), 2, 2, 2, 0, False, True, None)
        F.adaptive_avg_pool2d(x4, -1)
        F.adaptive_avg_pool2d(x4, (HUGE, HUGE))
        F.adaptive_avg_pool2d(x4, (1, 2, 3))
        F.adaptive_avg_pool2d(x4, "a")
        F.adaptive_avg_pool2d(x2, 1)
        F.adaptive_avg_pool1d(x4, 1)
        """,
    "adaptive_max_pool": """
        F.adaptive_max_pool2d(x4, -1)
        F.adaptive_max_pool2d(x4, HUGE)
        F.adaptive_max_pool2d(x4[:, :, :0], 2)
        F.adaptive_max_pool1d(x4.long(), 2)
        """,
    "pool": """
        F.fractional_max_pool2d(x4, 2)
        F.fractional_max_pool2d(x4, 2, output_size=0)
        F.fractional_max_pool2d(x4, 2, output_size=20)
        F.fractional_max_pool2d(x4, 0, output_size=2)
        F.fractional_max_pool2d(x4, 2, output_ratio=2.0)
        F.fractional_max_pool2d(x4, 2, output_ratio=NAN)
        F.lp_pool2d(x4, 2, 0)
        F.lp_pool2d(x2, 2, 2)
        F.lp_pool2d(x4, 2, HUGE)
        F.max_unpool2d(x4, i4 + 5000, 2)
        F.max_unpool2d(x4, i4 - 1, 2)
        F.max_unpool2d(x4, x4, 2)
        F.max_unpool2d(x4, i4[:1], 2)
        F.max_unpool2d(x4, i4, 2, output_size=(2, 2))
        F.max_unpool2d(x4, i4, 2, stride=HUGE)
        F.max_unpool2d(x4, i4, 0, stride=0)
        """,
    "linear": """
        F.linear(x2, x2[:, :3])
        F.linear(x2, None)
        F.linear(x2, x2, v)
        F.linear(x2, x2.double())
        F.linear(x2, x3)
        F.linear("x", x2)
        """,
    "matmul": """
        fastnn.matmul(x2, x2)
        fastnn.matmul(x2, None)
        fastnn.matmul(x2, fastnn.tensor(1.0))
        fastnn.matmul(x2, x2.t().double())
        x2 @ "a"
        x3 @ x4
        """,
    "mm": """
        fastnn.mm(x2, x2)
        fastnn.mm(x3, x3)
        fastnn.bmm(x3, x3)
        fastnn.bmm(x2, x2)
        fastnn.mm(x2, 3)
        fastnn.addmm(v[:2], x2, x2.t())
        fastnn.addmm(v, x2, x2)
        """,
    "gemm": """
        _core.gemm(a2, a2)
        _core.gemm(a2, a2.T, np.ones(7, np.float32))
        _core.gemm(a2, a2.T, None, np.zeros((2, 2), np.float32))
        _core.gemm(a2, a2.T, None, frozen33)
        _core.gemm(a2, a2.T.astype(np.float64))
        _core.gemm(a2.astype(complex), a2.T.astype(complex))
        _core.gemm(None, a2)
        """,
    "dot": "fastnn.dot(v, v[:2]); fastnn.dot(x2, x2)",
    "mv": "fastnn.mv(x2, v[:2]); fastnn.mv(v, v)",
    "einsum": """
        fastnn.einsum("ij,jk->ik", x2, x2)
        fastnn.einsum("ij", x3)
        fastnn.einsum("i$", x2)
        fastnn.einsum("ij->k", x2)
        """,
    "bilinear": "F.bilinear(x2, x2, x4); F.bilinear(x2, x2, x3)",
    "cdist": "fastnn.cdist(x2, x3); fastnn.cdist(v, v); fastnn.cdist(x2, x2, p=-1.0)",
    "batch_norm": """
        F.batch_norm(x4, None, None)
        F.batch_norm(x4, v, v)
        F.batch_norm(x4, v[:3], v[:3], v)
        F.batch_norm(x4, v[:3], v[:3].double())
        F.batch_norm(x4.long(), v[:3], v[:3])
        F.batch_norm(fastnn.ones(1, 3), v[:3], v[:3], training=True)
        F.batch_norm(v, v, v)
        F.batch_norm(None, v, v)
        _core.batch_norm(a4, None, None, frozen3, frozen3, True, 0.1, 1e-5)
        _core.batch_norm_backward(a4, a2, None, None, None, True, True, True, True)
        """,
    "norm": """
        F.layer_norm(x4, (7,))
        F.layer_norm(x4, ())
        F.layer_norm(x4, (8,), v)
        F.layer_norm(x4, (8, 8, 8, 8, 8))
        F.layer_norm(x4, "a")
        F.layer_norm(x4.long(), (8,))
        F.rms_norm(x4, (3,))
        F.rms_norm(x4, (8,), v)
        F.group_norm(x4, 0)
        F.group_norm(x4, 2)
        F.group_norm(x4, -3)
        F.group_norm(x4, HUGE)
        F.group_norm(x4, 3, v)
        F.group_norm(v, 1)
        F.instance_norm(x4, v, v)
        F.instance_norm(fastnn.ones(2, 3, 1))
        F.instance_norm(x2.long())
        F.local_response_norm(x4, 0)
        F.local_response_norm(x4, -2)
        F.local_response_norm(x2, HUGE)
        x2.norm(dim=5)
        x2.norm(p="wrong")
        """,
    "cross_entropy": """
        F.cross_entropy(x2, fastnn.tensor([0, 1, 4]))
        F.cross_entropy(x2, fastnn.tensor([0, 1, -1]))
        F.cross_entropy(x2, fastnn.tensor([0, 1, HUGE]))
        F.cross_entropy(x2, lab[:2])
        F.cross_entropy(x2, lab, weight=v[:2])
        F.cross_entropy(x2, lab, reduction="some")
        F.cross_entropy(x2, lab, label_smoothing=2.0)
        F.cross_entropy(x2, lab, label_smoothing=NAN)
        F.cross_entropy(x2, lab, label_smoothing=-0.1)
        F.cross_entropy(x2, None)
        F.cross_entropy(x2, lab.float())
        F.cross_entropy(x2.long(), lab)
        F.cross_entropy(fastnn.tensor(1.0), fastnn.tensor(0))
        F.cross_entropy(x4, lab)
        _core.cross_entropy(a2, np.array([0, 1, 9]), None, -100, 0.0, 1)
        _core.cross_entropy_backward(a2, a2, np.array([0, 9, 1]), None, a2, -100, 0.0, 1)
        """,
    "nll_loss": """
        F.nll_loss(x2, fastnn.tensor([0, 1, 4]))
        F.nll_loss(x2, fastnn.tensor([0, 1, -2]))
        F.nll_loss(x2, lab[:2])
        F.nll_loss(x2, x2)
        F.nll_loss(x2, lab, v[:1])
        F.nll_loss(x2, lab, reduction=3)
        _core.nll_loss(a2, np.array([0, 1, 9]), None, -100, 1)
        _core.nll_loss_backward(np.float32(1), (3, 4), np.array([0, 1, 9]), None, 1.0, -100, 1)
        """,
    "loss": """
        F.mse_loss(x2, x3)
        F.mse_loss(x2, None)
        F.mse_loss(x2, x2, reduction="avg")
        F.l1_loss(x2, "x")
        F.l1_loss(x2, x3)
        F.smooth_l1_loss(x2, x2, beta=-1.0)
        F.smooth_l1_loss(x2, x4)
        F.huber_loss(x2, x2, delta=0.0)
        F.kl_div(x2, x3)
        F.poisson_nll_loss(x2, x3)
        F.gaussian_nll_loss(x2, x2, -x2.abs() - 1)
        F.gaussian_nll_loss(x2, x2, v[:3])
        F.hinge_embedding_loss(x2, x3)
        F.soft_margin_loss(x2, x3)
        F.multilabel_soft_margin_loss(x2, x3)
        F.multi_margin_loss(x2, fastnn.tensor([0, 1, 7]))
        F.multi_margin_loss(x2, fastnn.tensor([0, 1, -7]))
        F.multi_margin_loss(x2, lab, p=3)
        F.multi_margin_loss(x2, lab[:2])
        F.multilabel_margin_loss(x2, fastnn.full((3, 4), 9))
        F.multilabel_margin_loss(x2, x2)
        F.multilabel_margin_loss(x2, lab)
        F.margin_ranking_loss(x2, x3, v)
        F.cosine_embedding_loss(x2, x2, x2)
        F.triplet_margin_loss(x2, x2, x3)
        F.triplet_margin_loss(x2, x2, x2, margin=-1.0)
        """,
    "binary_cross_entropy": """
        F.binary_cross_entropy(x2.sigmoid(), v)
        F.binary_cross_entropy(x2.sigmoid() + 5, x2.sigmoid())
        F.binary_cross_entropy(x2.sigmoid(), None)
        F.binary_cross_entropy_with_logits(x2, v)
        F.binary_cross_entropy_with_logits(x2, x2, pos_weight=v[:2])
        """,
    "distance": "F.pairwise_distance(x2, v[:3]); F.pdist(x3)",
    "cosine_similarity": "F.cosine_similarity(x2, x2, dim=4); F.cosine_similarity(x2, 'a')",
}

TENSORS = {
    "softmax": """
        x2.softmax(2)
        x2.softmax(-3)
        x2.softmax("a")
        F.softmax(None, 0)
        F.log_softmax(x2, 7)
        _core.softmax(a2, 9)
        _core.softmax_backward(a2, a4, 0)
        """,
    "glu": "F.glu(x2[:, :3]); F.glu(x2, 4)",
    "prelu": "F.prelu(x2, v[:2]); F.prelu(x2, x2)",
    "activation": """
        _core.activation("nothing", a2)
        _core.activation("relu", ai4)
        _core.activation("relu", None)
        _core.activation_backward("tanh", a2, a4)
        """,
    "gelu": "F.gelu(x2, approximate='no'); F.gelu(x2.long()); F.gelu(None)",
    "relu": "F.relu(None); F.relu('a')",
    "dropout": """
        F.dropout(x2, p=-0.1)
        F.dropout(x2, p=1.1)
        F.dropout(x2, p=NAN)
        F.dropout(x2, p="a")
        F.dropout2d(x4, p=2)
        F.alpha_dropout(x2, p=-1, training=True)
        _core.dropout(a2, 7.0, 0, 0)
        """,
    "pad": """
        F.pad(x4, (1,))
        F.pad(x4, (1,) * 10)
        F.pad(x4, (-5, -5))
        F.pad(x4, (HUGE, HUGE))
        F.pad(x4, (8, 8), mode="reflect")
        F.pad(x4, (9, 9), mode="circular")
        F.pad(x4, (1, 1), mode="none")
        F.pad(x4, (1.5, 1))
        F.pad(x4, "ab")
        F.pad(x2, (1, 1, 1, 1, 1, 1), mode="replicate")
        _core.pad_backward(a4, (1, 2, 3), "reflect")
        """,
    "fold": """
        F.unfold(x4, 0)
        F.unfold(x4, 20)
        F.unfold(x4, 2, stride=0)
        F.unfold(x4, 2, padding=HUGE)
        F.unfold(x3, 2, dilation=HUGE)
        F.fold(x3, (4, 4), 3)
        F.fold(x3, (HUGE, 4), 3)
        F.fold(x3, (-4, 4), 1)
        F.fold(x3, (4, 4), 0)
        """,
    "interpolate": """
        F.interpolate(x4)
        F.interpolate(x4, size=0)
        F.interpolate(x4, size=(HUGE, HUGE))
        F.interpolate(x4, size=4, scale_factor=2)
        F.interpolate(x4, scale_factor=-1)
        F.interpolate(x4, scale_factor=NAN)
        F.interpolate(x4, scale_factor=1e30)
        F.interpolate(x4, size=4, mode="cubist")
        F.interpolate(x4, size=4, mode="linear")
        F.interpolate(x4, size=(1, 2, 3))
        F.interpolate(x2, size=3)
        """,
    "grid": """
        F.grid_sample(x4, x4)
        F.grid_sample(x4, fastnn.ones(2, 3, 3, 2), mode="x", align_corners=False)
        F.grid_sample(x4, fastnn.ones(3, 3, 3, 2), align_corners=False)
        F.grid_sample(x4, None)
        F.affine_grid(x4, (1, 2, 3, 4))
        F.affine_grid(fastnn.ones(1, 2, 3), (1, 1, 0, 0))
        F.affine_grid(fastnn.ones(1, 2, 3), (1, 1, HUGE, HUGE))
        """,
    "shuffle": """
        F.pixel_shuffle(x4, 2)
        F.pixel_shuffle(x4, 0)
        F.pixel_shuffle(x4, -1)
        F.pixel_unshuffle(x4, 3)
        F.pixel_unshuffle(x4, 0)
        F.channel_shuffle(x4, 2)
        F.channel_shuffle(x4, 0)
        """,
    "one_hot": "F.one_hot(lab, 2); F.one_hot(lab - 1); F.one_hot(x2); F.one_hot(lab, HUGE)",
    "index": """
        x2[7]
        x2[-4]
        x2[fastnn.tensor([9])]
        x2[0, 0, 0]
        x2["a"]
        x2[1.5]
        x2[fastnn.tensor([True, False])]
        x2[x2]
        x2[lab, lab[:2]]
        x2.__setitem__(9, 1.0)
        x2.__setitem__(0, x4)
        x2.__setitem__(0, "a")
        x2.__setitem__(fastnn.tensor([0, 8]), 5.0)
        """,
    "gather": """
        x2.gather(0, fastnn.tensor([[3]]))
        x2.gather(0, fastnn.tensor([[-1]]))
        x2.gather(3, fastnn.tensor([[0]]))
        x2.gather(0, lab)
        x2.gather(0, x2)
        x2.gather(0, fastnn.zeros(9, 9, dtype=fastnn.int64))
        """,
    "scatter": """
        x2.scatter(0, fastnn.tensor([[7]]), x2)
        x2.scatter_(0, fastnn.tensor([[0], [7]]), fastnn.ones(2, 1))
        x2.scatter(0, fastnn.tensor([[0, 1, 2, 1, 1]]), x2)
        x2.scatter_add(0, fastnn.tensor([[HUGE]]), x2)
        x2.scatter_reduce(0, fastnn.tensor([[0]]), x2, "wrong")
        """,
    "index_select": "x2.index_select(0, fastnn.tensor([3])); x2.index_select(0, x2)",
    "index_add": """
        x2.index_add(0, fastnn.tensor([7]), x2[:1])
        x2.index_add_(0, fastnn.tensor([0, 7]), x2[:2])
        x2.index_add(0, fastnn.tensor([0]), x2)
        """,
    "index_copy": "x2.index_copy(0, fastnn.tensor([3]), x2[:1])",
    "index_fill": "x2.index_fill(0, fastnn.tensor([3]), 1.0)",
    "index_put": "x2.index_put((fastnn.tensor([3]),), v); x2.index_put(None, v)",
    "masked": """
        x2.masked_fill(v, 1.0)
        x2.masked_fill(x3 > 0, 1.0)
        x2.masked_select(x3 > 0)
        x2.masked_scatter(x2 == x2, v)
        """,
    "take": "x2.take(fastnn.tensor([12])); x2.take(fastnn.tensor([-13])); x2.take(x2)",
    "view": "x2.view(5); x2.view(-1, -1); x2.view(-2); x2.t().view(12); x2.view(HUGE, HUGE)",
    "reshape": """
        x2.reshape(5)
        x2.reshape(-1, -1)
        x2.reshape(0, -1)
        x2.reshape("a")
        x2.reshape(-1, 0)
        x2.reshape((3, None))
        """,
    "expand": "x2.expand(5, 4); x2.expand(-1); x2.expand(HUGE, HUGE, 3, 4); x2.expand(-1, 3, 4)",
    "as_strided": """
        x2.as_strided((100, 100), (1, 1))
        x2.as_strided((2, 2), (-1, 1))
        x2.as_strided((2,), (1, 1))
        x2.as_strided((2,), (HUGE,))
        x2.as_strided((2,), (1,), -4)
        x2.as_strided((-2,), (1,))
        x2.as_strided((2,), (1,), HUGE)
        """,
    "narrow": "x2.narrow(0, 0, 9); x2.narrow(0, 0, -1); x2.narrow(5, 0, 1); x2.narrow(0, 4, 1)",
    "transpose": "x2.transpose(0, 3); x2.transpose('a', 0); x2.transpose(-3, 0)",
    "permute": "x2.permute(0); x2.permute(0, 0); x2.permute(0, 5)",
    "split": "x2.split(-1); x2.split(0); x2.split([1, 1]); x2.split(1, 4)",
    "chunk": "x2.chunk(0); x2.chunk(-2); x2.chunk(2, 9)",
    "select": "x2.select(0, 3); x2.select(4, 0)",
    "squeeze": "x2.squeeze(2); x2.unsqueeze(4); x2.unsqueeze('a')",
    "flatten": "x4.flatten(2, 1); x4.unflatten(1, (2, 2)); x4.unflatten(1, (-1, -1)); x4.flatten(9)",
    "diagonal": "x2.diagonal(0, 0, 0); v.diagonal(); x2.diagonal(0, 0, 9)",
    "unfold": "x2.unfold(0, 5, 1); x2.unfold(0, 1, 0); x2.unfold(0, -1, 1)",
    "repeat": "x2.repeat(2); x2.repeat(-1, 2); x2.repeat(HUGE, HUGE); x2.repeat_interleave(-1)",
    "cat": """
        fastnn.cat([])
        fastnn.cat([x2, x3])
        fastnn.cat([x2, None])
        fastnn.cat([x2, x2], 5)
        fastnn.cat(x2)
        fastnn.cat(3)
        """,
    "stack": "fastnn.stack([]); fastnn.stack([x2, x3]); fastnn.stack([x2], 9)",
    "roll": "x2.roll(1, 9); x2.roll((1, 2), (0,)); x2.roll('a', 0)",
    "flip": "x2.flip(5); x2.flip(0, 0)",
    "sum": "x2.sum(5); x2.sum((0, 0)); x2.sum('a'); _core.sum(a2, (9,), False)",
    "mean": "x2.mean(5); x2.long().mean(); _core.mean('a')",
    "max": "x2.max(5); fastnn.ones(0, 3).max(); fastnn.ones(0, 3).max(0); x2.max('a')",
    "argmax": "x2.argmax(4); fastnn.ones(0).argmax(); fastnn.ones(0, 3).argmax(0)",
    "amax": "fastnn.ones(0, 3).amax(0); x2.amax((0, 0))",
    "var": "x2.var(5); x2.long().var(); x2.std(dim='a')",
    "cumsum": "x2.cumsum(4); x2.cumsum('a'); _core.cumsum(a2, 9); _core.cummax(None, 0)",
    "topk": "x2.topk(9); x2.topk(-1); x2.topk(1, 5)",
    "sort": "x2.sort(5); x2.argsort(-9)",
    "kthvalue": "x2.kthvalue(0); x2.kthvalue(9); x2.kthvalue(1, 7)",
    "bincount": "fastnn.bincount(lab - 1); x2.long().bincount(); x2.bincount()",
    "histc": "x2.histc(0); x2.histc(4, 3, 1); x2.histc(-1); x2.histc(4, NAN, 1)",
    "searchsorted": "fastnn.searchsorted(x2, x3); fastnn.searchsorted('a', x2)",
    "clamp": "x2.clamp(); x2.clamp('a'); x2.clamp(x3); _core.clamp(a2, 'a', None)",
    "add": """
        x2 + x3
        x2 + "a"
        x2 + None
        x2.add(x2, alpha="a")
        x2.add_(x3)
        x2.long().add_(0.5)
        _core.add(a2, a4)
        _core.add(a2, a2, out=np.zeros((2, 2), np.float32))
        _core.add(a2, a2, out=frozen33)
        _core.add(a2.astype(object), a2)
        _core.add(a2, None)
        _core.add(a2)
        _core.add(a2.astype("M8[s]"), a2)
        """,
    "mul": "x2.mul(x4); x2.mul_(x4); x2 * [1]; x2 * 'a'; _core.mul(a2, 'a')",
    "div": "x2.div(x4); x2.div(x2, rounding_mode='up'); x2.div_(x3)",
    "pow": "x2.pow(x4); fastnn.tensor([2]) ** -1; x2 ** 'a'; x2.pow(None)",
    "bitwise": "x2 & x2; fastnn.bitwise_not(x2); lab | x2",
    "where": "fastnn.where(x2, x2, x2); fastnn.where(x2 > 0, x2, x3); fastnn.where(None, x2, x2)",
    "lerp": "x2.lerp(x3, 0.5); x2.lerp(x2.double(), 0.5); x2.lerp(x2, None)",
    "exp": "fastnn.exp('a'); fastnn.exp(None); _core.exp(a2.astype(complex)); _core.exp([1])",
    "copy": "x2.copy_(x3); x2.copy_('a'); x2.copy_(None); _core.copy_to(frozen33, a2)",
    "fill": "x2.fill_('a'); x2.fill_(x2); x2.fill_(None)",
    "item": "x2.item(); fastnn.ones(0).item()",
    "backward": """
        x2.backward()
        (g2 * 2).backward()
        (g2 * 2).backward(x4)
        (g2 * 2).sum().backward("a")
        fastnn.autograd.grad(g2.sum(), x2)
        fastnn.autograd.grad(g2 * 2, g2)
        fastnn.autograd.grad(None, g2)
        twice(g2)
        """,
    "grad": """
        lab.requires_grad_()
        g2.add_(1.0)
        g2.numpy()
        setattr(g2, "grad", x4)
        setattr(g2, "grad", "a")
        (g2 * 2).requires_grad_(False)
        """,
    "tensor": """
        fastnn.tensor(None)
        fastnn.tensor("a")
        fastnn.tensor([1, [2]])
        fastnn.tensor([1, "a"])
        fastnn.tensor(1j)
        fastnn.tensor(object())
        fastnn.tensor([1], dtype="float33")
        fastnn.tensor([10**30])
        fastnn.from_numpy(a2.astype(object))
        fastnn.from_numpy(a2.astype(complex))
        fastnn.from_numpy([1])
        fastnn.from_numpy(np.ones((1,) * 20))
        fastnn.from_numpy(np.zeros(2, "S3"))
        fastnn.from_dlpack(3)
        fastnn.frombuffer(b"", dtype=fastnn.float32)
        fastnn.frombuffer(b"123", dtype=fastnn.float32)
        fastnn.frombuffer(b"12345678", dtype=fastnn.float32, offset=9)
        bool(x2)
        len(fastnn.tensor(1))
        int(x2)
        iter(fastnn.tensor(1))
        hash_key(x2)
        """,
    "creation": """
        fastnn.zeros(-1)
        fastnn.zeros(HUGE, HUGE)
        fastnn.ones(HUGE)
        fastnn.empty(2**50)
        fastnn.full((2, -3), 1.0)
        fastnn.full((2,), "a")
        fastnn.zeros("a")
        fastnn.zeros(1.5)
        fastnn.zeros(*[1] * 70)
        fastnn.arange(0, 1, 0)
        fastnn.arange(0, 1, -1)
        fastnn.arange(0, NAN)
        fastnn.arange(0, INF)
        fastnn.arange(HUGE)
        fastnn.linspace(0, 1, -1)
        fastnn.linspace(0, 1, HUGE)
        fastnn.eye(-1)
        fastnn.eye(HUGE)
        fastnn.zeros_like("a")
        """,
    "random": """
        fastnn.rand(-1)
        fastnn.randn(HUGE, HUGE)
        fastnn.randint(5, 5, (2,))
        fastnn.randint(5, 2, (2,))
        fastnn.randperm(-1)
        fastnn.randperm(HUGE)
        fastnn.normal(0.0, -1.0, (2,))
        fastnn.bernoulli(x2 + 9)
        fastnn.bernoulli(fastnn.tensor([NAN]))
        fastnn.multinomial(-x2.abs() - 1, 1)
        fastnn.multinomial(v, 9)
        fastnn.multinomial(v, 0)
        fastnn.multinomial(fastnn.zeros(3), 1)
        fastnn.multinomial(v * NAN, 1)
        fastnn.manual_seed("a")
        fastnn.set_rng_state(x2)
        x2.uniform_(2, 1)
        x2.normal_(0, -1)
        x2.exponential_(-1)
        x2.geometric_(2)
        x2.random_(5, 2)
        _core.random_uniform_(frozen33, 0, 0, 0.0, 1.0)
        _core.random_uniform_(None, 0, 0, 0.0, 1.0)
        """,
}

TABLES = (OPS, TENSORS, LAYERS)


def calls():
    """Pairs of a name and an expression; entries are parted by line ends or by semicolons."""
    for table in TABLES:
        for name, text in table.items():
            for line in text.replace(";", "\n").splitlines():
                if line.strip():
                    yield name, line.strip()


def twice(leaf):
    """A second backward through a freed graph."""
    loss = (leaf * leaf).sum()
    loss.backward()
    loss.backward()


def hash_key(x):
    return range(5)[x]


def namespace(folder):
    rng = np.random.default_rng(0)

    def array(*shape):
        return rng.standard_normal(shape).astype(np.float32)

    def frozen(*shape):
        out = np.zeros(shape, np.float32)
        out.flags.writeable = False
        return out

    a2, a4 = array(3, 4), array(2, 3, 8, 8)
    shapes = {"v": (4,), "x2": (3, 4), "x3": (2, 3, 8), "x4": (2, 3, 8, 8), "x5": (2, 3, 4, 4, 4),
              "w1": (4, 3, 3), "w2": (4, 3, 3, 3), "w3": (4, 3, 3, 3, 3), "t2": (3, 4, 3, 3)}  # fmt: skip
    tensors = {name: fastnn.from_numpy(array(*shape)) for name, shape in shapes.items()}
    return tensors | {
        "fastnn": fastnn, "F": F, "nn": nn, "optim": optim, "data": data, "_core": _core, "np": np,
        "HUGE": 2**62, "NAN": float("nan"), "INF": float("inf"), "twice": twice,
        "hash_key": hash_key, "g2": fastnn.ones(3, 4, requires_grad=True),
        "lab": fastnn.tensor([0, 1, 2]), "i4": fastnn.zeros(2, 3, 8, 8, dtype=fastnn.int64),
        "deep": _core.wrap(np.ones((1,) * 20, np.float32)),
        "a2": a2, "a4": a4, "aw": array(4, 3, 3, 3), "ai4": np.zeros((2, 3, 8, 8), np.int64),
        "frozen3": frozen(3), "frozen33": frozen(3, 3), "folder": folder,
        "p": nn.Parameter(fastnn.ones(2)),
    }  # fmt: skip


def bits(names):
    arrays = {k: getattr(v, "_data", v) for k, v in names.items()}
    return {k: (v.shape, v.tobytes()) for k, v in arrays.items() if isinstance(v, np.ndarray)}


def main():
    with tempfile.TemporaryDirectory() as folder:
        with open(os.path.join(folder, "junk"), "wb") as f:
            f.write(b"\xff" * 100)
        for name, text in calls():
            print(json.dumps({"begin": text}), flush=True)
            names = namespace(folder)
            before = bits(names)
            line = {"op": name, "call": text, "error": None, "text": "", "changed": []}
            try:
                eval(text, names)
            except BaseException as e:  # the point is which classes come out
                line |= {"error": [c.__name__ for c in type(e).__mro__], "text": str(e)}
            names.pop("__builtins__", None)
            after = bits(names)
            line["changed"] = [k for k in before if before[k] != after[k]]
            print(json.dumps(line), flush=True)


if __name__ == "__main__":
    sys.exit(main())
