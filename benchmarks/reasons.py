"""Why a case is below its goal: what a profile, a part measured alone or a count of bytes showed. In this order, the first
pattern found in "group: case" counts."""

from __future__ import annotations

import re

NOT_FOUND = "not looked into yet"

REASONS = (
    (
        r"gemm: .*bfloat16",
        "75 % of the time is in tiles, which wait for operands from the second-level cache (35-44 ns for a step of four "
        "tile products, where 26 ns are arithmetic) and put sums away to share B; 20 % packs, at the pace of the caches",
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
        r"conv: .*(k3|k4) s2( transposed)?, b",
        "tiles run at 98 % of the peak for 60-75 % of the time; the rest copies planes (of four pixels for each of the "
        "result), packs weights, and turns and stores results",
    ),
    (
        r"conv: other .*dims 3",
        "tiles run at the peak for three quarters of the time; the rest copies planes, three times each",
    ),
    (
        r"conv: .*@7 depthwise",
        "rows go in pairs, 14 of 16 lanes; of 34 ns a plane, its 36 multiply-adds are 6: the rest loads half rows, turns "
        "them for the taps, and stores half rows",
    ),
    (
        r"conv: .*@(28|56|112) depthwise.*training|conv: .*@14 depthwise k3, b8 training",
        "at the bandwidth of the cache or memory that eight images lie in",
    ),
    (
        r"conv: .*@14 depthwise k3 s2",
        "7 of 16 lanes of an output row are used, and every tap takes a shuffle of two vectors",
    ),
    (
        r"conv: .*depthwise",
        "three loads a row, most across cache lines, take longer than the multiply-adds (29 and 22 of 74 ns a plane of "
        "14x14); transfers between caches, 17, are not hidden behind them",
    ),
    (
        r"conv: .*(960|160|320|576|512)@7 ",
        "rows of 7 pixels fill half a vector",
    ),
    (
        r"elementwise: tanh, 64 KB",
        "25 instructions a vector, two a cycle: 12 cycles, where a ratio of 3 leaves 3; a third of it is the division "
        "that the accuracy bar needs",
    ),
    (
        r"elementwise: (add|relu), 64 KB",
        "of 2.1 us, 0.45 are the call, and 1.1 what a bare loop takes that copies 64 KB within the second-level cache",
    ),
    (
        r"elementwise: log_softmax, 64 KB",
        "one thread at work, as a second is woken for more than this only; PyTorch uses two",
    ),
    (
        r"gemm: 1x256x256 NN",
        "256 KB from the second-level cache, 2.6 us of 4.4; the call is 0.6",
    ),
    (
        r"loss: cross entropy 4096x100",
        "arithmetic: two exponentials for each of 7 vectors a row, the last a quarter full; 33 instructions a vector "
        "are half of the time",
    ),
    (
        r"loss: binary_cross_entropy_with_logits",
        "arithmetic: two exponentials, a logarithm and a division, 85 instructions a vector (the losses without them take "
        "half of the time)",
    ),
    (
        r"norm: batch norm 256x512",
        "of 73 us, 20 are the two calls; the rest runs at the bandwidth",
    ),
    (
        r"norm: batch norm 32x64x56x56",
        "26 MB are read for the sums, and again for the result, forwards and backwards",
    ),
    (
        r"embedding: .* training",
        "nearly all of it writes zeros to rows of the table's gradient that no position meets; written lines are first "
        "read, and the bandwidth is probed with two reads to a write",
    ),
    (
        r"embedding: .* forward",
        "copies of rows from anywhere in the table in both libraries; asking for later rows ahead made it slower",
    ),
    (
        r"pool: max 2x2, 64x6x28x28, channels-last",
        "six channels fill six of sixteen lanes, and each pixel of the gradient is a store of its own",
    ),
    (
        r"pool: average 2x2, 64x6x28x28, channels-last",
        "six channels fill six of sixteen lanes",
    ),
    (
        r"pool: max 3x3 s1, 8x256x28x28",
        "arithmetic: each of nine taps waits for the comparison with the one before, which looks for NaN, too; 28 pixels "
        "are 1.75 vectors",
    ),
    (
        r"pool: average 3x3 s1, 8x256x28x28",
        "nine masked loads a vector, most across cache lines; 28 pixels are 1.75 vectors",
    ),
    (
        r"pool: .* 3x3 s2, 8x64x112x112.*training",
        "26 MB of gradient go to memory: written lines are first read, and the bandwidth is probed with two reads to a "
        "write",
    ),
    (
        r"(nearest|bilinear|bicubic) x2, 4x64x32x32, channels-last",
        "a row of output is a pass down into a line and a pass along it, pixel by pixel, in calls of their own",
    ),
    (
        r"(nearest|bilinear|bicubic) x2, 4x64x32x32",
        "arithmetic: a row of output is a pass down into a line and a pass along it, with a shuffle and a product for each "
        "tap (two taps take twice as long as one)",
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
