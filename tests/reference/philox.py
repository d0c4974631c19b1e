"""Philox4x32-10 and what is made of its words, one number at a time."""

import math

import numpy as np

MASK = 0xFFFFFFFF


def philox(counter, key):
    """Four words from a counter of four words and a key of two (Salmon et al. 2011)."""
    c, k = list(counter), list(key)
    for _ in range(10):
        a, b = c[0] * 0xD2511F53, c[2] * 0xCD9E8D57
        c = [(b >> 32) ^ c[1] ^ k[0], b & MASK, (a >> 32) ^ c[3] ^ k[1], a & MASK]
        k = [(k[0] + 0x9E3779B9) & MASK, (k[1] + 0xBB67AE85) & MASK]
    return c


def words(seed, offset, n):
    """The first n 32-bit words of the stream of ``seed`` from block ``offset`` on."""
    key = (seed & MASK, seed >> 32)
    blocks = ((offset + i) % 2**64 for i in range((n + 3) // 4))
    return [w for b in blocks for w in philox((b & MASK, b >> 32, 0, 0), key)][:n]


def pairs(seed, offset, n):
    """The first n 64-bit words: the low half comes first."""
    w = words(seed, offset, 2 * n)
    return [low | high << 32 for low, high in zip(w[::2], w[1::2], strict=True)]


def normals(draws, bits):
    """Box and Muller on pairs of ``bits``-bit integers, in float64."""
    out = []
    for w, t in zip(draws[::2], draws[1::2], strict=True):
        r = math.sqrt(-2 * math.log((w + 1) / 2**bits))
        angle = 2 * math.pi * t / 2**bits
        out += [r * math.cos(angle), r * math.sin(angle)]
    return np.array(out)
