"""Schedules: pure functions from progress in [0, 1] to a multiple of the peak, composed freely."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Sequence

from hptoolkit.training.config import TrainingConfig

Schedule = Callable[[float], float]


def constant() -> Schedule:
    return lambda progress: 1.0


def step(drops: Sequence[float], factor: float) -> Schedule:
    """Times `factor` from each of the `drops` (rising) on."""
    return lambda progress: factor ** bisect_right(drops, progress)


def exponential(final: float) -> Schedule:
    """From 1 to `final` > 0 by a constant ratio."""
    return lambda progress: final**progress


def cosine(final: float) -> Schedule:
    """From 1 to `final` along half a cosine (Loshchilov, Hutter, SGDR, 2017, equation 5)."""
    return lambda progress: final + (1 - final) * (1 + math.cos(math.pi * progress)) / 2


def piecewise_linear(knots: Sequence[float], values: Sequence[float]) -> Schedule:
    """Linear between (knot, value) pairs; the knots rise from 0 to 1."""

    def schedule(progress: float) -> float:
        right = min(max(bisect_right(knots, progress), 1), len(knots) - 1)
        left = right - 1
        share = (progress - knots[left]) / (knots[right] - knots[left])
        return values[left] + share * (values[right] - values[left])

    return schedule


def with_warmup(schedule: Schedule, share: float) -> Schedule:
    """Linear from 0 to where `schedule` begins, in the first `share` of the run; then all of it."""
    if share == 0:
        return schedule

    def warmed(progress: float) -> float:
        if progress < share:
            return schedule(0.0) * progress / share
        return schedule((progress - share) / (1 - share))

    return warmed


def in_cycles(schedule: Schedule, cycles: int, growth: float) -> Schedule:
    """`schedule` run `cycles` times over, each cycle `growth` times as long as the one before."""
    lengths = [growth**cycle for cycle in range(cycles)]
    starts = [sum(lengths[:cycle]) / sum(lengths) for cycle in range(cycles)]
    ends = [*starts[1:], 1.0]

    def cycled(progress: float) -> float:
        cycle = min(max(bisect_right(starts, progress), 1), cycles) - 1
        return schedule((progress - starts[cycle]) / (ends[cycle] - starts[cycle]))

    return cycled


def build(config: TrainingConfig) -> Schedule:
    """The learning rate as a multiple of `config.lr`.

    constant; step: times drop_factor at each of the drops; linear, exponential, cosine: to final;
    piecewise: linear between knots and values (Page); triangular: cycles from final up to 1 and
    back (Smith 2017); cosine-restarts: cycles of cosine to final, growing in length (SGDR);
    1cycle: from start up to 1 at `peak`, back to start at 2*peak, then to final (Smith, Topin
    2018). A warm-up comes before any of them.
    """
    start, final, peak = config.schedule_start, config.schedule_final, config.schedule_peak
    cycles, growth = config.schedule_cycles, config.schedule_growth
    makers: dict[str, Callable[[], Schedule]] = {
        "constant": constant,
        "step": lambda: step(config.schedule_drops, config.schedule_drop_factor),
        "linear": lambda: piecewise_linear((0, 1), (1, final)),
        "exponential": lambda: exponential(final),
        "cosine": lambda: cosine(final),
        "piecewise": lambda: piecewise_linear(config.schedule_knots, config.schedule_values),
        "triangular": lambda: in_cycles(
            piecewise_linear((0, 0.5, 1), (final, 1, final)), cycles, growth
        ),
        "cosine-restarts": lambda: in_cycles(cosine(final), cycles, growth),
        "1cycle": lambda: _one_cycle(peak, start, 1.0, start, final),
    }
    return with_warmup(makers[config.schedule](), config.warmup)


def build_momentum(config: TrainingConfig) -> Schedule:
    """The momentum itself: 1cycle moves it against the learning rate, the others leave it alone."""
    if config.schedule != "1cycle":
        return lambda progress: config.momentum
    high, low = config.momentum, min(config.momentum, config.momentum_low)
    cycle = _one_cycle(config.schedule_peak, high, low, high, high)
    share = config.warmup
    return lambda progress: cycle(max(0.0, progress - share) / (1 - share))


def _one_cycle(peak: float, start: float, middle: float, back: float, final: float) -> Schedule:
    if peak == 0.5:  # no third phase
        return piecewise_linear((0, 0.5, 1), (start, middle, back))
    return piecewise_linear((0, peak, 2 * peak, 1), (start, middle, back, final))
