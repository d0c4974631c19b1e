"""fastnn: small, fast neural networks on hand-written kernels, under PyTorch's names."""

from __future__ import annotations

import importlib as _importlib
from typing import Any as _Any

from ._core import __version__
from ._device import device
from ._errors import DTypeError, ShapeError
from ._memory_format import (
    channels_last,
    channels_last_3d,
    contiguous_format,
    memory_format,
    preserve_format,
)
from ._printing import set_printoptions
from ._runtime import (
    empty_cache,
    get_num_threads,
    memory_stats,
    reset_peak_memory_stats,
    set_cache_limit,
    set_num_threads,
)
from ._size import Size
from .dtypes import (
    bfloat16,
    can_cast,
    double,
    dtype,
    finfo,
    float,
    float16,
    float32,
    float64,
    get_default_dtype,
    half,
    iinfo,
    int,
    int8,
    int16,
    int32,
    int64,
    long,
    promote_types,
    result_type,
    set_default_dtype,
    short,
    uint8,
)
from .dtypes import bool_ as bool
from .tensor import Tensor

from . import autograd  # isort: skip
from .autograd import (
    enable_grad,
    inference_mode,
    is_grad_enabled,
    no_grad,
    set_grad_enabled,
)
from .ops.activation import (
    celu,
    hardshrink,
    prelu,
    relu,
    relu_,
    rrelu,
    selu,
    sigmoid,
    tanh,
)
from .ops.arithmetic import (
    add,
    addcdiv,
    addcmul,
    atan2,
    div,
    divide,
    floor_divide,
    fmax,
    fmin,
    fmod,
    hypot,
    lerp,
    maximum,
    minimum,
    mul,
    multiply,
    pow,
    remainder,
    sub,
    subtract,
    true_divide,
)
from .ops.comparison import (
    allclose,
    bitwise_and,
    bitwise_left_shift,
    bitwise_not,
    bitwise_or,
    bitwise_right_shift,
    bitwise_xor,
    eq,
    equal,
    ge,
    greater,
    greater_equal,
    gt,
    isclose,
    le,
    less,
    less_equal,
    logical_and,
    logical_not,
    logical_or,
    logical_xor,
    lt,
    ne,
    not_equal,
)
from .ops.conv import (
    conv1d,
    conv2d,
    conv3d,
    conv_transpose1d,
    conv_transpose2d,
    conv_transpose3d,
)
from .ops.creation import (
    arange,
    as_tensor,
    empty,
    empty_like,
    eye,
    from_dlpack,
    from_numpy,
    frombuffer,
    full,
    full_like,
    linspace,
    logspace,
    ones,
    ones_like,
    tensor,
    tril_indices,
    triu_indices,
    zeros,
    zeros_like,
)
from .ops.cumulative import (
    cummax,
    cummin,
    cumprod,
    cumsum,
    diff,
)
from .ops.extremes import (
    amax,
    amin,
    aminmax,
    argmax,
    argmin,
    max,
    min,
)
from .ops.gathering import (
    gather,
    index_add,
    index_copy,
    index_fill,
    index_put,
    index_select,
    scatter,
    scatter_add,
    scatter_reduce,
    take,
    take_along_dim,
)
from .ops.joining import (
    atleast_1d,
    atleast_2d,
    cat,
    column_stack,
    concat,
    concatenate,
    diag,
    diag_embed,
    flip,
    hstack,
    meshgrid,
    repeat_interleave,
    roll,
    rot90,
    stack,
    tile,
    tril,
    triu,
    vstack,
)
from .ops.linalg import (
    addbmm,
    addmm,
    addmv,
    addr,
    baddbmm,
    bilinear,
    bmm,
    cdist,
    dot,
    einsum,
    ger,
    matmul,
    mm,
    mv,
    outer,
    tensordot,
    trace,
)
from .ops.masking import (
    argwhere,
    masked_fill,
    masked_scatter,
    masked_select,
    nonzero,
)
from .ops.pointwise import (
    abs,
    absolute,
    acos,
    acosh,
    arccos,
    arcsin,
    arctan,
    asin,
    asinh,
    atan,
    atanh,
    ceil,
    clamp,
    clamp_max,
    clamp_min,
    clip,
    clone,
    cos,
    cosh,
    erf,
    erfc,
    exp,
    exp2,
    expm1,
    floor,
    frac,
    isfinite,
    isinf,
    isnan,
    isneginf,
    isposinf,
    log,
    log1p,
    log2,
    log10,
    logit,
    nan_to_num,
    neg,
    negative,
    reciprocal,
    round,
    rsqrt,
    sign,
    signbit,
    sin,
    sinh,
    sqrt,
    square,
    tan,
    trunc,
    where,
)
from .ops.random import (
    bernoulli,
    multinomial,
    normal,
    rand,
    rand_like,
    randint,
    randint_like,
    randn,
    randn_like,
    randperm,
)
from .ops.reduction import (
    all,
    any,
    count_nonzero,
    mean,
    prod,
    sum,
)
from .ops.softmax import (
    log_softmax,
    softmax,
)
from .ops.sorting import (
    argsort,
    bincount,
    bucketize,
    histc,
    kthvalue,
    median,
    mode,
    msort,
    searchsorted,
    sort,
    topk,
    unique,
    unique_consecutive,
)
from .ops.statistics import (
    dist,
    logsumexp,
    norm,
    std,
    std_mean,
    var,
    var_mean,
)
from .ops.views import (
    as_strided,
    broadcast_to,
    chunk,
    diagonal,
    flatten,
    movedim,
    narrow,
    permute,
    ravel,
    reshape,
    select,
    split,
    squeeze,
    t,
    tensor_split,
    transpose,
    unbind,
    unflatten,
    unsqueeze,
)

from . import random  # isort: skip
from .random import (
    Generator,
    default_generator,
    get_rng_state,
    initial_seed,
    manual_seed,
    seed,
    set_rng_state,
)
from .serialization import load, save

from . import nn  # isort: skip


def __getattr__(name: str) -> _Any:
    """Packages that `import fastnn` leaves for their first use."""
    if name in ("cuda", "optim", "datasets", "kernels", "models", "utils"):
        return _importlib.import_module(f"fastnn.{name}")
    raise AttributeError(f"module 'fastnn' has no attribute '{name}'")
