"""Malformed calls of tensor methods, optimizers, data, files and the rest; see calls.py."""

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
