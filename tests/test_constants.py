"""Coordinates with known constants: they shift an axis, and steps follow from what makes them."""

from __future__ import annotations

from typing import Any

import numpy as np
import optuna
import pytest
from optuna.distributions import BaseDistribution, FloatDistribution

import hptoolkit as hpt
from hptoolkit.search_space.region import Region

H = "lr*weight_decay*steps/(1-momentum)"
POINT = {"lr": 0.4, "momentum": 0.9, "weight_decay": 5e-4}
SPACE: dict[str, BaseDistribution] = {
    "lr": FloatDistribution(1e-3, 10.0, log=True),
    "momentum": FloatDistribution(0.0, 0.99),
    "weight_decay": FloatDistribution(1e-5, 1e-2, log=True),
}


def test_a_constant_multiplies_its_coordinate() -> None:
    coordinates = hpt.Coordinates(H, "1-momentum", "weight_decay", constants={"steps": 2352})
    # Page: .4·5e-4/.1 = .002 a step, in 2352 steps 4.704.
    point = coordinates.from_raw(POINT)
    assert point[H] == pytest.approx(4.704)
    assert coordinates.to_raw(point) == pytest.approx(POINT)
    assert coordinates.names == ("lr", "momentum", "weight_decay")


def test_a_constant_changes_no_exponent() -> None:
    plain = hpt.Coordinates("lr*weight_decay/(1-momentum)", "1-momentum", "weight_decay")
    shifted = hpt.Coordinates(H, "1-momentum", "weight_decay", constants={"steps": 2352})
    order = [plain.factors.index(f) for f in shifted.factors]
    assert np.array_equal(shifted.matrix, plain.matrix[:, order])


def test_steps_are_expanded_where_the_batch_size_is_searched() -> None:
    axes = (H, "1-momentum", "weight_decay", "batch_size")
    coordinates = hpt.Coordinates(*axes, constants={"epochs": 24, "n_train": 50000})
    assert set(coordinates.names) == {"lr", "momentum", "weight_decay", "batch_size"}
    point = coordinates.from_raw({**POINT, "batch_size": 512})
    assert point[H] == pytest.approx(0.002 * 24 * 50000 / 512)
    assert coordinates.to_raw(point) == pytest.approx({**POINT, "batch_size": 512})


def test_steps_are_expanded_where_the_epochs_are_searched() -> None:
    axes = (H, "1-momentum", "weight_decay", "epochs")
    coordinates = hpt.Coordinates(*axes, constants={"batch_size": 512, "n_train": 50000})
    moved = coordinates.to_raw({**coordinates.from_raw({**POINT, "epochs": 24}), "epochs": 6})
    # A quarter of the epochs at the same H, 1−ρ and α: four times the learning rate.
    assert moved == pytest.approx({**POINT, "lr": 1.6, "epochs": 6})


def test_a_region_has_the_same_shape_with_and_without_the_constant() -> None:
    shifted = hpt.Coordinates(H, "1-momentum", "weight_decay", constants={"steps": 2352})
    plain = hpt.Coordinates("lr*weight_decay/(1-momentum)", "1-momentum", "weight_decay")
    bounds = (1e-3, 1e-1)
    ours = Region(shifted, SPACE, {H: (2352 * bounds[0], 2352 * bounds[1])})
    theirs = Region(plain, SPACE, {plain.axes[0]: bounds})
    assert np.allclose(ours.low, theirs.low)
    assert np.allclose(ours.high, theirs.high)
    assert ours.decode(ours.encode(POINT)) == pytest.approx(POINT)
    assert ours.axes[0].value(ours.low[0]) == pytest.approx(2.352)
    with pytest.raises(hpt.UserError, match=r"is 7056 there, allowed are 2\.352 to 235\.2"):
        ours.check_start({"lr": 10.0, "momentum": 0.99, "weight_decay": 3e-2 / 10})


def test_bounds_across_axes_have_the_constant_too() -> None:
    plain = hpt.Coordinates("lr/(1-momentum)", "1-momentum", "weight_decay")
    axes = hpt.Coordinates(*plain.axes, constants={"steps": 100})
    region = Region(axes, SPACE, {H: (0.1, 10.0)})
    inside = {"lr": 0.4, "momentum": 0.9, "weight_decay": 1e-3}  # H = .4
    assert region.contains(region.encode(inside))
    assert not region.contains(region.encode({**inside, "weight_decay": 1e-4}))  # H = .04


