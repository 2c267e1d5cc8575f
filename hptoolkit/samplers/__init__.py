"""Optuna samplers over raw parameter names that search invariant coordinates."""

from hptoolkit.samplers._base import CoordinateSampler, StudyExhausted
from hptoolkit.samplers._gp_report import Exponent, GPReport
from hptoolkit.samplers.coordinate_descent import CoordinateDescentSampler, Improvement
from hptoolkit.samplers.design import DesignSampler
from hptoolkit.samplers.gp import GPSampler
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
