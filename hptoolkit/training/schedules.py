"""Schedules: pure functions from progress in [0, 1] to a multiple of the peak value."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence

from hptoolkit.training.config import ScheduleConfig

Schedule = Callable[[float], float]


def piecewise_linear(knots: Sequence[float], values: Sequence[float]) -> Schedule:
    """Linear between (knot, value) pairs; the knots rise from 0 to 1."""

    def schedule(progress: float) -> float:
        right = min(max(bisect_right(knots, progress), 1), len(knots) - 1)
        left = right - 1
        share = (progress - knots[left]) / (knots[right] - knots[left])
        return values[left] + share * (values[right] - values[left])

    return schedule


def build(config: ScheduleConfig) -> Schedule:
    """The schedule that `config` names."""
    return piecewise_linear(config.knots, config.values)
