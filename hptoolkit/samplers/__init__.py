"""Optuna samplers over raw parameter names that search invariant coordinates."""

from hptoolkit.samplers._base import CoordinateSampler, StudyExhausted
from hptoolkit.samplers.coordinate_descent import CoordinateDescentSampler, Improvement
from hptoolkit.samplers.grid import GridSampler
from hptoolkit.samplers.random import RandomSampler

__all__ = [
    "CoordinateDescentSampler",
    "CoordinateSampler",
    "GridSampler",
    "Improvement",
    "RandomSampler",
    "StudyExhausted",
]
