"""What trials say about the response: rows for the GP, one for each distinct point."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from optuna.trial import TrialState

from hptoolkit.errors import UserError
from hptoolkit.samplers.gp.features import Columns
from hptoolkit.samplers.history import History, Key, Observation
from hptoolkit.search_space.region import Array, Region

# Values further below the median than this many times its distance to the best are raised to there.
# On noisy quadratics in coordinates, saturating ones and cliffs this took 1/1.40 ± 0.05 of the
# trials that normal scores of ranks took; factors of 1 to 4 make less difference than seeds do.
WINSOR = 2.0

# Larger values are cut to this, so that their squares do not overflow.
_LARGEST = 1e150


@dataclass(frozen=True)
class Evidence:
    """Points and their values, larger being better, standardised to mean 0 and deviation 1.

    Attributes:
        columns: (n, c) distinct points.
        values: (n,) means over each point's repeats.
        repeats: (n,) how many trials each mean is over.
        scatter: (n,) sums of squared deviations from the mean.
        pending: (m, c) points that are being evaluated.
        location, scale: value = (sign · what the objective returned − location) / scale.
    """

    columns: Array
    values: Array
    repeats: Array
    scatter: Array
    pending: Array
    location: float
    scale: float

    def tells_the_same(self, other: Evidence) -> bool:
        """Whether both have the same rows; those pending may differ."""
        return all(
            np.array_equal(mine, its)
            for mine, its in (
                (self.columns, other.columns),
                (self.values, other.values),
                (self.repeats, other.repeats),
                (self.scatter, other.scatter),
            )
        )


def gather(region: Region, columns: Columns, history: History) -> Evidence:
    """The rows of a history. Trials at parameters that have no place in the region are left out."""
    values = _values(history)
    points: dict[Key, Array] = {}
    pending: dict[Key, Array] = {}
    repeats: defaultdict[Key, list[float]] = defaultdict(list)
    for o, value in zip([*history.observations, *history.failures], values, strict=True):
        place = _place(region, columns, o)
        if place is None:
            continue
        if o.trial.state == TrialState.FAIL and repeats[o.key]:
            continue  # It succeeded at another time.
        if value is None:
            pending[o.key] = place
        else:
            points[o.key] = place
            repeats[o.key].append(value)
    told = [np.array(repeats[key]) for key in points]
    means = np.array([np.mean(v) for v in told])
    location, scale = (float(np.mean(means)), float(np.std(means))) if told else (0.0, 0.0)
    scale = scale or 1.0
    return Evidence(
        columns=_stack(points.values(), columns),
        values=(means - location) / scale,
        repeats=np.array([len(v) for v in told], dtype=np.float64),
        scatter=np.array([np.sum(((v - np.mean(v)) / scale) ** 2) for v in told]),
        pending=_stack(pending.values(), columns),
        location=location,
        scale=scale,
    )


def _values(history: History) -> list[float | None]:
    """Values of the observations, then the failures: winsorised from below; None for a running one.

    A diverged trial, and a point that crashed too often, get the least value. A pruned one gets
    its last reported value, but no better than the median: it was stopped because others were
    ahead. A failure gets the median; it may be a diverged run (Optuna stores a NaN as a failure) or
    the machine's: it must not be asked for again at once, nor condemn its neighbourhood.
    """
    finite = [o.value for o in history.observations if o.value is not None and _is_finite(o)]
    known = np.clip(finite or [0.0], -_LARGEST, _LARGEST)
    best, median = float(np.max(known)), float(np.median(known))
    # Where all are equal, a diverged trial must still lie below them.
    floor = median - (WINSOR * (best - median) or float(np.ptp(known)) or abs(best) or 1.0)

    def value(o: Observation) -> float | None:
        if o.trial.state == TrialState.FAIL:
            return floor if o.key in history.given_up else median
        if o.value is None:
            return None
        last = o.trial.value
        if o.trial.state == TrialState.PRUNED and last is not None and math.isfinite(last):
            return max(min(history.sign * last, median), floor)
        return min(max(o.value, floor), best) if _is_finite(o) else floor

    return [value(o) for o in [*history.observations, *history.failures]]


def _is_finite(o: Observation) -> bool:
    return o.value is not None and math.isfinite(o.value)


def _place(region: Region, columns: Columns, o: Observation) -> Array | None:
    try:
        place = columns.encode(region.encode(o.params))
    except (UserError, ValueError, OverflowError):
        return None
    return place if np.all(np.isfinite(place)) else None


def _stack(rows: Iterable[Array], columns: Columns) -> Array:
    return np.array(list(rows), dtype=np.float64).reshape(-1, len(columns.low))
