"""The learning-rate range test: short ramps in which the rate rises until the loss explodes.

Sources: L. Smith, Cyclical learning rates for training neural networks, 2017, section 3.3; for the
bounds B. Morris, Mastering the learning rate. The upper bound lies below the rate of the lowest
loss, where the loss "is still decreasing with some gusto", the lower one a factor of 3 to 10 below
that.

Where a ramp's loss is steepest or lowest is a matter of luck; where it has made half its fall is
less so (benchmarks/range_test.py). The upper bound is twice the rate of half the fall, its median
over several ramps of other seeds.
"""

from __future__ import annotations

import contextlib
import dataclasses
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
HEADROOM = 2.0  # the upper bound over the rate at which half the fall is made
BEFORE = 2.0  # decades below that rate where the ramps after the first begin
CHECK_EVERY = 10  # steps between looks at the loss, each of which waits for the device
EXPLODED = 4.0  # times the lowest smoothed loss
RAMP_SEED = 1_000_003  # how far the seeds of two ramps lie apart


@dataclass(frozen=True)
class Suggestion:
    """Learning rates read off a range test; `low` to `high` are the bounds suggested.

    `steepest`, `minimum`: where the loss falls fastest against log lr, and where it is lowest.
    `uncertainty`: the standard error of `high`, as a factor; 1 where a single ramp tells none.
    """

    low: float
    high: float
    steepest: float
    minimum: float
    uncertainty: float = 1.0


@dataclass(frozen=True, repr=False)
class RangeTest:
    """The first ramp, which covers the whole range, and what all of them suggest.

    `losses` at each of `lrs`, one a step; `smoothed` and `slopes` (a decade) of the same length.
    `exploded`: whether the loss did before the highest rate was reached. `highs`: the upper bound
    by each ramp alone. `steps`: of all ramps together.
    """

    lrs: tuple[float, ...]
    losses: tuple[float, ...]
    smoothed: tuple[float, ...]
    slopes: tuple[float, ...]
    exploded: bool
    suggestion: Suggestion
    highs: tuple[float, ...]
    steps: int

    def __repr__(self) -> str:
        """What it suggests: not hundreds of losses."""
        bounds = self.suggestion
        return (
            f"Range test of {self.steps} steps in {len(self.highs)} ramps: a peak learning rate of "
            f"{bounds.high:.2g} at most (to within a factor of {bounds.uncertainty:.2g}) and "
            f"{bounds.low:.2g} at least (the loss is lowest at {bounds.minimum:.2g})."
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
    ramps: int = 5,
) -> RangeTest:
    """Train while the rate rises from `lowest` to `highest` by a constant ratio in `steps` steps.

    A ramp ends early when the loss explodes. Those after the first have seeds of their own and
    begin two decades below where the loss begins to fall, so that they are short. Data, model, seed
    and device as for `train`; nothing given is changed. `config` decides the rest, its epochs and
    schedule apart; `factor` is high/low of the suggestion. Raises UserError for bad input, or if
    the loss of the first ramp fell nowhere.
    """
    device = torch.device(device)

    def begin(ramp: int) -> Step:
        trainer = prepare(config, data, model, _other(seed, ramp), device)
        batches: list[torch.Tensor] = []

        def step(lr: float) -> torch.Tensor:
            batches[:] = batches or trainer.batches()
            trainer.set_factor(lr / config.lr)
            return trainer.step(batches.pop())

        return step

    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        return measure(
            begin, lowest=lowest, highest=highest, steps=steps, factor=factor, ramps=ramps
        )


