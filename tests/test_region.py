from __future__ import annotations

import math
from typing import Any

import numpy as np
import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hptoolkit import Coordinates, UserError
from hptoolkit.search_space.linear_program import minimum
from hptoolkit.search_space.polytope import Proposals, bounding_box
from hptoolkit.search_space.region import Region
from tests import page

RAW = Coordinates("lr", "1-momentum", "weight_decay")
PRODUCT = "lr*weight_decay/(1-momentum)"
unit = st.floats(0.0, 1.0)


def _raw(region: Region, shares: tuple[float, float, float]) -> dict[str, float]:
    """Raw parameters at shares of the way through their ranges."""
    lr = 10 ** (-5 + 7 * shares[0])
    decay = 10 ** (-6 + 6 * shares[2])
    return {"lr": lr, "momentum": 0.99 * shares[1], "weight_decay": decay}


@settings(max_examples=200, deadline=None)
@given(unit, unit, unit)
def test_the_raw_box_is_the_region(a: float, b: float, c: float) -> None:
    region = Region(page.COORDINATES, page.SEARCH_SPACE)
    raw = _raw(region, (a, b, c))
    position = region.encode(raw)
    assert region.contains(position)
    assert region.decode(position) == pytest.approx(raw, rel=1e-11, abs=1e-11)


@settings(max_examples=200, deadline=None)
@given(unit, unit, unit, st.integers(0, 2))
def test_an_interval_ends_at_the_border(a: float, b: float, c: float, axis: int) -> None:
    region = Region(page.COORDINATES, page.SEARCH_SPACE, {PRODUCT: (1e-8, 1.0)})
    position = region.encode(_raw(region, (a, b, c)))
    if not region.contains(position):
        return
    low, high = region.interval(position, axis)
    for end, outwards in ((low, -1.0), (high, 1.0)):
        moved = position.copy()
        moved[axis] = end
        assert region.contains(moved)
        moved[axis] = end + outwards * 1e-6
        assert not region.contains(moved)


def test_the_middle_is_that_of_the_raw_box() -> None:
    region = Region(page.COORDINATES, page.SEARCH_SPACE)
    raw = region.decode(region.middle())
    assert raw["lr"] == pytest.approx(math.sqrt(1e-5 * 100))
    assert raw["weight_decay"] == pytest.approx(math.sqrt(1e-6))
    assert raw["momentum"] == pytest.approx(1 - math.sqrt(0.01))


def test_a_box_that_excludes_the_middle_gets_the_deepest_point() -> None:
    region = Region(page.COORDINATES, page.SEARCH_SPACE, {PRODUCT: (1e-6, 1e-5)})
    slack = region.offsets - region.inequalities @ region.middle()
    slack /= np.linalg.norm(region.inequalities, axis=1)
    # No ball fits better than one that touches both bounds of the narrow axis.
    assert slack.min() == pytest.approx(math.log(10) / 2)


def test_bounds_on_a_product_hold_over_raw_axes_too() -> None:
    """The same region in two systems of axes: a point is inside both or outside both."""
    box = {PRODUCT: (1e-5, 1e-2)}
    coordinates = Region(page.COORDINATES, page.SEARCH_SPACE, box)
    raw = Region(RAW, page.SEARCH_SPACE, box)
    rng = np.random.default_rng(0)
    inside = 0
    for _ in range(500):
        params = _raw(raw, tuple(rng.random(3)))
        both = [region.contains(region.encode(params)) for region in (coordinates, raw)]
        assert both[0] == both[1]
        inside += both[0]
    assert 50 < inside < 450
    with pytest.raises(UserError, match="breaks a bound of"):
        raw.check_start({"lr": 1e-5, "momentum": 0.0, "weight_decay": 1e-6})


