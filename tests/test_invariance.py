"""What searching in coordinates changes: coordinate descent takes far fewer runs.

(That it changes nothing for uniform sampling over the same region: test_random.py.)
"""

from __future__ import annotations

import math
from collections.abc import Callable

import optuna
import pytest
from optuna.distributions import FloatDistribution

import hptoolkit as hpt

PRODUCT = "lr*weight_decay/(1-momentum)"
COORDINATES = hpt.Coordinates(PRODUCT, "1-momentum", "weight_decay")
START = {"lr": 1e-3, "momentum": 0.5, "weight_decay": 0.01}
SPACE = {
    "lr": FloatDistribution(1e-6, 1e3, log=True),
    "momentum": FloatDistribution(0.0, 0.999),
    "weight_decay": FloatDistribution(1e-9, 10, log=True),
}
# Doublings from the start to the optimum, along each coordinate.
OPTIMUM = (6, -2, -3)


def _quadratic(steepness: float) -> Callable[[optuna.Trial], float]:
    """−(steepness·p² + r² + a²): doublings from the optimum; the first coordinate is sensitive."""
    start = COORDINATES.from_raw(START)

    def objective(trial: optuna.Trial) -> float:
        raw = {n: trial.suggest_float(n, d.low, d.high, log=d.log) for n, d in SPACE.items()}
        point = COORDINATES.from_raw(raw)
        p, r, a = (
            math.log2(point[axis] / start[axis]) - doublings
            for axis, doublings in zip(COORDINATES.axes, OPTIMUM, strict=True)
        )
        return -(steepness * p * p + r * r + a * a)

    return objective


def _descend(coordinates: hpt.Coordinates, steepness: float, refine: int) -> optuna.Study:
    sampler = hpt.CoordinateDescentSampler(
        coordinates, search_space=SPACE, start=START, refine=refine, line_search="doubling"
    )
    study = optuna.create_study(sampler=sampler, direction="maximize")
    study.optimize(_quadratic(steepness), n_trials=300)
    return study


def _runs_until(study: optuna.Study, value: float) -> int:
    return next(t.number + 1 for t in study.trials if t.value is not None and t.value >= value)


@pytest.mark.parametrize("steepness", [1.0, 8.0, 100.0])
def test_in_coordinates_the_number_of_runs_is_that_worked_out_by_hand(steepness: float) -> None:
    """1 start; 6 doublings of λα/(1−ρ) and 1 too many; 1−ρ: 1 up, 2 down, 1 too many; α: 1 up, 3
    down, 1 too many; then 1 to either side of λα/(1−ρ) and of 1−ρ, those of α being known."""
    study = _descend(COORDINATES, steepness, refine=0)
    assert len(study.trials) == 1 + (6 + 1) + (1 + 2 + 1) + (1 + 3 + 1) + 2 + 2
    assert study.best_value == pytest.approx(0.0, abs=1e-12)
    # The optimum is met before the step of α that is one too many.
    assert study.best_trial.number + 1 == 1 + 7 + 4 + 4


@pytest.mark.parametrize(
    "raw", [hpt.Coordinates(), hpt.Coordinates("lr", "1-momentum", "weight_decay")]
)
def test_over_raw_axes_it_takes_several_times_as_many(raw: hpt.Coordinates) -> None:
    """The sensitive direction is 8 times as steep as the others and lies across the raw axes."""
    runs = _runs_until(_descend(COORDINATES, 8.0, refine=4), -1.0)
    assert runs == 15
    over_raw_axes = _descend(raw, 8.0, refine=4)
    assert _runs_until(over_raw_axes, -1.0) >= 3 * runs
    # Doubling alone, without finer steps, does not get there at all.
    assert _descend(raw, 8.0, refine=0).best_value < -4
