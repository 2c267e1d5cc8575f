from __future__ import annotations

import numpy as np
import pytest

from hptoolkit.training import schedules
from hptoolkit.training.config import ScheduleConfig


def test_the_default_is_pages_triangle() -> None:
    schedule = schedules.build(ScheduleConfig())
    values = [schedule(p) for p in (0.0, 0.1, 0.2, 0.6, 1.0)]
    assert values == pytest.approx([0.0, 0.5, 1.0, 0.5, 0.0])


def test_piecewise_linear_is_numpys_interpolation() -> None:
    knots, values = (0.0, 0.1, 0.35, 0.9, 1.0), (0.3, 1.0, 0.2, 0.2, 0.0)
    schedule = schedules.piecewise_linear(knots, values)
    progress = np.linspace(0, 1, 101)
    np.testing.assert_allclose(
        [schedule(p) for p in progress], np.interp(progress, knots, values), atol=1e-15
    )
