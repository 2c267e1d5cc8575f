"""Optuna samplers over raw parameter names that search invariant coordinates."""

from hptoolkit.samplers.base import CoordinateSampler, StudyExhausted
from hptoolkit.samplers.coordinate_descent import CoordinateDescentSampler, Improvement
from hptoolkit.samplers.fixed_points import DesignSampler
from hptoolkit.samplers.gp import Exponent, GPReport, GPSampler
from hptoolkit.samplers.grid import GridSampler
from hptoolkit.samplers.random import RandomSampler
from hptoolkit.samplers.reparameterized import Reparameterized

__all__ = [
    "CoordinateDescentSampler",
    "CoordinateSampler",
    "DesignSampler",
    "Exponent",
    "GPReport",
    "GPSampler",
    "GridSampler",
    "Improvement",
    "RandomSampler",
    "Reparameterized",
    "StudyExhausted",
]
