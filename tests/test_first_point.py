"""The first point: the start or the middle, whether the search space is declared or learned."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import optuna
import pytest
from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution

import hptoolkit as hpt
from hptoolkit.samplers.base import CoordinateSampler
from hptoolkit.search_space.region import Region

AXIS = "lr*weight_decay/(1-momentum)"
COORDINATES = hpt.Coordinates(AXIS, "1-momentum", "weight_decay")
SPACE: dict[str, BaseDistribution] = {
    "lr": FloatDistribution(1e-4, 10.0, log=True),
    "momentum": FloatDistribution(0.0, 0.99),
    "weight_decay": FloatDistribution(1e-6, 1e-2, log=True),
    "batch_size": IntDistribution(16, 1024, log=True),
    "dropout": FloatDistribution(0.0, 0.5),
}
# Middles: of λ, α and N on logarithms, of ρ on that of 1−ρ, of the dropout on its own axis.
MIDDLE = {
    "lr": math.sqrt(1e-3),
    "momentum": 0.9,
    "weight_decay": 1e-4,
    "batch_size": 128,
    "dropout": 0.25,
}
SAMPLERS: list[Callable[..., CoordinateSampler]] = [
    hpt.CoordinateDescentSampler,
    hpt.GPSampler,
    hpt.GridSampler,
]


def objective(trial: optuna.Trial) -> float:
    for name, distribution in SPACE.items():
        trial._suggest(name, distribution)
    return 0.0


def first(sampler: CoordinateSampler) -> dict[str, Any]:
    study = optuna.create_study(sampler=sampler)
    study.optimize(objective, n_trials=1)
    return study.trials[0].params


@pytest.mark.parametrize("kind", SAMPLERS)
def test_a_learned_search_space_begins_in_the_middle(
    kind: Callable[..., CoordinateSampler],
) -> None:
    assert first(kind(COORDINATES, seed=3)) == pytest.approx(MIDDLE)


@pytest.mark.parametrize("kind", SAMPLERS[:2])
def test_a_declared_one_begins_at_the_same_point(kind: Callable[..., CoordinateSampler]) -> None:
    declared = first(kind(COORDINATES, search_space=SPACE, seed=3))
    assert declared == first(kind(COORDINATES, seed=3))


def test_without_coordinates_every_parameter_has_its_own_middle() -> None:
    assert first(hpt.GPSampler(seed=0)) == pytest.approx({**MIDDLE, "momentum": 0.495})


def test_the_rest_of_a_start_is_the_middle() -> None:
    params = first(hpt.CoordinateDescentSampler(COORDINATES, start={"lr": 0.5, "dropout": 0.1}))
    assert params == pytest.approx({**MIDDLE, "lr": 0.5, "dropout": 0.1})


def test_a_box_moves_the_last_parameter_that_it_names() -> None:
    """λα/(1−ρ) is 3.2e-5 in the middle: α, suggested last, brings it to the box's 1e-3."""
    params = first(hpt.GPSampler(COORDINATES, box={AXIS: (1e-3, 1e-3)}))
    assert params == pytest.approx({**MIDDLE, "weight_decay": 1e-4 / math.sqrt(1e-3)})
    # Room beside the middle: the interval's middle, on the logarithm.
    params = first(hpt.GPSampler(COORDINATES, box={AXIS: (1e-3, 1.0), "dropout": (0.4, 0.5)}))
    low = 1e-4 / math.sqrt(1e-3)
    expected = {**MIDDLE, "weight_decay": math.sqrt(low * 1e-2), "dropout": 0.45}
    assert params == pytest.approx(expected)


def test_a_box_that_holds_the_middle_changes_nothing() -> None:
    box = {AXIS: (1e-6, 1e-3), "1-momentum": (0.05, 0.5), "lr/(1-momentum)": (1e-3, 10.0)}
    assert first(hpt.GPSampler(COORDINATES, box=box)) == pytest.approx(MIDDLE)


def test_what_a_start_gives_counts_before_it_is_suggested() -> None:
    """α is given, ρ is in the middle, and λ, suggested first, cannot know of it yet; ρ can."""
    sampler = hpt.GPSampler(COORDINATES, box={AXIS: (1e-4, 2e-4)}, start={"weight_decay": 1e-3})
    params = first(sampler)
    assert params["lr"] == pytest.approx(MIDDLE["lr"])
    point = COORDINATES.from_raw({n: params[n] for n in COORDINATES.names})[AXIS]
    assert 1e-4 <= point <= 2e-4 * (1 + 1e-9)


def test_where_no_value_fits_it_goes_as_near_as_its_range_lets_it() -> None:
    params = first(hpt.GPSampler(COORDINATES, box={AXIS: (5.0, 9.0)}))
    assert params["weight_decay"] == pytest.approx(1e-2)


@pytest.mark.parametrize("seed", range(10))
def test_a_random_search_draws_its_first_point_in_the_box(seed: int) -> None:
    box = {AXIS: (1e-5, 1e-3), "batch_size": (100.0, 200.0)}
    params = first(hpt.RandomSampler(COORDINATES, box=box, seed=seed))
    assert params != pytest.approx(MIDDLE)
    assert 100 <= params["batch_size"] <= 200
    region = Region(COORDINATES, SPACE, box)
    room = params["lr"] / (1 - params["momentum"])
    # With λ and ρ alone it may be that no α of the range is left.
    if room * 1e-2 >= 1e-5 and room * 1e-6 <= 1e-3:
        assert region.contains(region.encode(params))


def test_a_first_trial_that_fails_is_not_repeated() -> None:
    sampler = hpt.GPSampler(COORDINATES, seed=0)
    study = optuna.create_study(sampler=sampler)

    def diverges(trial: optuna.Trial) -> float:
        objective(trial)
        return math.nan if trial.number == 0 else 1.0

    study.optimize(diverges, n_trials=2)
    assert study.trials[0].params == pytest.approx(MIDDLE)
    assert study.trials[1].params != pytest.approx(MIDDLE)
