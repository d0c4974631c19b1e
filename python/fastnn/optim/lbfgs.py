"""L-BFGS with an optional line search for the strong Wolfe conditions (Nocedal and Wright, 2006)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from ..autograd.node import no_grad
from ..ops._util import wide, wrap
from .optimizer import Optimizer, check_hyper

Closure = Callable[[], Any]


class LBFGS(Optimizer):
    """Quasi-Newton steps from the last `history_size` changes of the gradient.

    step() needs a closure, which it calls up to max_eval times. One parameter group only.
    line_search_fn: None (steps of length lr) or "strong_wolfe".
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1,
        max_iter: int = 20,
        max_eval: int | None = None,
        tolerance_grad: float = 1e-7,
        tolerance_change: float = 1e-9,
        history_size: int = 100,
        line_search_fn: str | None = None,
    ) -> None:
        check_hyper(lr=lr)
        if line_search_fn not in (None, "strong_wolfe"):
            raise ValueError(
                f"LBFGS: only 'strong_wolfe' is supported as line_search_fn, got {line_search_fn!r}"
            )
        super().__init__(
            params,
            {
                "lr": lr,
                "max_iter": max_iter,
                "max_eval": max_iter * 5 // 4 if max_eval is None else max_eval,
                "tolerance_grad": tolerance_grad,
                "tolerance_change": tolerance_change,
                "history_size": history_size,
                "line_search_fn": line_search_fn,
            },
        )
        if len(self.param_groups) != 1:
            raise ValueError("LBFGS doesn't support per-parameter options (parameter groups)")
        self._params = self.param_groups[0]["params"]

    # ---- The parameters as one vector ------------------------------------------------------------

    def _gradient(self) -> np.ndarray:
        return np.concatenate(
            [
                np.zeros(p._data.size, wide(p._data).dtype)
                if p._grad is None
                else wide(p._grad._data).ravel()
                for p in self._params
            ]
        )

    def _read(self) -> list[np.ndarray]:
        return [p._data.copy() for p in self._params]

    def _write(self, start: list[np.ndarray], t: float, direction: np.ndarray) -> None:
        """Sets the parameters to start + t direction."""
        at = 0
        for p, before in zip(self._params, start, strict=True):
            step = direction[at : at + before.size].reshape(before.shape)
            p._data[...] = (wide(before) + t * step).astype(before.dtype)
            p._counter.value += 1
            at += before.size

    # ---- One step --------------------------------------------------------------------------------

    @no_grad()
    def step(self, closure: Closure | None = None) -> Any:
        """Up to max_iter iterations; returns the loss before the first one."""
        if closure is None:
            raise TypeError("LBFGS.step() needs a closure that computes the loss and its gradients")
        group = self.param_groups[0]
        state = self.state[self._params[0]]
        state.setdefault("func_evals", 0)
        state.setdefault("n_iter", 0)
        first_loss = self._loss(closure)
        loss, evaluations = float(first_loss), 1
        state["func_evals"] += 1
        gradient = self._gradient()
        if np.abs(gradient).max(initial=0) <= group["tolerance_grad"]:
            return first_loss
        memory = _Memory(state, group["history_size"])
        for iteration in range(1, group["max_iter"] + 1):
            state["n_iter"] += 1
            if state["n_iter"] == 1:
                direction = -gradient
                t = min(1.0, 1.0 / float(np.abs(gradient).sum())) * group["lr"]
            else:
                direction = memory.direction(gradient)
                t = group["lr"]
            memory.keep(gradient, loss)
            slope = float(gradient @ direction)
            if slope > -group["tolerance_change"]:
                break
            search = _LineSearch(self, closure, group["tolerance_change"])
            if group["line_search_fn"] is None:
                self._write(self._read(), t, direction)
                used = 0
                if iteration != group["max_iter"]:
                    loss = float(self._loss(closure))
                    gradient, used = self._gradient(), 1
            else:
                loss, gradient, t, used = search.run(t, direction, loss, gradient, slope)
            memory.moved(direction, t)
            evaluations += used
            state["func_evals"] += used
            if (
                evaluations >= group["max_eval"]
                or np.abs(gradient).max(initial=0) <= group["tolerance_grad"]
                or np.abs(direction * t).max(initial=0) <= group["tolerance_change"]
                or abs(loss - state["prev_loss"]) < group["tolerance_change"]
            ):
                break
        return first_loss


