"""The deepest point of a polytope."""

from __future__ import annotations

import numpy as np

from hptoolkit.search_space.linear_program import Array, minimum


def centre(inequalities: Array, offsets: Array) -> Array | None:
    """The Chebyshev centre of G z ≤ h, that of the largest ball within, by linear programming.

    Args:
        inequalities: G, (rows, axes).
        offsets: h, (rows,).

    Returns:
        The point, (axes,); None if the polytope is empty.
    """
    axes = inequalities.shape[1]
    norms = np.linalg.norm(inequalities, axis=1)
    objective = np.zeros(axes + 1)
    objective[-1] = -1.0
    bounds = [(None, None)] * axes + [(0, None)]
    solution = minimum(objective, np.column_stack([inequalities, norms]), offsets, bounds)
    return None if solution is None else solution[:-1]
