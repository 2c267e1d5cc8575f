"""Moves along oblique axes that meet the bounds of raw parameters, worked out by hand."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.distributions import BaseDistribution, FloatDistribution

import hptoolkit as hpt
from hptoolkit.samplers.coordinate_descent.slide import bounds_met, slide
from hptoolkit.search_space.region import Region

COORDINATES = hpt.Coordinates("lr*weight_decay/(1-momentum)", "1-momentum", "weight_decay")
SPACE: dict[str, BaseDistribution] = {
    "lr": FloatDistribution(0.01, 1.0, log=True),
    "momentum": FloatDistribution(0.0, 0.99),
    "weight_decay": FloatDistribution(1e-5, 1e-1, log=True),
}
START = {"lr": 0.5, "momentum": 0.5, "weight_decay": 0.01}


def moved(params: dict[str, float], axis: int, distance: float, **box: Any) -> tuple[Any, float]:
    region = Region(COORDINATES, SPACE, box.get("box"))
    position, gone = slide(region, region.encode(params), axis, distance)
    assert region.contains(position)
    return region.decode(position), gone


def test_inside_the_region_it_is_the_straight_move() -> None:
    """Halving 1−ρ at constant λα/(1−ρ) halves λ."""
    params, gone = moved(START, 1, -math.log(2))
    assert params == pytest.approx({"lr": 0.25, "momentum": 0.75, "weight_decay": 0.01})
    assert gone == pytest.approx(-math.log(2))


def test_a_parameter_at_its_bound_is_held_and_the_others_go_on() -> None:
    """An eighth of α wants λ = 4; λ stays at 1 from the first halving on, α goes all the way."""
    params, gone = moved(START, 2, -math.log(8))
    assert params == pytest.approx({"lr": 1.0, "momentum": 0.5, "weight_decay": 0.00125})
    assert gone == pytest.approx(-math.log(8))


def test_from_a_wall_the_other_coordinates_change_least() -> None:
    """λα/(1−ρ) is moved by λ alone. From its bound α and 1/(1−ρ) bring a factor of √2 each."""
    params, gone = moved({**START, "lr": 1.0}, 0, math.log(2))
    assert params == pytest.approx(
        {"lr": 1.0, "momentum": 1 - 0.5 / math.sqrt(2), "weight_decay": 0.01 * math.sqrt(2)}
    )
    assert gone == pytest.approx(math.log(2))


def test_it_ends_where_the_axis_itself_cannot_go_on() -> None:
    """λα/(1−ρ) ends with λ. α comes to its own bound: λ alone would be another axis."""
    params, gone = moved(START, 0, math.log(4))
    assert params == pytest.approx({"lr": 1.0, "momentum": 0.5, "weight_decay": 0.01})
    assert gone == pytest.approx(math.log(2))
    params, gone = moved({"lr": 0.5, "momentum": 0.5, "weight_decay": 0.05}, 2, math.inf)
    assert params == pytest.approx({"lr": 0.25, "momentum": 0.5, "weight_decay": 0.1})
    assert gone == pytest.approx(math.log(2))


def test_a_box_of_coordinates_ends_the_move_on_its_border() -> None:
    """Sliding along λ = 1 lowers λα/(1−ρ), from 0.01 down to the box's 0.005."""
    box = {"lr*weight_decay/(1-momentum)": (0.005, 1.0)}
    params, gone = moved(START, 2, -math.log(8), box=box)
    assert params == pytest.approx({"lr": 1.0, "momentum": 0.5, "weight_decay": 0.0025})
    assert gone == pytest.approx(-math.log(4))