class _Memory:
    """The last changes of parameters and gradient, kept in the state under PyTorch's names."""

    def __init__(self, state: dict, size: int) -> None:
        self.state = state
        self.size = size

    def keep(self, gradient: np.ndarray, loss: float) -> None:
        """Notes where this iteration starts."""
        self.state["prev_flat_grad"] = wrap(gradient.copy())
        self.state["prev_loss"] = loss

    def moved(self, direction: np.ndarray, t: float) -> None:
        self.state["d"], self.state["t"] = wrap(direction), t

    def direction(self, gradient: np.ndarray) -> np.ndarray:
        """-H gradient by the two-loop recursion, after taking in the last change."""
        state = self.state
        if "old_dirs" not in state:
            state["old_dirs"], state["old_stps"], state["ro"], state["H_diag"] = [], [], [], 1.0
        y = gradient - state["prev_flat_grad"]._data
        s = state["d"]._data * state["t"]
        curvature = float(y @ s)
        if curvature > 1e-10:
            if len(state["old_dirs"]) == self.size:
                for name in ("old_dirs", "old_stps", "ro"):
                    state[name].pop(0)
            state["old_dirs"].append(wrap(y))
            state["old_stps"].append(wrap(s))
            state["ro"].append(1.0 / curvature)
            state["H_diag"] = curvature / float(y @ y)
        pairs = list(zip(state["old_dirs"], state["old_stps"], state["ro"], strict=True))
        q, weights = -gradient, []
        for y_i, s_i, ro in reversed(pairs):
            weights.append(float(s_i._data @ q) * ro)
            q = q - weights[-1] * y_i._data
        d = q * state["H_diag"]
        for (y_i, s_i, ro), weight in zip(pairs, reversed(weights), strict=True):
            d = d + s_i._data * (weight - float(y_i._data @ d) * ro)
        return d.astype(gradient.dtype)


class _LineSearch:
    """A step length that satisfies the strong Wolfe conditions (c1 = 1e-4, c2 = 0.9)."""

    C1, C2, MOST = 1e-4, 0.9, 25

    def __init__(self, optimizer: LBFGS, closure: Closure, tolerance: float) -> None:
        self.optimizer = optimizer
        self.closure = closure
        self.tolerance = tolerance
        self.evaluations = 0

    def _at(self, t: float) -> tuple:
        """(t, loss, gradient, slope) with the parameters moved by t along the direction."""
        self.optimizer._write(self.start, t, self.direction)
        loss = float(self.optimizer._loss(self.closure))
        gradient = self.optimizer._gradient()
        self.evaluations += 1
        return t, loss, gradient, float(gradient @ self.direction)

    def run(
        self, t: float, direction: np.ndarray, loss: float, gradient: np.ndarray, slope: float
    ) -> tuple:
        """(loss, gradient, t, evaluations) at the accepted point, where the parameters are then."""
        self.start, self.direction = self.optimizer._read(), direction
        self.origin = (0.0, loss, gradient, slope)
        self.widest = float(np.abs(direction).max(initial=0))
        bracket, done = self._bracket(t)
        best = min(bracket, key=lambda point: point[1])
        if not done:
            best = self._zoom(bracket)
        t, loss, gradient, _ = best
        self.optimizer._write(self.start, t, direction)
        return loss, gradient, t, self.evaluations

    def _too_high(self, point: tuple) -> bool:
        _, loss, _, slope = self.origin
        return point[1] > loss + self.C1 * point[0] * slope

    def _flat(self, point: tuple) -> bool:
        return abs(point[3]) <= -self.C2 * self.origin[3]

    def _bracket(self, t: float) -> tuple[list, bool]:
        """An interval that holds a good point, or that point itself and True."""
        previous, point = self.origin, self._at(t)
        for attempt in range(self.MOST):
            if self._too_high(point) or (attempt and point[1] >= previous[1]):
                return [previous, point], False
            if self._flat(point):
                return [point], True
            if point[3] >= 0:
                return [previous, point], False
            least = point[0] + 0.01 * (point[0] - previous[0])
            t = _cubic_minimum(previous, point, (least, point[0] * 10))
            previous, point = point, self._at(t)
        return [self.origin, point], False

    def _zoom(self, bracket: list) -> tuple:
        """Shrinks the interval until a point in it is good enough; returns the lowest point."""
        stuck = False
        low, high = sorted(bracket, key=lambda point: point[1])
        while self.evaluations < self.MOST:
            ends = sorted((low[0], high[0]))
            if (ends[1] - ends[0]) * self.widest < self.tolerance:
                break
            t = _cubic_minimum(low, high)
            margin = 0.1 * (ends[1] - ends[0])
            # Close to an end twice, or outside: a tenth of the way in.
            if min(ends[1] - t, t - ends[0]) < margin:
                if stuck or t >= ends[1] or t <= ends[0]:
                    near_top = abs(t - ends[1]) < abs(t - ends[0])
                    t = ends[1] - margin if near_top else ends[0] + margin
                    stuck = False
                else:
                    stuck = True
            else:
                stuck = False
            point = self._at(t)
            if self._too_high(point) or point[1] >= low[1]:
                high = point
                if low[1] > high[1]:
                    low, high = high, low
                continue
            if self._flat(point):
                return point
            if point[3] * (high[0] - low[0]) >= 0:
                high = low
            low = point
        return low


def _cubic_minimum(a: tuple, b: tuple, bounds: tuple[float, float] | None = None) -> float:
    """Where the cubic through two points with their slopes is lowest, within the bounds."""
    (x1, f1, _, g1), (x2, f2, _, g2) = sorted((a, b), key=lambda point: point[0])
    low, high = (x1, x2) if bounds is None else bounds
    if x1 == x2:
        return (low + high) / 2
    d1 = g1 + g2 - 3 * (f1 - f2) / (x1 - x2)
    square = d1 * d1 - g1 * g2
    if not square >= 0:  # NaN too
        return (low + high) / 2
    d2 = float(np.sqrt(square))
    divisor = g2 - g1 + 2 * d2
    if divisor == 0:
        return (low + high) / 2
    return min(max(x2 - (x2 - x1) * ((g2 + d2 - d1) / divisor), low), high)
