"""Why a case is below its goal: what a profile, a part measured alone or a count of bytes showed. In this order, the first
pattern found in "group: case" counts."""

from __future__ import annotations

import re

from benchmarks import reasons_avx2

NOT_FOUND = "not looked into yet"

MATRIX_UNIT = (
    "larger products by the matrix unit of AMX (see docs/gemm.md): this is less than half as fast while a "
    "neighbour's thread runs on the same core"
)

REASONS = (
    (
        r"gemm: .*bfloat16",
        "78-84 % of the time is in tiles, which wait for operands from the second-level cache and put sums away to share B "
        "(a step of four tile products takes 26 ns of arithmetic); 9-15 % packs B, at the pace of the caches",
    ),
    (
        r"gemm: 4096x512x16",
        "16 columns are one vector, so that a tile loads as often as it multiplies, while A, 8 MB, comes from the "
        "third-level cache",
    ),
    (
        r"gemm: (64x64x4096|64x4096x64)",
        "tiles take all of the time: they read the long operand where it is, every value for 64 rows or columns, and wait "
        "for it; sums of 64 products begin, end and are stored",
    ),
    (
        r"gemm: (31x31x31|32x32x32|47x47x47|65x65x65|127x129x131)",
        "tiles of 31-131 products begin, end and are stored, the last vector of a row is not full; below 66 the plan of "
        "the call takes 7-24 %, a few tenths of a microsecond",
    ),
    (
        r"gemm: (64x64x64|127x127x127|128x128x128)",
        "tiles are 83-94 % of the time (7-9 % packs where an operand is transposed): a few tenths more than their "
        "multiply-adds, as sums of 64-128 products begin, end and are stored; two threads share 12 us of work",
    ),
    (
        r"gemm: batch (8 of 256x64x256|32 of 64x64x64)",
        "tiles are 80-85 % of the time: each has 64 products to a sum, and begins, ends and is stored for them",
    ),
    (
        r"gemm: batch (256 of 8x8x8|64 of 17x33x19)",
        "half of a product's time, 44 ns for 8x8x8, finds task, block and tile; 8 columns are half of a vector",
    ),
    (
        r"gemm: 256x256x256",
        "tiles that read both operands where they are take 97 % of the time, on two threads 90 %, where 6 % wait for the "
        "other and share out; sums of 256 products begin, end and are stored; " + MATRIX_UNIT,
    ),
    (
        r"gemm: (255|512|513|1023|1024|2048|4096)x(255|512|513|1023|1024|2048|4096)x",
        "packing, 8 % of the time, waits for the third-level cache (the tiles alone run at 98 % of the peak); "
        + MATRIX_UNIT,
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
        r"steps: LeNet-5",
        "PyTorch's time varies by a fifth from run to run: 2.8 to 3.7 in four of them on one day",
    ),
    (
        r"linear 256x|MLP 784",
        "products at 70-90 % of the peak in both libraries: no room for the ratio; " + MATRIX_UNIT,
    ),
    (
        r"linear 64x",
        "products at 70-90 % of the peak in both libraries: no room for the ratio",
    ),
    (
        r"conv: .*(256@14 to 512 k1 s2|@7 to \d+ k1), b1 forward",
        "tiles run at 95 % of the peak; copying the image takes 2-10 % of the time, the more the fewer filters, and large "
        "weights come from the third-level cache",
    ),
    (
        r"conv: .*(32@112|192@28) to 16 k1, b1 forward",
        "16 filters are a tile of 14 rows and one of 2, which takes a fifth of the time for an eighth of the products",
    ),
    (
        r"conv: .*@14 to \d+ k1, b1 forward",
        "196 pixels fill 12.25 of 13 vectors; copying them takes 5-10 % of the time, the more the fewer filters, and below "
        "96 channels the matrix product's tiles read them where they lie, across cache lines",
    ),
    (
        r"conv: ResNet-18 128@28 to 256 k1 s2, b1 forward",
        "196 pixels fill 12.25 of 13 vectors; copying every second pixel takes a tenth of the time",
    ),
    (
        r"conv: .*k1 s2, b\d+ forward",
        "8-30 % of the time packs every second pixel, the more the fewer filters, from twice as many cache lines as count",
    ),
    (
        r"conv: .*k1 s2, b1 training",
        "tiles are 65-90 % of the time, at 49 to 784 pixels; packing takes 3-14 %, and the gradient of the input writes "
        "four pixels for each that is computed, three of them zeros",
    ),
    (
        r"conv: .*k1 s2, b(8|32) training",
        "gradients of the input write four pixels for each that is computed, three of them zeros, in passes of their own; "
        "a quarter of their time packs dy",
    ),
    (
        r"conv: .*@(56|112) to \d+ k1, b8 training",
        "six images of 6-38 MB are read or written in three passes, from memory; the product waits for it where tiles read "
        "pixels as they lie, and packing takes 8-20 % elsewhere",
    ),
    (
        r"conv: .*@7 to \d+ k1, b8 training",
        "packing the weight and the images takes a fifth of the time of the input's gradient; rows of 49 pixels end in the "
        "middle of panels",
    ),
    (
        r"conv: .*k1, b8 training",
        "8-15 % of the time of each of three products packs images, from the third-level cache",
    ),
    (
        r"conv: .*256@56 to (64|128) k1, b1 forward",
        "a fifth of the time packs the image, 3.2 MB from the third-level cache",
    ),
    (
        r"conv: .*k1, b1 training",
        "tiles are 75-90 % of the time, with operands that lie across cache lines or are packed (3-8 %); sums of dy take "
        "3-9 %, the calls 2-9",
    ),
    (
        r"conv: .*k1, b32 training",
        "seven images are read or written, from memory: tiles, 75-90 % of the time, ask ahead for what they read where it "
        "lies and wait for the lines that they write; turning channels or pixels takes 4-11 %, sums of dy 2-13",
    ),
    (
        r"conv: .*(1024@14 to 256|256@14 to 1024|480@14 to 192|576@7 to 160) k1, b(8|32) forward",
        "tiles of strips are 82-90 % of the time, copying the strips 2-12 %; 49 and 196 pixels do not fill the last one",
    ),
    (
        r"conv: .*@14 to \d+ k1, b(8|32) forward",
        "tiles are 85-91 % of the time, a fifth of it those that copy their strip from the third-level cache; 3-8 % "
        "gathers the last four of 196 pixels over the batch",
    ),
    (
        r"conv: .*k1,",
        "tiles are 85-94 % of the time and wait for pixels on pages far apart and for the lines of the result",
    ),
    (
        r"conv: (VGG-16 512@14|.*@7) to \d+ k3, b(1|8) forward",
        "20-25 % of the time lays out and transforms weights at batch 1, a tenth at batch 8; of 7x7 pixels, Winograd's "
        "tiles of two make 8x8, and the formula's, of two rows, are at 73 % of the peak",
    ),
    (
        r"conv: .* k3, b1 training",
        "batch 1: laying out and transforming weights is 17-25 % of the time, storing their gradient 4-17 %",
    ),
    (
        r"conv: other 256@28 to 256 k3 d2, b1",
        "tiles are 88 % of the time; on one thread the share is 80 % and more, two share 2.7 ms of work",
    ),
    (
        r"conv: AlexNet 64@27 .* forward",
        "Winograd's products are 76-84 % of the time; laying out and transforming weights is a tenth at batch 1, the "
        "transforms of images and results 7 %",
    ),
    (
        r"conv: AlexNet 64@27 .* training",
        "the weight gradient, half of the time, has no Winograd form here: its tiles, 91 % of it, wait for rows of five "
        "taps across cache lines",
    ),
    (
        r"conv: VGG-16 3@224 .* forward|conv: U-Net 1@256 .* forward",
        "nine and 27 products for every value stored: rows of filters are 65-80 % of the time, at 35-60 % of the peak; "
        "10-25 % find out where rows begin",
    ),
    (
        r"conv: VGG-16 3@224 .* training|conv: U-Net 1@256 .* training",
        "103 and 134 MB of result go to memory, each line read before, and as much is read for the weight gradient, whose "
        "tiles are nearly all of its time: rows of pixels, most across cache lines, at half of the peak",
    ),
    (
        r"conv: MobileNetV2 3@224 .* forward|conv: DCGAN 3@64 .* forward",
        "27 and 48 products for every value stored: rows of filters are 70 % of the time, at 56 and 77 % of the peak; a "
        "fifth deals the columns of the image out to even and odd ones",
    ),
    (
        r"conv: MobileNetV2 3@224 .* training",
        "as forwards, and the weight gradient: rows of pixels, most across cache lines, at half of the peak, are 80 % of "
        "its time; a sixth deals columns out to even and odd ones",
    ),
    (
        r"conv: DCGAN 3@64 .* training",
        "as forwards, and of the weight gradient's time two thirds are products; a quarter turns the gradient of the "
        "result into panels, for 48 products a filter",
    ),
    (
        r"conv: ResNet-18 3@224 .* training",
        "26 MB of result are written and as many of its gradient read: a sixth of the weight gradient's time turns that "
        "into panels; its tiles are 70 %, at 80-85 % of the peak",
    ),
    (
        r"conv: AlexNet 3@224",
        "tiles of every fourth pixel are 82 % of the time, at 83 % of the peak (of the weight gradient 80 and 78 %); "
        "copies of planes and turned results are 7-8 % each",
    ),
    (
        r"conv: LeNet 1@28 to 6 k5, b(8|32) training",
        "one channel: the input gradient has one row of sums, which loads as often as it multiplies, and a quarter of its "
        "time copies planes; the weight gradient folds 150 vectors of sums for each of its tasks",
    ),
    (
        r"conv: ResNet-18 256@14 to 256 k3, b1 forward",
        "batch 1: 23 % of the time packs and transforms a weight of 2.4 MB, which is read once",
    ),
    (
        r"conv: LeNet 1@28 to 6 k5, b32 forward",
        "25 products for every value stored: rows of filters are three quarters of the time, bands and copies a fifth",
    ),
    (
        r"conv: LeNet 6@14 to 16 k5, b32 forward",
        "16 filters are one vector: tiles load as often as they multiply, and are 72 % of the time",
    ),
    (
        r"conv: LeNet 6@14 to 16 k5, b(8|32) training",
        "the input gradient, half of the time: all 196 pixels meet 25 taps, where only 100 pixels of the gradient of the "
        "result count; a sixth of the weight gradient's time adds up the sums of tasks",
    ),
    (
        r"conv: GoogLeNet 16@(14|28) to (32|48) k5, b(1|8|32) forward",
        "Winograd's products are two thirds of the time (those of one vector, 16 of 48 filters, load as often as they "
        "multiply), transforms and copies a fifth, for 16 channels and few filters",
    ),
    (
        r"conv: GoogLeNet 16@(14|28) to (32|48) k5, b(1|8|32) training",
        "the input gradient has one vector of filters (16), which loads as often as it multiplies, and transforms for a "
        "fifth of its time; of the weight gradient's time 11-16 % add up the sums of tasks",
    ),
    (
        r"conv: AlexNet (384|256)@13",
        "batch 1: 22 % of the time lays out and transforms the weight, which is read once; of seven tiles of two pixels "
        "a row, and as many rows, 14 % is outside of the image",
    ),
    (
        r"conv: AlexNet 192@13",
        "of seven tiles of two pixels a row, and as many rows, 14 % is outside of the image",
    ),
    (
        r"conv: .*(160|512)@7 to [0-9]+ k3, b32",
        "a tile takes two pixels, 16 for 49 of them: 23 % of Winograd's products are of nothing",
    ),
    (
        r"conv: .*(160|512)@7 to [0-9]+ k3, b8 training",
        "a tile takes two pixels, 16 for 49 of them: 23 % of Winograd's products are of nothing; packing weights is a "
        "fifth of the input gradient's time, stores of results a ninth of the weight gradient's",
    ),
    (
        r"conv: U-Net 1024@16 to 512 k2 s2 transposed",
        "tiles are 82 % of a forward's time; packing a weight of 8 MB, once for four images, is 9 %, dealing products "
        "out to their pixels 3 %",
    ),
    (
        r"conv: .* g32, b",
        "four channels and filters a group: 30 % of the time copies planes (of the weight gradient 22 %), whose values "
        "meet 36 products each; tiles of 36 taps are 60-70 %, and 28 pixels are 1.75 vectors",
    ),
    (
        r"conv: .*[0-9]@[0-9]+ to [0-9]+ (k3|k4) s2( transposed)?, b",
        "tiles are 60-90 % of the time, at 75-98 % of the peak, the lower for rows of 7 and 14 pixels; the rest "
        "copies planes (of four pixels for each of the result), packs weights, and turns and stores results; in gradients "
        "of images by the matrix unit (at half of its speed beside a neighbour's thread) 20-30 % of the time adds products "
        "up",
    ),
    (
        r"conv: other .*dims 1",
        "tiles are most of the time, at 80-85 % of the peak; turning the gradient of the result into panels is the rest",
    ),
    (
        r"conv: other .*dims 3",
        "tiles run at the peak for three quarters of the time; the rest copies planes, three times each",
    ),
    (
        r"conv: .*@7 depthwise",
        "at the bandwidth of the cache that the images lie in; a plane, 49 values, takes 12 ns",
    ),
    (
        r"conv: .*@(28|56|112) depthwise.*training|conv: .*@14 depthwise k3( s2)?, b8 training",
        "at the bandwidth of the cache or memory that eight images lie in",
    ),
    (
        r"conv: .*@(112|56|28) depthwise k3 s2",
        "at the bandwidth of the cache or memory that the images lie in, four pixels for each of the result",
    ),
    (
        r"conv: .*@14 depthwise k3 s2",
        "two rows to a vector: a load for each row of taps, but three permutations, and the tasks are microseconds",
    ),
    (
        r"conv: .*depthwise",
        "transfers between caches are not hidden behind the multiply-adds; of rows of more than 32 columns there are three "
        "loads, most across cache lines, which take longer than these",
    ),
    (
        r"elementwise: tanh, 64 KB",
        "25 instructions a vector, two a cycle: 12 cycles, where a ratio of 3 leaves 3; a third of it is the division "
        "that the accuracy bar needs",
    ),
    (
        r"elementwise: .*, 64 MB|loss: cross entropy 256x32000",
        "at the bandwidth of the memory, of which the probe saw 17 to 25 GB/s in four runs of a day, while these times "
        "stayed the same",
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
        "256 KB from the second-level cache, 1.7 us at its pace; what is left is the call",
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
        "products are 57 % of a convolution's time, Winograd's transforms and the writing of rows the rest; 1.5-2 us a "
        "layer find out what to run, and of two threads each waits some 3 us a layer for rows that the other one wrote",
    ),
    (
        r"inference: MobileNetV2",
        "tiles at 14x14 run at 80-87 % of the peak; of two threads one waits for a twentieth of the time, the other for a "
        "fifth, also while Python goes from block to block; weights, 14 MB, come from the third-level cache; additions of "
        "residuals, passes of their own over images that left the near caches, are 1-4 %",
    ),
)


