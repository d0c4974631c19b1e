"""One step of every optimizer, as ``step(p, g, state, **hyper) -> new p``.

``state`` is a dict that starts empty and keeps the buffers of one parameter between steps, under
torch's names. Names and defaults of hyper-parameters are those of torch.optim.
"""

import numpy as np


def _count(state):
    state["step"] = state.get("step", 0) + 1
    return state["step"]


def _average(state, name, value, decay):
    """Exponential moving average from 0."""
    state[name] = decay * state.get(name, 0) + (1 - decay) * value
    return state[name]


def _decayed(p, g, weight_decay, maximize):
    """The gradient of loss + weight_decay / 2 |p|^2 (its sign turned first when maximizing)."""
    return (-g if maximize else g) + weight_decay * p


def _weight_decay(p, g, lr, weight_decay, decoupled, maximize):
    """(p, g) after weight decay, either taken from p at once or added to the gradient."""
    if decoupled:
        return p * (1 - lr * weight_decay), -g if maximize else g
    return p, _decayed(p, g, weight_decay, maximize)


def sgd(
    p, g, state, lr=1e-3, momentum=0.0, dampening=0.0, weight_decay=0.0, nesterov=False,
    maximize=False,
):  # fmt: skip
    """The first momentum buffer is the gradient itself, without dampening."""
    g = _decayed(p, g, weight_decay, maximize)
    if momentum:
        first = "momentum_buffer" not in state
        buffer = g if first else momentum * state["momentum_buffer"] + (1 - dampening) * g
        state["momentum_buffer"] = buffer
        g = g + momentum * buffer if nesterov else buffer
    return p - lr * g


def adam(
    p, g, state, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0, amsgrad=False,
    maximize=False, decoupled_weight_decay=False,
):  # fmt: skip
    """Kingma and Ba 2015; amsgrad (Reddi 2018) keeps the largest second moment so far."""
    p, g = _weight_decay(p, g, lr, weight_decay, decoupled_weight_decay, maximize)
    t = _count(state)
    m = _average(state, "exp_avg", g, betas[0])
    v = _average(state, "exp_avg_sq", g * g, betas[1])
    if amsgrad:
        v = state["max_exp_avg_sq"] = np.maximum(state.get("max_exp_avg_sq", 0), v)
    root = np.sqrt(v) / np.sqrt(1 - betas[1] ** t)
    return p - lr / (1 - betas[0] ** t) * m / (root + eps)


def adamw(p, g, state, weight_decay=1e-2, **hyper):
    """Loshchilov and Hutter 2019."""
    return adam(p, g, state, weight_decay=weight_decay, decoupled_weight_decay=True, **hyper)


def rmsprop(
    p, g, state, lr=1e-2, alpha=0.99, eps=1e-8, weight_decay=0.0, momentum=0.0, centered=False,
    maximize=False,
):  # fmt: skip
    g = _decayed(p, g, weight_decay, maximize)
    v = _average(state, "square_avg", g * g, alpha)
    if centered:
        v = v - _average(state, "grad_avg", g, alpha) ** 2
    g = g / (np.sqrt(v) + eps)
    if momentum > 0:
        g = state["momentum_buffer"] = momentum * state.get("momentum_buffer", 0) + g
    return p - lr * g


def adagrad(
    p, g, state, lr=1e-2, lr_decay=0.0, weight_decay=0.0, initial_accumulator_value=0.0,
    eps=1e-10, maximize=False,
):  # fmt: skip
    """Duchi 2011."""
    g = _decayed(p, g, weight_decay, maximize)
    t = _count(state)
    state["sum"] = state.get("sum", initial_accumulator_value) + g * g
    return p - lr / (1 + (t - 1) * lr_decay) * g / (np.sqrt(state["sum"]) + eps)


def adadelta(p, g, state, lr=1.0, rho=0.9, eps=1e-6, weight_decay=0.0, maximize=False):
    """Zeiler 2012."""
    g = _decayed(p, g, weight_decay, maximize)
    v = _average(state, "square_avg", g * g, rho)
    step = np.sqrt(state.get("acc_delta", 0) + eps) / np.sqrt(v + eps) * g
    _average(state, "acc_delta", step * step, rho)
    return p - lr * step


def adamax(p, g, state, lr=2e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0, maximize=False):
    """Adam with the infinity norm."""
    g = _decayed(p, g, weight_decay, maximize)
    t = _count(state)
    m = _average(state, "exp_avg", g, betas[0])
    state["exp_inf"] = np.maximum(betas[1] * state.get("exp_inf", 0), np.abs(g) + eps)
    return p - lr / (1 - betas[0] ** t) * m / state["exp_inf"]


def nadam(
    p, g, state, lr=2e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0, momentum_decay=4e-3,
    decoupled_weight_decay=False, maximize=False,
):  # fmt: skip
    """Dozat 2016: Adam with Nesterov momentum mu_t = beta1 (1 - 0.96^(t momentum_decay) / 2)."""
    p, g = _weight_decay(p, g, lr, weight_decay, decoupled_weight_decay, maximize)
    t = _count(state)
    mu, mu_next = (betas[0] * (1 - 0.5 * 0.96 ** (s * momentum_decay)) for s in (t, t + 1))
    product = state["mu_product"] = state.get("mu_product", 1.0) * mu
    m = _average(state, "exp_avg", g, betas[0])
    v = _average(state, "exp_avg_sq", g * g, betas[1])
    ahead = (1 - mu) / (1 - product) * g + mu_next / (1 - product * mu_next) * m
    return p - lr * ahead / (np.sqrt(v / (1 - betas[1] ** t)) + eps)


