"""Why a case is below its goal at the AVX2 level: where a profile on one thread finds the time. As in reasons.py, the first
pattern found in "group: case" counts."""

from __future__ import annotations

REASONS = (
    (
        r"elementwise: (add|relu), 64 KB",
        "of 2 to 3 us a fifth to a quarter is the call; the rest copies within the second-level cache",
    ),
    (
        r"elementwise: .*(gelu|sigmoid|silu|exp|tanh|softmax).*",
        "arithmetic: 92-96 % of the time is the loop over vectors of 8, whose exponential and division take longer than "
        "their traffic",
    ),
    (
        r"elementwise: .*, 64 MB|elementwise: sum columns",
        "at the bandwidth of the memory or cache that the data lies in, which the probe sees at another moment",
    ),
    (
        r"gemm: (1|2)x|x1 (NN|TN|NT)|linear 1x",
        "the matrix is read once: both libraries are at the bandwidth of the cache or memory it lies in; of the smallest, "
        "a sixth is the call",
    ),
    (
        r"gemm: (4|8|16)x(1024|4096)x|linear 8x4096",
        "the few rows are the vectors of a tile: six rows of the matrix and one vector of eight take seven loads for six "
        "multiply-adds",
    ),
    (
        r"gemm: 4096x512x16",
        "A, 8 MB, comes from the third-level cache, six rows at a time",
    ),
    (
        r"gemm: (64x64x4096|64x4096x64)",
        "tiles are 90-95 % of the time: the long operand, every value of which is used 64 times, comes from the "
        "second-level cache, one row of a tile on a page of its own",
    ),
    (
        r"gemm: (31x31x31|32x32x32|47x47x47|65x65x65|127x129x131)",
        "tiles at the edges, of fewer rows or one vector, take 10-20 % of the time; below 66 the call and its plan take as "
        "much",
    ),
    (
        r"gemm: batch (8 of 256x64x256|32 of 64x64x64)",
        "tiles are 90 % of the time: each has 64 products to a sum, and begins, ends and is stored for them",
    ),
    (
        r"gemm: batch (256 of 8x8x8|64 of 17x33x19)",
        "a third of the time finds task, block and tile, or copies sums of edges",
    ),
    (
        r"gemm: (64|127|128|255|256)x(64|127|128|255|256)x",
        "tiles that read both operands where they lie are 85-96 % of the time: a few tenths more than their multiply-adds, "
        "as sums begin, end and are stored; 6 rows of 16 take 8 loads for 12 multiply-adds",
    ),
    (
        r"gemm: (512|513|1023|1024|2048)x(512|513|1023|1024|2048)x",
        "packing takes 5-10 % of the time and waits for the third-level cache",
    ),
    (
        r"gemm: linear (64|256)x|steps: MLP",
        "products at 70-90 % of the peak in both libraries: no room for the ratio",
    ),
    (
        r"conv: .*@7 to \d+ k1, b1 forward|256@14 to 512 k1 s2, b1 forward|1024@14 to 2048 k1 s2, b1 forward",
        "batch 1: tiles are 80-90 % of the time; the weight, read where it lies, comes from the second- and third-level "
        "cache",
    ),
    (
        r"conv: .*k1( s2)?, b1 forward",
        "tiles are 80-95 % of the time: six filters at a time, they read pixels on pages far apart again and again from "
        "the second-level cache, or 10-15 % packs them",
    ),
    (
        r"conv: .*k1( s2)?, b8 training",
        "three products are 75-85 % of the time, at 75-85 % of the peak; 10-20 % packs and turns images, from the "
        "third-level cache or memory",
    ),
    (
        r"conv: (VGG-16|MobileNetV2|DCGAN) 3@\d+ .* forward|conv: U-Net 1@256 .* forward",
        "nine to 48 products for every value stored: tiles are half of the time; a third writes and turns results, finds "
        "rows and applies the bias",
    ),
    (
        r"conv: .*[^0-9][13]@(224|256|64) .* training",
        "few products for every value stored: tiles are half of the time or less; turning and copying images and the sums "
        "of the bias, from memory, are the rest",
    ),
    (
        r"conv: LeNet 1@28|conv: LeNet 6@14",
        "rows of pixels and taps are 60-75 % of the time; few filters fill half a vector or leave multiply-adds waiting "
        "for loads",
    ),
    (
        r"conv: .* g32, b",
        "four channels and filters a group: 15-30 % of the time copies rows of the image, whose values meet 36 products "
        "each",
    ),
    (
        r"conv: .*@7 to \d+ k3|conv: AlexNet (256|384)@13|conv: ResNet-18 256@14 to 256 k3, b1",
        "images of 7x7 and 13x13: rows end in the middle of tiles, and at batch 1 10-15 % of the time packs a weight that "
        "is read once",
    ),
    (
        r"conv: .*depthwise.*b1 forward",
        "one kernel takes 80-95 % of the time: nine weights, four sums and three columns want all 16 registers, three "
        "loads a row cross cache lines, and rows of 7, 14 and 28 pixels end in masked ones",
    ),
    (
        r"conv: .*depthwise.*training",
        "two gradients and the result are passes of their own over images of the second- or third-level cache; the kernels "
        "are 80-90 % of the time, with three loads for nine multiply-adds",
    ),
    (
        r"conv: DCGAN 100@1",
        "the weight, 3.3 MB, is read once for each of three products",
    ),
    (
        r"conv: U-Net 1024@16 to 512 k2 s2 transposed",
        "when measured, 40 % of the time laid out a weight of 8 MB, read once, and the image for products of 256 pixels "
        "(now all filters and taps are one product)",
    ),
    (
        r"conv: .*k(3|4|5|7|9|11)",
        "tiles are 75-90 % of the time, at 75-90 % of the peak: two vectors of filters and six pixels take eight loads for "
        "twelve multiply-adds; 5-15 % copies planes, packs weights and turns results",
    ),
    (
        r"pool: max (2x2|3x3 s[12]), \d+x\d+x\d+x\d+, channels-last",
        "the place of the maximum is half to two thirds of the time: two comparisons and two selections a vector and "
        "window element; six channels are three quarters of a vector",
    ),
    (
        r"pool: average 2x2, 64x6x28x28, channels-last",
        "six channels are three quarters of a vector, loaded and stored by masks or halves",
    ),
    (
        r"pool: max",
        "arithmetic: each element of a window is two comparisons and two selections, which wait for the one before; with a "
        "step of 2 even and odd columns are parted first; gradients compare nine places",
    ),
    (
        r"pool: average",
        "three to twelve unaligned loads a vector, half of them across cache lines; with a step of 2 even and odd columns "
        "are parted first",
    ),
    (
        r"pool: (nearest|bilinear|bicubic)",
        "arithmetic: 75 % of the time is the pass along a row, pixel by pixel where AVX-512 has a shuffle of any lanes",
    ),
    (
        r"norm: batch norm",
        "the images are read for the sums, and again for the result, forwards and backwards; of the small one a seventh is "
        "the calls",
    ),
    (
        r"loss: cross entropy|loss: binary|loss: kl_div",
        "arithmetic: exponentials and logarithms are 75-95 % of the time",
    ),
    (
        r"embedding: .* training",
        "40-90 % of it writes zeros to rows of the table's gradient that no position meets",
    ),
    (
        r"embedding: .* forward",
        "copies of rows from anywhere in the table in both libraries",
    ),
    (
        r"inference: MLP",
        "the weights, 2.6 MB, are read once from the third-level cache: both libraries are at its bandwidth",
    ),
    (
        r"steps: LeNet-5",
        "the first convolution's rows are a quarter of the time, Python a tenth",
    ),
)
