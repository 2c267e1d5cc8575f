"""Where the GP's first points and its candidates lie."""

from __future__ import annotations

import numpy as np
import pytest
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    IntDistribution,
)

import hptoolkit as hpt
from hptoolkit.samplers.gp.design import on_faces, spread
from hptoolkit.samplers.gp.features import Columns
from hptoolkit.search_space.region import Region
from tests import page

AXIS = "lr*weight_decay/(1-momentum)"
SPACE: dict[str, BaseDistribution] = {
    **page.SEARCH_SPACE,
    "batch_size": IntDistribution(16, 256, log=True),
    "optimizer": CategoricalDistribution(["sgd", "nesterov", "adam"]),
}


def columns_of(box: dict[str, tuple[float, float]] | None = None) -> Columns:
    return Columns(Region(page.COORDINATES, SPACE, box))


@pytest.mark.parametrize("seed", range(5))
def test_the_first_points_are_even_over_each_raw_parameter(seed: int) -> None:
    """Of four points of a Sobol sequence each quarter of every raw range gets one."""
    columns = columns_of()
    points = spread(columns, 4, seed)
    numeric = slice(0, 4)
    shares = (points - columns.low)[:, numeric] / (columns.high - columns.low)[numeric]
    for quarters in np.floor(4 * shares).T:
        assert sorted(quarters) == [0, 1, 2, 3]
    # One choice each.
    assert np.array_equal(points[:, 4:].sum(axis=1), np.ones(4))


def test_more_points_begin_with_the_same_ones() -> None:
    columns = columns_of()
    assert np.array_equal(spread(columns, 100, 3)[:5], spread(columns, 5, 3))


@pytest.mark.parametrize("width", [100.0, 1.001])
def test_a_box_of_coordinates_rejects_points_however_thin_it_is(width: float) -> None:
    columns = columns_of({AXIS: (1e-4, 1e-4 * width)})
    points = spread(columns, 20, 0)
    assert len(points) == 20
    for point in points:
        assert columns.region.contains(columns.decode(point))


@pytest.mark.parametrize("box", [None, {AXIS: (1e-4, 1e-2), "lr/(1-momentum)": (1e-2, 10.0)}])
def test_points_on_faces_lie_on_the_border_and_in_the_region(
    box: dict[str, tuple[float, float]] | None,
) -> None:
    columns = columns_of(box)
    inside = spread(columns, 200, 1)
    moved = on_faces(columns, inside, np.random.default_rng(0))
    positions = [columns.decode(point) for point in moved]
    assert all(columns.region.contains(position) for position in positions)
    rows, offsets = columns.region.inequalities, columns.region.offsets
    met = np.array([np.sum(np.abs(rows @ p - offsets) < 1e-9) for p in positions])
    # All but those of which no numeric column was moved, 3⁻⁴ of them.
    assert np.mean(met > 0) > 0.95
    if box is None:
        ends = (moved == columns.low) | (moved == columns.high)
        corners = np.all(ends[:, :4], axis=1)
        assert 0.1 < np.mean(corners) < 0.3  # (2/3)⁴ = 0.2
    assert np.array_equal(moved[:, 4:], inside[:, 4:])


def test_without_a_start_the_first_point_is_the_middle_and_three_spread_ones_follow() -> None:
    import optuna

    study = optuna.create_study(sampler=hpt.GPSampler(page.COORDINATES, search_space=SPACE, seed=2))
    asked = [study.ask(SPACE).params for _ in range(4)]
    columns = columns_of()
    region = columns.region
    assert asked[0] == region.decode(region.middle())
    expected = [region.decode(columns.decode(point)) for point in spread(columns, 3, 2)]
    assert asked[1:] == expected
