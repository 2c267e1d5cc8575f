"""The deepest point of a polytope."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


def centre(inequalities: Array, offsets: Array) -> Array | None:
    """The Chebyshev centre of G z ≤ h, that of the largest ball within, by linear programming.

    Args:
        inequalities: G, (rows, axes).
        offsets: h, (rows,).

    Returns:
        The point, (axes,); None if the polytope is empty.
    """
    from scipy.optimize import linprog

    axes = inequalities.shape[1]
    norms = np.linalg.norm(inequalities, axis=1)
    objective = np.zeros(axes + 1)
    objective[-1] = -1.0
    solution = linprog(
        objective,
        A_ub=np.column_stack([inequalities, norms]),
        b_ub=offsets,
        bounds=[(None, None)] * axes + [(0, None)],
    )
    return np.asarray(solution["x"], dtype=np.float64)[:-1] if solution.success else None