@pytest.mark.parametrize(
    ("box", "message"),
    [
        ({"dropout": (0.1, 0.2)}, "'dropout', which is no axis"),
        ({"lr+weight_decay": (0.1, 0.2)}, "not a monomial"),
        ({"lr*weight_decay": (0.0, 0.2)}, "above 0"),
        ({"lr*weight_decay": (0.3, 0.2)}, "rising order"),
        ({"weight_decay": (2.0, 3.0)}, "region is empty"),
        ({"lr*weight_decay": (1e6, 1e7)}, "region is empty"),
    ],
)
def test_bounds_that_are_refused(box: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        Region(page.COORDINATES, page.SEARCH_SPACE, box)


def test_values_are_what_the_distributions_allow() -> None:
    space: dict[str, optuna.distributions.BaseDistribution] = {
        "lr": optuna.distributions.FloatDistribution(0.1, 10.0, log=True),
        "batch_size": optuna.distributions.CategoricalDistribution([32, 64, 128]),
        "layers": optuna.distributions.IntDistribution(1, 9, step=2),
        "dropout": optuna.distributions.FloatDistribution(0.0, 0.5, step=0.25),
        "name": optuna.distributions.CategoricalDistribution(["a", None, True]),
    }
    region = Region(Coordinates("lr/batch_size", "batch_size"), space)
    assert [axis.kind for axis in region.axes] == ["log", "log", "linear", "linear", "categorical"]
    position = region.encode(
        {"lr": 1.0, "batch_size": 64, "layers": 5, "dropout": 0.25, "name": None}
    )
    position[1] += 0.1  # between two batch sizes
    position[2:] += [0.4, 0.1, 0.3]
    params = region.decode(position)
    assert (params["batch_size"], params["layers"], params["dropout"]) == (64, 5, 0.25)
    assert params["name"] is None
    assert {type(v) for v in params.values()} == {float, int, type(None)}
    for name, value in params.items():
        assert space[name]._contains(space[name].to_internal_repr(value))
    assert [region.is_continuous(i) for i in range(5)] == [True, False, False, False, False]


def test_a_middle_that_rounding_moves_out_of_a_narrow_region_is_no_error() -> None:
    """A bug once: the product is bounded more narrowly than a batch size of 3 or 4 allows."""
    space: dict[str, optuna.distributions.BaseDistribution] = {
        "lr": optuna.distributions.FloatDistribution(1.0, 1.1, log=True),
        "batch_size": optuna.distributions.IntDistribution(1, 10, log=True),
    }
    region = Region(
        Coordinates("lr*batch_size", "batch_size"), space, {"lr*batch_size": (3.4, 3.5)}
    )
    assert region.decode(region.check_start({}))["batch_size"] in (3, 4)


class _Ended:
    """What scipy's linprog returns."""

    def __init__(self, status: int, x: list[float] | None = None) -> None:
        self.status, self.x, self.message = status, x, "HiGHS Status 4: Solve error"


def test_where_a_linear_programme_fails_another_method_is_asked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = []

    def linprog(*args: object, method: str, **others: object) -> _Ended:
        asked.append(method)
        return _Ended(0, [1.0, 2.0]) if method == "highs-ds" else _Ended(4)

    monkeypatch.setattr("scipy.optimize.linprog", linprog)
    solution = minimum(np.ones(2), np.eye(2), np.ones(2))
    assert solution is not None
    assert solution.tolist() == [1.0, 2.0]
    assert asked == ["highs", "highs-ipm", "highs-ds"]


@pytest.mark.parametrize("status", [1, 3, 4])
def test_a_linear_programme_that_nobody_solves_is_a_sentence(
    monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    monkeypatch.setattr("scipy.optimize.linprog", lambda *a, **k: _Ended(status))
    box = {PRODUCT: (1e-6, 1e-5)}  # its middle has to be looked for
    with pytest.raises(UserError, match=r"cannot be computed \(HiGHS Status 4: Solve error\)"):
        Region(page.COORDINATES, page.SEARCH_SPACE, box)
    monkeypatch.undo()
    region = Region(page.COORDINATES, page.SEARCH_SPACE, box)
    monkeypatch.setattr("scipy.optimize.linprog", lambda *a, **k: _Ended(status))
    with pytest.raises(UserError, match="extent cannot be computed"):
        Proposals(region)


def test_linear_programmes_are_solved_or_known_to_have_no_solution() -> None:
    # The least of x + 2y where x ≥ 1, y ≥ 1 and x + y ≥ 3 is at (2, 1).
    rows = np.array([[-1.0, 0.0], [0.0, -1.0], [-1.0, -1.0]])
    solution = minimum(np.array([1.0, 2.0]), rows, np.array([-1.0, -1.0, -3.0]))
    assert solution is not None
    np.testing.assert_allclose(solution, [2.0, 1.0], atol=1e-9)
    assert minimum(np.ones(1), np.array([[1.0], [-1.0]]), np.array([0.0, -1.0])) is None


@pytest.mark.parametrize("width", [0.0, 1e-13, 1e-9, 1e-7])
def test_a_region_without_width_has_an_extent(width: float) -> None:
    low = {"lr": 0.1, "momentum": 0.9, "weight_decay": 5e-4}
    value = 0.1 * 5e-4 / 0.1
    region = Region(page.COORDINATES, page.SEARCH_SPACE, {PRODUCT: (value, value * (1 + width))})
    assert region.contains(region.encode(low))
    box = bounding_box(region)
    np.testing.assert_allclose(box[0], math.log(value), atol=1e-6)
    Proposals(region)
