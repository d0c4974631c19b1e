"""Learning rates after t steps of the scheduler, in closed form: ``f(t, lr, **parameters)``.

``lr`` is the optimizer's own rate. Names and parameters are those of torch.optim.lr_scheduler.
ReduceLROnPlateau depends on the metrics and is given them all.
"""

import math
from bisect import bisect_right


def lambda_lr(t, lr, lr_lambda):
    return lr * lr_lambda(t)


def multiplicative_lr(t, lr, lr_lambda):
    return lr * math.prod(lr_lambda(s) for s in range(1, t + 1))


def step_lr(t, lr, step_size, gamma=0.1):
    return lr * gamma ** (t // step_size)


def multi_step_lr(t, lr, milestones, gamma=0.1):
    return lr * gamma ** bisect_right(sorted(milestones), t)


def constant_lr(t, lr, factor=1 / 3, total_iters=5):
    return lr * (factor if t < total_iters else 1)


def linear_lr(t, lr, start_factor=1 / 3, end_factor=1.0, total_iters=5):
    return lr * (start_factor + (end_factor - start_factor) * min(t, total_iters) / total_iters)


def exponential_lr(t, lr, gamma):
    return lr * gamma**t


def polynomial_lr(t, lr, total_iters=5, power=1.0):
    return lr * (1 - min(t, total_iters) / total_iters) ** power


def cosine_annealing_lr(t, lr, T_max, eta_min=0.0):
    return eta_min + (lr - eta_min) * (1 + math.cos(math.pi * t / T_max)) / 2


def cosine_annealing_warm_restarts(t, lr, T_0, T_mult=1, eta_min=0.0):
    """Periods of T_0, T_0 T_mult, T_0 T_mult^2, ... steps."""
    period = T_0
    while t >= period:
        t, period = t - period, period * T_mult
    return eta_min + (lr - eta_min) * (1 + math.cos(math.pi * t / period)) / 2


def _cycle_position(t, step_size_up, step_size_down, mode, gamma):
    """How far (0 to 1) the cycle is from its base, with the scale of its mode."""
    down = step_size_up if step_size_down is None else step_size_down
    cycle, at = divmod(t, step_size_up + down)
    height = at / step_size_up if at <= step_size_up else 1 - (at - step_size_up) / down
    return height * {"triangular": 1, "triangular2": 0.5**cycle, "exp_range": gamma**t}[mode]


def cyclic_lr(
    t, lr, base_lr, max_lr, step_size_up=2000, step_size_down=None, mode="triangular", gamma=1.0,
):  # fmt: skip
    height = _cycle_position(t, step_size_up, step_size_down, mode, gamma)
    return base_lr + (max_lr - base_lr) * height


def cyclic_momentum(
    t, base_momentum=0.8, max_momentum=0.9, step_size_up=2000, step_size_down=None,
    mode="triangular", gamma=1.0,
):  # fmt: skip
    height = _cycle_position(t, step_size_up, step_size_down, mode, gamma)
    return max_momentum - (max_momentum - base_momentum) * height


def _one_cycle(t, total_steps, pct_start, anneal_strategy, three_phase, values):
    """Anneal through ``values`` (one more than there are phases) over the phases' steps."""
    last = total_steps - 1
    ends = [pct_start * total_steps - 1, last]
    if three_phase:
        ends = [ends[0], 2 * pct_start * total_steps - 2, last]
    start = 0.0
    for end, a, b in zip(ends, values, values[1:], strict=False):
        if t <= end or end == last:
            part = (t - start) / (end - start)
            if anneal_strategy == "linear":
                return a + (b - a) * part
            return b + (a - b) * (1 + math.cos(math.pi * part)) / 2
        start = end
    raise AssertionError("the last phase ends the cycle")


def one_cycle_lr(
    t, lr, max_lr, total_steps, pct_start=0.3, anneal_strategy="cos", div_factor=25.0,
    final_div_factor=1e4, three_phase=False,
):  # fmt: skip
    first = max_lr / div_factor
    last = first / final_div_factor
    values = [first, max_lr, first, last] if three_phase else [first, max_lr, last]
    return _one_cycle(t, total_steps, pct_start, anneal_strategy, three_phase, values)


def one_cycle_momentum(
    t, total_steps, pct_start=0.3, anneal_strategy="cos", base_momentum=0.85, max_momentum=0.95,
    three_phase=False,
):  # fmt: skip
    values = [max_momentum, base_momentum, max_momentum] + [max_momentum] * three_phase
    return _one_cycle(t, total_steps, pct_start, anneal_strategy, three_phase, values)


def sequential_lr(t, lr, schedules, milestones):
    """``schedules`` are functions (t, lr); each one starts at 0 at its milestone."""
    which = bisect_right(milestones, t)
    return schedules[which](t - (milestones[which - 1] if which else 0), lr)


def chained_scheduler(t, lr, schedules):
    """The product of the factors of all ``schedules``, functions (t, lr)."""
    return lr * math.prod(schedule(t, 1.0) for schedule in schedules)


def reduce_lr_on_plateau(
    metrics, lr, mode="min", factor=0.1, patience=10, threshold=1e-4, threshold_mode="rel",
    cooldown=0, min_lr=0.0, eps=1e-8,
):  # fmt: skip
    """The rate after each metric; reduced once more than ``patience`` in a row are no new best."""
    sign = 1 if mode == "min" else -1
    best, bad, rest, rates = math.inf, 0, 0, []
    for metric in metrics:
        margin = threshold if threshold_mode == "abs" else threshold * abs(best)
        if math.isinf(best) or sign * metric < best - margin:
            best, bad = sign * metric, 0
        else:
            bad += 1
        if rest > 0:
            rest, bad = rest - 1, 0
        if bad > patience:
            reduced = max(lr * factor, min_lr)
            lr = reduced if lr - reduced > eps else lr
            rest, bad = cooldown, 0
        rates.append(lr)
    return rates
