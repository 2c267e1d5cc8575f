"""Invariant coordinates: what stays the same in training, as axes of a search."""

from hptoolkit.coordinates.coordinates import Coordinates

__all__ = ["Coordinates"]
