"""Linear programming, with an answer for each of its ends."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from hptoolkit.errors import UserError

Array = npt.NDArray[np.float64]
Bounds = Sequence[tuple[float | None, float | None]]

# Where the first fails on badly scaled numbers, the others may not.
_METHODS = ("highs", "highs-ipm", "highs-ds")
_SOLVED, _INFEASIBLE = 0, 2


def minimum(
    objective: Array, inequalities: Array, offsets: Array, bounds: Bounds | None = None
) -> Array | None:
    """Where objective · x is least under inequalities · x ≤ offsets; None if nothing meets these.

    `bounds` are those of each x; without any it is free. Raises UserError where no method finds an
    answer.
    """
    from scipy.optimize import linprog

    free = [(None, None)] * len(objective)
    for method in _METHODS:
        solution = linprog(
            objective,
            A_ub=inequalities,
            b_ub=offsets,
            bounds=free if bounds is None else bounds,
            method=method,
        )
        if solution.status == _SOLVED:
            return np.asarray(solution.x, dtype=np.float64)
        if solution.status == _INFEASIBLE:
            return None
    raise UserError(
        f"The region's extent cannot be computed ({solution.message.strip()}): its bounds are too "
        "far apart or too close together. Change the ranges, or the bounds on the coordinates."
    )