def measure(
    begin: Callable[[int], Step],
    *,
    lowest: float,
    highest: float,
    steps: int,
    factor: float,
    ramps: int,
) -> RangeTest:
    """The range test of any training. Arguments and errors are those of `range_test`.

    `begin` starts a ramp, of which the first is 0: what it returns takes a step at a rate and gives
    the loss () before it, detached. Random numbers are the caller's to keep.
    """
    if not 0 < lowest < highest < math.inf:
        raise UserError(
            f"the range of learning rates must rise from above 0, got {lowest:g} to {highest:g}"
        )
    if steps < 20 or factor <= 1 or ramps < 1:
        raise UserError(
            f"20 steps, a factor above 1 and a ramp are needed, got {steps}, {factor:g} and {ramps}"
        )
    lrs = np.geomspace(lowest, highest, steps)
    losses, exploded = _ramp(begin(0), lrs)
    if len(losses) < CHECK_EVERY:
        raise UserError(f"the loss exploded at once: start below a learning rate of {lowest:g}")
    used = lrs[: len(losses)]
    found, total = [suggest(used, losses, factor)], len(losses)
    begins = int(np.searchsorted(lrs, found[0].high / HEADROOM / 10**BEFORE))
    for ramp in range(1, ramps):
        shorter, _ = _ramp(begin(ramp), lrs[begins:])
        total += len(shorter)
        if len(shorter) >= CHECK_EVERY:
            with contextlib.suppress(UserError):  # a ramp whose loss fell nowhere tells nothing
                found.append(suggest(lrs[begins : begins + len(shorter)], shorter, factor))
    smoothed, slopes = smooth(used, losses)
    return RangeTest(
        lrs=tuple(used.tolist()),
        losses=tuple(losses.tolist()),
        smoothed=tuple(smoothed.tolist()),
        slopes=tuple(slopes.tolist()),
        exploded=exploded,
        suggestion=combine(found, factor),
        highs=tuple(each.high for each in found),
        steps=total,
    )


def combine(found: Sequence[Suggestion], factor: float = 10.0) -> Suggestion:
    """The medians of several ramps' suggestions, and the standard error of the upper bound."""

    def median(values: list[float]) -> float:
        return float(np.exp(np.median(np.log(values))))

    highs = [each.high for each in found]
    high = median(highs)
    error = 0.0
    if len(highs) > 1:
        # Of a median of normal values: √(π/2) times that of their mean.
        error = math.sqrt(math.pi / 2) * float(np.std(np.log(highs), ddof=1)) / len(highs) ** 0.5
    return Suggestion(
        low=high / factor,
        high=high,
        steepest=median([each.steepest for each in found]),
        minimum=median([each.minimum for each in found]),
        uncertainty=math.exp(error),
    )


def _other(seed: int | Seeds, ramp: int) -> Seeds:
    """The seeds of a ramp: each of the given ones for the first, far from it for the others."""
    given = seed if isinstance(seed, Seeds) else Seeds.same(seed)
    return Seeds(*(part + RAMP_SEED * ramp for part in dataclasses.astuple(given)))


def _ramp(step: Step, lrs: Floats) -> tuple[Floats, bool]:
    """The loss at each rate up to where it explodes, and whether it does."""
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
    return np.array(losses[:end]), end < len(losses)


def suggest(
    lrs: Sequence[float] | Floats, losses: Sequence[float] | Floats, factor: float = 10.0
) -> Suggestion:
    """The bounds for learning rates `lrs` (rising) with finite `losses`, one each.

    high: twice the rate at which the smoothed loss has made half of its fall, at most that of the
    lowest loss. low: high/factor. UserError if the loss falls by no more than its own noise.
    """
    rates, values = np.asarray(lrs, dtype=np.float64), np.asarray(losses, dtype=np.float64)
    smoothed, slopes = smooth(rates, values)
    lowest = int(np.argmin(smoothed))
    before = smoothed[: lowest + 1]
    noise = float(np.std(values[: lowest + 1] - before))
    fall = float(before.max() - smoothed[lowest])
    if lowest == 0 or fall <= 2 * noise:
        raise UserError(
            f"the loss fell nowhere between the learning rates {rates[0]:g} and {rates[-1]:g}: "
            f"take a wider range, more steps or a larger batch"
        )
    half = _crossing(rates, before, float(smoothed[lowest] + fall / 2))
    high = min(HEADROOM * half, float(rates[lowest]))
    steepest = float(rates[np.argmax(-slopes[: lowest + 1])])
    return Suggestion(high / factor, high, steepest, float(rates[lowest]))


def _crossing(rates: Floats, values: Floats, level: float) -> float:
    """The rate at which values, the lowest of which is the last, fall through a level for good."""
    above = int(np.flatnonzero(values > level)[-1])
    share = (values[above] - level) / (values[above] - values[above + 1])
    return float(rates[above] * (rates[above + 1] / rates[above]) ** share)


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
