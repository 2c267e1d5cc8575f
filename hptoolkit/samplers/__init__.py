"""Optuna samplers over raw parameter names that search invariant coordinates."""

from hptoolkit.samplers._base import CoordinateSampler, StudyExhausted
from hptoolkit.samplers.coordinate_descent import CoordinateDescentSampler, Improvement

__all__ = ["CoordinateDescentSampler", "CoordinateSampler", "Improvement", "StudyExhausted"]
