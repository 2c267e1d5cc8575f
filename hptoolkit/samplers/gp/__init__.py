"""Bayesian optimisation whose first coordinate is learned."""

from hptoolkit.samplers.gp.report import Exponent, GPReport
from hptoolkit.samplers.gp.sampler import GPSampler

__all__ = ["Exponent", "GPReport", "GPSampler"]
