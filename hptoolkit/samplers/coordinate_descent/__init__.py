"""Line searches along the coordinates in turn."""

from hptoolkit.samplers.coordinate_descent.sampler import CoordinateDescentSampler, Improvement

__all__ = ["CoordinateDescentSampler", "Improvement"]
