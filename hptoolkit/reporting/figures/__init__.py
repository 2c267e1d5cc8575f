"""A study's figures: each module draws one, as a pure function of the study in plain values.

figures, notes = draw(study, definition)
"""

from __future__ import annotations

from hptoolkit.reporting.figures.album import Album, draw, make, with_slices
from hptoolkit.reporting.figures.figure import Figure

__all__ = ["Album", "Figure", "draw", "make", "with_slices"]