@pytest.mark.parametrize("seed", range(5))
def test_any_move_stays_in_the_region_and_as_far_along_the_axis_as_it_says(seed: int) -> None:
    coordinates = hpt.Coordinates("a*b**0.5/c", "b/d", "c", "d**2")
    space = {name: FloatDistribution(0.1, 10.0, log=True) for name in "abcd"}
    region = Region(coordinates, space, {"c": (0.2, 5.0), "a*d": (0.05, 20.0)})
    rng = np.random.default_rng(seed)
    for _ in range(50):
        here = region.encode({name: math.exp(rng.uniform(-1.0, 1.0)) for name in "abcd"})
        axis, distance = int(rng.integers(4)), float(rng.normal() * 4.0)
        there, gone = slide(region, here, axis, distance)
        assert region.contains(there)
        assert abs(gone) <= abs(distance) + 1e-12
        assert there[axis] - here[axis] == pytest.approx(gone, abs=1e-9)
        straight = here.copy()
        straight[axis] += distance
        if region.contains(straight):
            assert there == pytest.approx(straight)


def test_bounds_are_named_as_a_user_reads_them() -> None:
    region = Region(COORDINATES, SPACE, {"weight_decay": (1e-4, 1e-2)})
    met = bounds_met(region, region.encode({"lr": 1.0, "momentum": 0.99, "weight_decay": 0.01}))
    assert met == (
        "lr at its upper bound 1",
        "momentum at its upper bound 0.99",
        "weight_decay at its upper bound 0.01",
    )
    assert bounds_met(region, region.encode({**START, "weight_decay": 0.005})) == ()


def ridge(trial: optuna.Trial) -> float:
    """Best at (λ, ρ, α) = (1, 0.5, 0.00125), on a ridge along λα/(1−ρ) that λ's bound cuts."""
    lr = trial.suggest_float("lr", 0.01, 1.0, log=True)
    momentum = trial.suggest_float("momentum", 0.0, 0.99)
    decay = trial.suggest_float("weight_decay", 1e-5, 1e-1, log=True)
    product = math.log2(lr * decay / (1 - momentum) / 0.0025)
    return (
        -(product**2) - 0.2 * math.log2(decay / 0.00125) ** 2 - math.log2((1 - momentum) * 2) ** 2
    )


def test_coordinate_descent_goes_on_along_a_wall_and_says_which_bound_held_it() -> None:
    """From α = 0.02 at λ = 0.5 every step down in α wants a λ above its bound."""
    start = {"lr": 0.5, "momentum": 0.5, "weight_decay": 0.02}
    sampler = hpt.CoordinateDescentSampler(COORDINATES, start=start, order=["weight_decay"])
    study = optuna.create_study(sampler=sampler, direction="maximize")
    study.optimize(ridge, n_trials=60)
    assert study.best_params == pytest.approx(
        {"lr": 1.0, "momentum": 0.5, "weight_decay": 0.00125}, rel=1e-6
    )
    last = sampler.improvements(study)[-1]
    assert last.held == ("lr at its upper bound 1",)
    assert str(sampler.why_finished(study)).endswith("which lies with lr at its upper bound 1")


def test_a_wall_of_integers_does_not_stop_the_search_for_ever() -> None:
    """Rounded values at a wall: the search ends, and no point is evaluated twice."""

    def objective(trial: optuna.Trial) -> float:
        lr = trial.suggest_float("lr", 1e-3, 1e-1, log=True)
        size = trial.suggest_int("batch_size", 3, 9, log=True)
        return -abs(math.log(lr / 1e-1)) - 0.1 * abs(math.log(size / 3))

    sampler = hpt.CoordinateDescentSampler(
        hpt.Coordinates("lr/batch_size", "batch_size"),
        start={"lr": 0.03, "batch_size": 7},
        refine=1,
    )
    study = optuna.create_study(sampler=sampler, direction="maximize")
    study.optimize(objective, n_trials=60)
    assert len(study.trials) < 40
    points = [(t.params["lr"], t.params["batch_size"]) for t in study.trials]
    assert len(set(points)) == len(points)
    assert study.best_params == pytest.approx({"lr": 0.1, "batch_size": 3})
