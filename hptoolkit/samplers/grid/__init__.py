"""Grid search from coarse to fine."""

from hptoolkit.samplers.grid.sampler import GridSampler

__all__ = ["GridSampler"]
