"""Convolution layers of well-known networks, forward and both gradients, beside PyTorch.

    python benchmarks/bench_conv.py [name ...] [--threads N] [--seconds S] [--json FILE]

The two run alternately, so that a busy machine slows both; reported are the smallest times, their
ratio, and the share of what a large matrix product reaches. With one thread the time is that of the
processor, which a busy machine disturbs least.
"""

import argparse
import json
import time

import numpy as np
import torch

from fastnn import _core

# name: batch, channels, height, width, filters, kernel, stride, padding, groups
LAYERS = {
    "lenet1": (64, 1, 28, 28, 6, 5, 1, 2, 1),
    "lenet2": (64, 6, 14, 14, 16, 5, 1, 0, 1),
    "vgg1": (4, 3, 112, 112, 64, 3, 1, 1, 1),
    "vgg2": (2, 64, 112, 112, 64, 3, 1, 1, 1),
    "resnet-stem": (4, 3, 224, 224, 64, 7, 2, 3, 1),
    "resnet-56": (8, 64, 56, 56, 64, 3, 1, 1, 1),
    "resnet-28": (8, 128, 28, 28, 128, 3, 1, 1, 1),
    "resnet-14": (8, 256, 14, 14, 256, 3, 1, 1, 1),
    "resnet-7": (8, 512, 7, 7, 512, 3, 1, 1, 1),
    "resnet-28-stride2": (8, 64, 56, 56, 128, 3, 2, 1, 1),
    "resnet-1x1": (8, 64, 56, 56, 256, 1, 1, 0, 1),
    "resnet-1x1-stride2": (8, 256, 56, 56, 512, 1, 2, 0, 1),
    "cifar": (32, 16, 32, 32, 16, 3, 1, 1, 1),
    "resnext": (4, 128, 28, 28, 128, 3, 1, 1, 32),
    "mobilenet-112": (4, 32, 112, 112, 32, 3, 1, 1, 32),
    "mobilenet-56": (8, 128, 56, 56, 128, 3, 1, 1, 128),
    "mobilenet-14": (8, 512, 14, 14, 512, 3, 1, 1, 512),
    "mobilenet-stride2": (4, 64, 112, 112, 64, 3, 2, 1, 64),
}


clock = time.perf_counter


def peak():
    """Floating-point operations in a second of a large matrix product."""
    a = np.ones((1024, 1024), np.float32)
    best = 1e9
    for _ in range(8):
        t = clock()
        _core.gemm(a, a)
        best = min(best, clock() - t)
    return 2 * 1024**3 / best


def alternate(ours, theirs, seconds):
    """The smallest time of each, and the median of the ratios of neighbours."""
    for f in (ours, theirs):
        f()
        f()
    times, end = [], time.perf_counter() + seconds
    while time.perf_counter() < end or len(times) < 5:
        pair = []
        for f in (ours, theirs):
            t = clock()
            f()
            pair.append(clock() - t)
        times.append(pair)
    times = np.array(times)
    return times.min(0), float(np.median(times[:, 1] / times[:, 0]))


def bench(layer, channels_last, seconds):
    n, c, h, w, o, k, s, p, g = layer
    rng = np.random.default_rng(0)
    x = rng.standard_normal((n, c, h, w), np.float32)
    weight = rng.standard_normal((o, c // g, k, k), np.float32)
    tx, tw = torch.from_numpy(x), torch.from_numpy(weight)
    if channels_last:
        x = np.ascontiguousarray(x.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
        tx, tw = (t.to(memory_format=torch.channels_last) for t in (tx, tw))
    ty = torch.nn.functional.conv2d(tx, tw, None, s, p, 1, g)
    tdy = torch.randn_like(ty)
    dy = tdy.numpy()

    def torch_gradient(*mask):
        return torch.ops.aten.convolution_backward(
            tdy, tx, tw, [o], [s, s], [p, p], [1, 1], False, [0, 0], g, mask
        )

    pairs = {
        "forward": (
            lambda: _core.conv_forward(x, weight, None, s, p, 1, g),
            lambda: torch.nn.functional.conv2d(tx, tw, None, s, p, 1, g),
        ),
        "dx": (
            lambda: _core.conv_backward_input(dy, weight, x.shape, s, p, 1, g),
            lambda: torch_gradient(True, False, False),
        ),
        "dw+db": (
            lambda: (
                _core.conv_backward_weight(dy, x, weight.shape, s, p, 1, g),
                _core.conv_backward_bias(dy, 2),
            ),
            lambda: torch_gradient(False, True, True),
        ),
    }
    flop = 2 * ty.numel() * (c // g) * k * k
    out = {}
    for name, (ours, theirs) in pairs.items():
        (a, b), ratio = alternate(ours, theirs, seconds)
        out[name] = {"fastnn_ms": a * 1e3, "torch_ms": b * 1e3, "ratio": b / a,
                     "median_ratio": ratio, "gflops": flop / a / 1e9}  # fmt: skip
    return out


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("names", nargs="*", choices=[*LAYERS, []])
    parser.add_argument("--threads", type=int, default=_core.num_threads())
    parser.add_argument("--seconds", type=float, default=0.5)
    parser.add_argument("--channels-last", action="store_true")
    parser.add_argument("--json")
    args = parser.parse_args()
    _core.set_num_threads(args.threads)
    torch.set_num_threads(args.threads)
    if args.threads == 1:
        globals()["clock"] = time.thread_time
    top, results = peak(), {}
    print(f"threads {args.threads}, matrix product {top / 1e9:.0f} GFLOP/s")
    for name in args.names or LAYERS:
        results[name] = bench(LAYERS[name], args.channels_last, args.seconds)
        for way, r in results[name].items():
            print(
                f"{name:20s}{way:8s} {r['fastnn_ms']:8.3f} ms, torch {r['torch_ms']:8.3f} ms: "
                f"x{r['ratio']:5.2f} (median x{r['median_ratio']:5.2f}), "
                f"{r['gflops']:6.1f} GFLOP/s, {100 * r['gflops'] * 1e9 / top:4.0f} % of a product"
            )
    if args.json:
        with open(args.json, "w") as file:
            json.dump({"threads": args.threads, "layers": results}, file, indent=1)


if __name__ == "__main__":
    main()
