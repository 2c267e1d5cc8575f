"""The learning-rate range test: one short run in which the rate rises until the loss explodes.

Sources: L. Smith, Cyclical learning rates for training neural networks, 2017, section 3.3; for the
bounds B. Morris, Mastering the learning rate. The upper bound lies below the rate of the lowest
loss, where the loss "is still decreasing with some gusto", the lower one a factor of 3 to 10 below
that. Slopes are taken against log lr: against lr itself they would favour the smallest rates.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from hptoolkit.errors import UserError
from hptoolkit.training.config import TrainingConfig
from hptoolkit.training.loop import Data, Model, prepare
from hptoolkit.training.seeds import Seeds

Floats = np.ndarray[Any, np.dtype[np.float64]]
Step = Callable[[float], torch.Tensor]

BANDWIDTH = 0.15  # of the smoothing, in decades of the learning rate
GUSTO = 0.5  # the share of the steepest slope that the upper bound still has
MARGIN = 2.0  # the least factor between the upper bound and the rate of the lowest loss
CHECK_EVERY = 10  # steps between looks at the loss, each of which waits for the device
EXPLODED = 4.0  # times the lowest smoothed loss


@dataclass(frozen=True)
class Suggestion:
    """Learning rates read off a range test; `low` to `high` are the bounds suggested."""

    low: float
    high: float
    steepest: float
    minimum: float


@dataclass(frozen=True, repr=False)
class RangeTest:
    """`losses` at each of `lrs`, one a step; `smoothed` and `slopes` (a decade) of the same length.

    `exploded`: whether the loss did before the highest rate was reached.
    """

    lrs: tuple[float, ...]
    losses: tuple[float, ...]
    smoothed: tuple[float, ...]
    slopes: tuple[float, ...]
    exploded: bool
    suggestion: Suggestion

    def __repr__(self) -> str:
        """What it suggests: not hundreds of losses."""
        bounds = self.suggestion
        return (
            f"Range test of {len(self.lrs)} steps: a peak learning rate of {bounds.high:.2g} at "
            f"most and {bounds.low:.2g} at least (the loss is lowest at {bounds.minimum:.2g})."
        )


def range_test(
    config: TrainingConfig,
    data: Data,
    *,
    model: Model | None = None,
    seed: int | Seeds = 0,
    device: str | torch.device = "cpu",
    lowest: float = 1e-7,
    highest: float = 100.0,
    steps: int = 200,
    factor: float = 10.0,
) -> RangeTest:
    """Train while the rate rises from `lowest` to `highest` by a constant ratio in `steps` steps.

    Ends early when the loss explodes. Data, model, seed and device as for `train`; nothing given is
    changed. `config` decides the rest, its epochs and schedule apart; `factor` is high/low of the
    suggestion. Raises UserError for bad input, or if the loss fell nowhere.
    """
    device = torch.device(device)

    def begin() -> Step:
        trainer = prepare(config, data, model, seed, device)
        batches: list[torch.Tensor] = []

        def step(lr: float) -> torch.Tensor:
            batches[:] = batches or trainer.batches()
            trainer.set_factor(lr / config.lr)
            return trainer.step(batches.pop())

        return step

    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        return measure(begin, lowest=lowest, highest=highest, steps=steps, factor=factor)


def measure(
    begin: Callable[[], Step], *, lowest: float, highest: float, steps: int, factor: float
) -> RangeTest:
    """The range test of any training. Arguments and errors are those of `range_test`.

    `begin` starts it: what it returns takes a step at a rate and gives the loss () before it,
    detached. Random numbers are the caller's to keep.
    """
    if not 0 < lowest < highest < math.inf:
        raise UserError(
            f"the range of learning rates must rise from above 0, got {lowest:g} to {highest:g}"
        )
    if steps < 20 or factor <= 1:
        raise UserError(f"20 steps and a factor above 1 are needed, got {steps} and {factor:g}")
    lrs = np.geomspace(lowest, highest, steps)
    step = begin()
    losses: list[float] = []
    pending: list[torch.Tensor] = []
    for lr in lrs.tolist():
        pending.append(step(lr))
        if len(pending) == CHECK_EVERY:
            losses += torch.stack(pending).tolist()
            pending.clear()
            if _exploded(losses, lrs):
                break
    if pending:
        losses += torch.stack(pending).tolist()
    end = _end(losses, lrs)
    if end < CHECK_EVERY:
        raise UserError(f"the loss exploded at once: start below a learning rate of {lowest:g}")
    used, seen = lrs[:end], np.array(losses[:end])
    suggestion = suggest(used, seen, factor)
    smoothed, slopes = smooth(used, seen)
    return RangeTest(
        lrs=tuple(used.tolist()),
        losses=tuple(seen.tolist()),
        smoothed=tuple(smoothed.tolist()),
        slopes=tuple(slopes.tolist()),
        exploded=end < len(losses),
        suggestion=suggestion,
    )


def suggest(
    lrs: Sequence[float] | Floats, losses: Sequence[float] | Floats, factor: float = 10.0
) -> Suggestion:
    """The bounds for learning rates `lrs` (rising) with finite `losses`, one each.

    high: the largest rate, at most half that of the lowest loss, at which the loss still falls at
    least half as fast against log lr as it does at its steepest up to there. low: high/factor.
    UserError if the loss falls by no more than its own noise.
    """
    rates, values = np.asarray(lrs, dtype=np.float64), np.asarray(losses, dtype=np.float64)
    smoothed, slopes = smooth(rates, values)
    lowest = int(np.argmin(smoothed))
    before = slice(0, int(np.searchsorted(rates, rates[lowest] / MARGIN, side="right")))
    falling = -slopes[before]
    noise = float(np.std((values - smoothed)[: lowest + 1]))
    fall = float(smoothed[: lowest + 1].max() - smoothed[lowest])
    if falling.size == 0 or falling.max() <= 0 or fall <= 2 * noise:
        raise UserError(
            f"the loss fell nowhere between the learning rates {rates[0]:g} and {rates[-1]:g}: "
            f"take a wider range, more steps or a larger batch"
        )
    high = float(rates[np.flatnonzero(falling >= GUSTO * falling.max())[-1]])
    steepest = float(rates[np.argmax(falling)])
    return Suggestion(high / factor, high, steepest, float(rates[lowest]))


def smooth(lrs: Floats, losses: Floats) -> tuple[Floats, Floats]:
    """Local lines through the losses against log10 lr, weighted by a Gaussian: values and slopes.

    Centred, so that neither lags behind the rate, as a running average would.
    """
    x = np.log10(lrs)
    distance = x[None, :] - x[:, None]
    weight = np.exp(-0.5 * (distance / BANDWIDTH) ** 2)
    s0, s1, s2 = (np.sum(weight * distance**power, axis=1) for power in (0, 1, 2))
    t0, t1 = weight @ losses, (weight * distance) @ losses
    determinant = s0 * s2 - s1**2
    return (s2 * t0 - s1 * t1) / determinant, (s0 * t1 - s1 * t0) / determinant


def _end(losses: Sequence[float], lrs: Floats) -> int:
    """How many losses belong to the test: those before the first that is not finite or explodes."""
    finite = next((i for i, loss in enumerate(losses) if not math.isfinite(loss)), len(losses))
    if finite < 2:
        return finite
    smoothed, _ = smooth(lrs[:finite], np.array(losses[:finite]))
    limit = EXPLODED * np.minimum.accumulate(smoothed)
    above = np.flatnonzero(smoothed > limit)
    return int(above[0]) if above.size else finite


def _exploded(losses: Sequence[float], lrs: Floats) -> bool:
    return _end(losses, lrs) < len(losses)