MEANS = {  # of kinds of work, at the machine's own level
    "gemm": "the matrix unit, at less than half of its speed beside a neighbour's thread; odd sizes are filled up to whole "
    "tiles",
    "gemm 64": "two of five, 64x64x4096 and 64x4096x64, read their long operand where it lies, as few rows or columns "
    "meet each value, and wait for it",
    "gemm bf16": "tiles wait for operands from the second-level cache, more so beside a neighbour's thread",
    "conv forward": "two thirds are 1x1 layers, which PyTorch runs as matrix products: the mean at the limit itself is "
    "hardly above the goal",
    "conv training": "two thirds are 1x1 layers, whose training reads or writes six or seven images for few operations a "
    "value",
    "tanh": "64 KB: 12 cycles a vector of arithmetic; 64 MB: at the memory's bandwidth",
}

BY_LEVEL = {"avx2": reasons_avx2.REASONS}  # others: the machine's own


def mean_reason(kind: str, level: str | None = None) -> str:
    return NOT_FOUND if level in BY_LEVEL else MEANS.get(kind, NOT_FOUND)


def reason(group: str, case: str, level: str | None = None) -> str:
    name = f"{group}: {case}"
    table = BY_LEVEL.get(level or "", REASONS)
    return next((text for pattern, text in table if re.search(pattern, name)), NOT_FOUND)
