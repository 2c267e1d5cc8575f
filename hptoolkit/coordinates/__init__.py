"""Invariant coordinates: what stays the same in training, as axes of a search."""

from hptoolkit.coordinates.coordinates import Coordinates
from hptoolkit.coordinates.start import theory_start

__all__ = ["Coordinates", "theory_start"]