def radam(
    p, g, state, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0,
    decoupled_weight_decay=False, maximize=False,
):  # fmt: skip
    """Liu 2020: plain momentum until the variance of the second moment is small enough."""
    p, g = _weight_decay(p, g, lr, weight_decay, decoupled_weight_decay, maximize)
    t = _count(state)
    m = _average(state, "exp_avg", g, betas[0]) / (1 - betas[0] ** t)
    v = _average(state, "exp_avg_sq", g * g, betas[1])
    longest = 2 / (1 - betas[1]) - 1
    length = longest - 2 * t * betas[1] ** t / (1 - betas[1] ** t)
    if length <= 5:
        return p - lr * m
    rectify = np.sqrt(
        (length - 4) * (length - 2) * longest / ((longest - 4) * (longest - 2) * length)
    )
    return p - lr * rectify * m * np.sqrt(1 - betas[1] ** t) / (np.sqrt(v) + eps)


def asgd(p, g, state, lr=1e-2, lambd=1e-4, alpha=0.75, t0=1e6, weight_decay=0.0, maximize=False):
    """Polyak and Juditsky 1992; ``ax`` is the average of the iterates from step t0 on."""
    g = _decayed(p, g, weight_decay, maximize)
    t = _count(state)
    eta, mu = state.get("eta", lr), state.get("mu", 1.0)
    p = p * (1 - lambd * eta) - eta * g
    average = state.get("ax", np.zeros_like(p))
    state["ax"] = p if mu == 1 else average + mu * (p - average)
    state["eta"] = lr / (1 + lambd * lr * t) ** alpha
    state["mu"] = 1 / max(1, t - t0)
    return p


def rprop(p, g, state, lr=1e-2, etas=(0.5, 1.2), step_sizes=(1e-6, 50.0), maximize=False):
    """Riedmiller 1993: a step size per element; a turn of sign shrinks it and skips the step."""
    g = -g if maximize else g
    turn = np.sign(g * state.get("prev", 0))
    factor = np.where(turn > 0, etas[1], np.where(turn < 0, etas[0], 1.0))
    size = np.clip(state.get("step_size", lr) * factor, *step_sizes)
    g = np.where(turn < 0, 0, g)
    state["step_size"], state["prev"] = size, g
    return p - np.sign(g) * size


def adafactor(
    p, g, state, lr=1e-2, beta2_decay=-0.8, eps=(None, 1e-3), d=1.0, weight_decay=0.0, maximize=False,
):  # fmt: skip
    """Shazeer and Stern 2018, with torch's meaning of lr and eps."""
    g = -g if maximize else g
    t = _count(state)
    least = np.finfo(p.dtype).eps if eps[0] is None else eps[0]
    rate = t**beta2_decay
    size = max(eps[1], np.sqrt((p * p).mean())) * min(lr, 1 / np.sqrt(t))
    p = p * (1 - lr * weight_decay)
    if p.ndim < 2:
        moment = _average(state, "variance", g * g, 1 - rate)
    else:
        row = _average(state, "row_var", (g * g).mean(-1, keepdims=True), 1 - rate)
        column = _average(state, "col_var", (g * g).mean(-2, keepdims=True), 1 - rate)
        moment = row * column / np.maximum(row.mean(-2, keepdims=True), least)
    update = g / np.sqrt(np.maximum(moment, least**2))
    return p - size * update / max(1, np.sqrt((update * update).mean()) / d)


def muon(
    p, g, state, lr=1e-3, weight_decay=0.1, momentum=0.95, nesterov=True,
    ns_coefficients=(3.4445, -4.7750, 2.0315), eps=1e-7, ns_steps=5, adjust_lr_fn=None,
):  # fmt: skip
    """Jordan 2024. The polynomial is applied to the singular values themselves."""
    m = _average(state, "momentum_buffer", g, momentum)
    u, s, v = np.linalg.svd(
        (1 - momentum) * g + momentum * m if nesterov else m, full_matrices=False
    )
    s = s / max(np.sqrt((s * s).sum()), eps)
    a, b, c = ns_coefficients
    for _ in range(ns_steps):
        s = a * s + b * s**3 + c * s**5
    rows, columns = p.shape
    adamw = adjust_lr_fn == "match_rms_adamw"
    scale = 0.2 * np.sqrt(max(rows, columns)) if adamw else np.sqrt(max(1, rows / columns))
    return p * (1 - lr * weight_decay) - lr * scale * (u * s) @ v


OPTIMIZERS = {
    "SGD": sgd, "Adam": adam, "AdamW": adamw, "RMSprop": rmsprop, "Adagrad": adagrad,
    "Adadelta": adadelta, "Adamax": adamax, "NAdam": nadam, "RAdam": radam, "ASGD": asgd,
    "Rprop": rprop, "Adafactor": adafactor, "Muon": muon,
}  # fmt: skip


def run(name, p, gradients, **hyper):
    """The parameter after each step with the given gradients, and the last state."""
    state, path = {}, []
    for g in gradients:
        p = OPTIMIZERS[name](p, g, state, **hyper)
        path.append(p)
    return path, state


def clip_grad_norm(gradients, max_norm, norm_type=2.0):
    """(total norm, scaled gradients): scaled by max_norm / (norm + 1e-6) where that is below 1."""
    if norm_type == np.inf:
        norm = max(np.abs(g).max() for g in gradients)
    else:
        norm = sum((np.abs(g) ** norm_type).sum() for g in gradients) ** (1 / norm_type)
    scale = min(1.0, max_norm / (norm + 1e-6))
    return norm, [g * scale for g in gradients]
