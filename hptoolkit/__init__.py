"""hptoolkit: tune neural networks on Optuna in the invariant coordinates of SGD.

The names below are imported at first use, so that `import hptoolkit` is fast.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hptoolkit.coordinates import Coordinates as Coordinates
    from hptoolkit.coordinates import theory_start as theory_start
    from hptoolkit.errors import UserError as UserError
    from hptoolkit.execution.optimize import optimize as optimize
    from hptoolkit.execution.own_range_test import range_test as range_test
    from hptoolkit.reporting.study_report import report as report
    from hptoolkit.samplers import CoordinateDescentSampler as CoordinateDescentSampler
    from hptoolkit.samplers import GPSampler as GPSampler
    from hptoolkit.samplers import GridSampler as GridSampler
    from hptoolkit.samplers import RandomSampler as RandomSampler
    from hptoolkit.samplers import Reparameterized as Reparameterized
    from hptoolkit.samplers import StudyExhausted as StudyExhausted

_HOMES = {
    "CoordinateDescentSampler": "hptoolkit.samplers",
    "Coordinates": "hptoolkit.coordinates",
    "GPSampler": "hptoolkit.samplers",
    "GridSampler": "hptoolkit.samplers",
    "RandomSampler": "hptoolkit.samplers",
    "Reparameterized": "hptoolkit.samplers",
    "StudyExhausted": "hptoolkit.samplers",
    "UserError": "hptoolkit.errors",
    "optimize": "hptoolkit.execution.optimize",
    "range_test": "hptoolkit.execution.own_range_test",
    "theory_start": "hptoolkit.coordinates",
}

__all__ = sorted([*_HOMES, "report"])


def __getattr__(name: str) -> Any:
    if name == "report":  # the command's module, which can be called
        return import_module("hptoolkit.report")
    if name not in _HOMES:
        raise AttributeError(f"module 'hptoolkit' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return [*globals(), *__all__]
