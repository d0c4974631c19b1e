"""The kernels on plain arrays: forward and backward functions of NumPy arrays, no Tensor in sight.

    >>> from fastnn import kernels
    >>> y = kernels.conv(x, w, b, padding=1, activation="relu")
    >>> dx, dw, db = kernels.conv_backward(dy, x, w, padding=1)

Every function takes arrays of any strides, leaves its inputs as they are, and returns new arrays. A backward takes
what its forward took or returned, and the gradient of the loss by the forward's result (`dy`). float32 and float64
everywhere; the same bits for every number of threads. Errors are those of `fastnn.errors`: ShapeError, DTypeError,
ValueError; nothing is written before the checks.
"""

from .activation import (
    activation,
    activation_backward,
    log_softmax,
    log_softmax_backward,
    softmax,
    softmax_backward,
)
from .conv import conv, conv_backward, conv_transpose, conv_transpose_backward
from .linear import gemm, linear, linear_backward
from .lookup import cross_entropy, cross_entropy_backward, embedding, embedding_backward
from .norm import (
    batch_norm,
    batch_norm_backward,
    group_norm,
    group_norm_backward,
    layer_norm,
    layer_norm_backward,
    rms_norm,
    rms_norm_backward,
)
from .pooling import avg_pool, avg_pool_backward, max_pool, max_pool_backward

__all__ = [
    "activation",
    "activation_backward",
    "avg_pool",
    "avg_pool_backward",
    "batch_norm",
    "batch_norm_backward",
    "conv",
    "conv_backward",
    "conv_transpose",
    "conv_transpose_backward",
    "cross_entropy",
    "cross_entropy_backward",
    "embedding",
    "embedding_backward",
    "gemm",
    "group_norm",
    "group_norm_backward",
    "layer_norm",
    "layer_norm_backward",
    "linear",
    "linear_backward",
    "log_softmax",
    "log_softmax_backward",
    "max_pool",
    "max_pool_backward",
    "rms_norm",
    "rms_norm_backward",
    "softmax",
    "softmax_backward",
]