def test_a_sampler_searches_with_constants() -> None:
    coordinates = hpt.Coordinates(H, "1-momentum", "weight_decay", constants={"steps": 100})
    sampler = hpt.CoordinateDescentSampler(coordinates, start=POINT, seed=0)
    study = optuna.create_study(sampler=sampler)

    def objective(trial: optuna.Trial) -> float:
        lr = trial.suggest_float("lr", 1e-3, 10, log=True)
        momentum = trial.suggest_float("momentum", 0.0, 0.99)
        weight_decay = trial.suggest_float("weight_decay", 1e-5, 1e-2, log=True)
        return float(np.log(lr * weight_decay / (1 - momentum) / 0.02) ** 2)

    study.optimize(objective, n_trials=8)
    # From H = .2 by doubling to 2: .2·2³ = 1.6 and .2·2⁴ = 3.2 are the nearest.
    assert study.best_trial.user_attrs["hptoolkit:coordinates"][H] == pytest.approx(1.6)


@pytest.mark.parametrize(
    "kind", [hpt.GPSampler, hpt.RandomSampler, hpt.GridSampler, hpt.CoordinateDescentSampler]
)
def test_every_sampler_takes_the_same_points_with_and_without_the_constant(kind: Any) -> None:
    def points(first: str, **constants: float) -> list[dict[str, float]]:
        axes = hpt.Coordinates(first, "1-momentum", "weight_decay", constants=constants)
        start = None if kind is hpt.GridSampler else POINT
        sampler = kind(axes, search_space=SPACE, start=start, seed=0)
        study = optuna.create_study(sampler=sampler)
        for _ in range(5):
            trial = study.ask(SPACE)
            study.tell(trial, abs(float(np.log(trial.params["lr"]))))
        return [trial.params for trial in study.trials]

    plain = points("lr*weight_decay/(1-momentum)")
    for one, other in zip(plain, points(H, steps=2352), strict=True):
        assert one == pytest.approx(other, rel=1e-6)


@pytest.mark.parametrize(
    ("axes", "constants", "message"),
    [
        ((H, "1-momentum", "weight_decay"), {}, "constants=.'steps': …."),
        ((H, "1-momentum", "weight_decay"), {"steps": 0}, "steps = 0 has no logarithm"),
        ((H, "1-momentum", "weight_decay"), {"steps": "x"}, "steps = 'x' has no logarithm"),
        (("lr", "steps"), {"steps": 3}, "'steps' is a constant"),
        (("lr/(1-momentum)",), {"momentum": 1.0}, "makes '1-momentum' equal to 0"),
    ],
)
def test_bad_input(axes: tuple[str, ...], constants: dict[str, float], message: str) -> None:
    with pytest.raises(hpt.UserError, match=message):
        hpt.Coordinates(*axes, constants=constants)


def test_what_is_searched_is_no_constant() -> None:
    coordinates = hpt.Coordinates("lr", constants={"momentum": 0.9})
    with pytest.raises(hpt.UserError, match="momentum is given as a constant"):
        Region(coordinates, SPACE)


@pytest.mark.parametrize("optimizer", ["adamw", "adam", "muon"])
def test_the_ordinary_loop_searches_the_rate_and_the_decay_alone(optimizer: str) -> None:
    coordinates = hpt.Coordinates.for_optimizer(optimizer)
    start = hpt.theory_start(optimizer, steps=100, fixed={"momentum": 0.9})
    study = optuna.create_study(sampler=hpt.CoordinateDescentSampler(coordinates, start=start))

    def objective(trial: optuna.Trial) -> float:
        lr = trial.suggest_float("lr", 1e-5, 1.0, log=True)
        decay = trial.suggest_float("weight_decay", 1e-6, 10.0, log=True)
        return float(np.log(lr / 0.03) ** 2 + 0.1 * np.log(decay / 0.01) ** 2)

    study.optimize(objective, n_trials=6)
    assert study.trials[0].params == start
    assert set(study.trials[0].user_attrs["hptoolkit:coordinates"]) == set(coordinates.axes)
