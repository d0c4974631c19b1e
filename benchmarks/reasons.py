"""Why a case is below its goal: what a profile, a part measured alone or a count of bytes showed. In this order, the first
pattern found in "group: case" counts."""

from __future__ import annotations

import re

NOT_FOUND = "not looked into yet"

REASONS = (
    (
        r"gemm: .*bfloat16",
        "72 % of the time is in tiles, whose operands come from the second-level cache (blocks that fit the first one "
        "gain at 512 only); 14 % packs, 8 % stores",
    ),
    (
        r"gemm: (512|513|1023|1024|2048)x(512|513|1023|1024|2048)x",
        "packing, 8 % of the time, waits for the third-level cache (the tiles alone run at 98 % of the peak)",
    ),
    (
        r"gemm: (1|2|4|8|16)x(1024|4096)x|x1 (NN|TN|NT)|linear 1x|linear 8x4096",
        "the matrix is read once: both libraries are at the bandwidth of the cache or memory it lies in",
    ),
    (
        r"inference: MLP",
        "the weights, 2.6 MB, are read once from the third-level cache: both libraries are at its bandwidth",
    ),
    (
        r"linear (64|256)x|MLP 784",
        "products at 70-90 % of the peak in both libraries: no room for the ratio",
    ),
    (
        r"conv: .*k1( |,)",
        "half of the time reads the image, from the third-level cache or memory, into panels",
    ),
    (
        r"conv: .*(960|160|320|576|512)@7 |conv: .*@14 depthwise",
        "rows of 7 and 14 pixels fill half a vector",
    ),
    (
        r"64x6x28x28, channels-last",
        "six channels fill six of sixteen lanes",
    ),
    (
        r"(nearest|bilinear|bicubic) x2, 4x64x32x32",
        "along a row, inputs of neighbouring outputs are gathered, a lane at a time",
    ),
    (
        r"inference: small CNN",
        "products are 60 % of a convolution's time, Winograd's transforms and the writing of rows the rest",
    ),
    (
        r"inference: MobileNetV2",
        "products at 7x7 and 14x14 run at 65-80 % of the peak; of two threads, each waits a seventh of the time",
    ),
)


def reason(group: str, case: str) -> str:
    name = f"{group}: {case}"
    return next((text for pattern, text in REASONS if re.search(pattern, name)), NOT_FOUND)
