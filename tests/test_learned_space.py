"""Samplers that were given no search space: what trials teach them, however these end."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import optuna
import pytest
from optuna import Trial
from optuna.distributions import FloatDistribution
from optuna.trial import TrialState, create_trial

import hptoolkit as hpt
from hptoolkit.errors import UserError
from hptoolkit.samplers.learned_space import LearnedSpace

RATE = hpt.Coordinates("lr*wd", "wd")
BAD = {"lr": 1.5, "wd": 0.01}
MOMENTUM = hpt.Coordinates("lr/(1-momentum)", "1-momentum")

Make = Callable[..., optuna.samplers.BaseSampler]
SAMPLERS: list[Make] = [
    hpt.CoordinateDescentSampler,
    hpt.GridSampler,
    hpt.RandomSampler,
    hpt.GPSampler,
    lambda *a, **k: hpt.Reparameterized(optuna.samplers.TPESampler(seed=0), *a, **k),
]
NAMES = ["coord", "grid", "random", "gp", "tpe"]


def diverges(how: str) -> Callable[[Trial], float]:
    """An objective that fails where the learning rate is above 1."""

    def objective(trial: Trial) -> float:
        lr = trial.suggest_float("lr", 1e-5, 10.0, log=True)
        if lr > 1 and how == "raises early":
            raise RuntimeError("diverged before all parameters were suggested")
        wd = trial.suggest_float("wd", 1e-6, 1.0, log=True)
        if lr > 1 and how == "nan":
            return math.nan
        if lr > 1 and how == "pruned":
            raise optuna.TrialPruned
        if lr > 1:
            raise RuntimeError("diverged")
        return (math.log10(lr * wd) + 2) ** 2

    return objective


@pytest.mark.parametrize("how", ["nan", "pruned", "raises", "raises early"])
@pytest.mark.parametrize("make", SAMPLERS, ids=NAMES)
def test_a_start_that_fails_is_left_behind(make: Make, how: str) -> None:
    study = optuna.create_study(sampler=make(RATE, start=BAD, seed=0))
    study.optimize(diverges(how), n_trials=14, catch=(RuntimeError,))
    assert study.trials[0].params["lr"] == 1.5
    at_start = [t for t in study.trials if t.params in (BAD, {"lr": 1.5})]
    # Pruned: worse than all others, once and for all. Crashed: perhaps the machine's fault. Before
    # the search space is known, none of the three is known to have been of that point.
    assert len(at_start) <= {"pruned": 1, "raises early": 6}.get(how, 3)
    assert study.best_value < 40.0


def test_a_range_without_a_place_on_a_logarithmic_axis_is_refused_before_any_training() -> None:
    trained = []

    def objective(trial: Trial, high: float) -> float:
        lr = trial.suggest_float("lr", 1e-5, 10.0, log=True)
        momentum = trial.suggest_float("momentum", 0.0, high)
        trained.append(momentum)
        return (math.log10(lr / (1 - momentum)) + 2) ** 2

    study = optuna.create_study(
        sampler=hpt.CoordinateDescentSampler(MOMENTUM, start={"lr": 0.001, "momentum": 0.5}, seed=0)
    )
    with pytest.raises(UserError, match=r"from 0 to 1, .* let its range end below 1"):
        study.optimize(lambda trial: objective(trial, 1.0), n_trials=5)
    assert not trained
    # The mended range counts: the first trial is at the start again.
    study.optimize(lambda trial: objective(trial, 0.99), n_trials=30)
    assert trained[0] == 0.5
    assert study.best_value < 0.2


def test_a_mended_range_counts_after_complete_trials_of_the_old_one() -> None:
    """As a study may hold that was begun before such ranges were refused."""
    study = optuna.create_study(sampler=hpt.GridSampler(MOMENTUM, seed=0))
    wide = {"lr": FloatDistribution(1e-3, 1.0, log=True), "momentum": FloatDistribution(0.0, 1.0)}
    study.add_trial(
        create_trial(params={"lr": 0.1, "momentum": 0.5}, distributions=wide, value=1.0)
    )

    def objective(trial: Trial) -> float:
        lr = trial.suggest_float("lr", 1e-3, 1.0, log=True)
        return lr + trial.suggest_float("momentum", 0.0, 0.9)

    study.optimize(objective, n_trials=10)
    assert len({tuple(t.params.values()) for t in study.trials}) >= 10


@pytest.mark.parametrize("make", SAMPLERS, ids=NAMES)
@pytest.mark.parametrize("axes", [("lr*weight_decay", "weight_decay"), ("a/b", "b")])
def test_coordinates_that_no_parameter_matches_are_refused_after_one_trial(
    make: Make, axes: tuple[str, str]
) -> None:
    study = optuna.create_study(sampler=make(hpt.Coordinates(*axes), seed=0))
    calls = []

    def objective(trial: Trial) -> float:
        calls.append(1)
        lr = trial.suggest_float("learning_rate", 1e-5, 1.0, log=True)
        return lr * trial.suggest_float("wd", 1e-5, 1.0, log=True)

    with pytest.raises(UserError, match=f"need .*{axes[1]}, which the search space .learning_rate"):
        study.optimize(objective, n_trials=6)
    assert len(calls) == 1
    assert study.trials[0].state == TrialState.COMPLETE  # its value is kept


@pytest.mark.parametrize("make", SAMPLERS, ids=NAMES)
def test_a_trial_that_lacks_a_named_parameter_is_left_out_and_said_once(make: Make) -> None:
    """A conditional parameter, and an enqueued value that has no logarithm."""
    study = optuna.create_study(sampler=make(MOMENTUM, start={"lr": 0.01, "momentum": 0.5}, seed=0))

    def objective(trial: Trial) -> float:
        lr = trial.suggest_float("lr", 1e-4, 1.0, log=True)
        if trial.number in (2, 3):
            return lr
        momentum = trial.suggest_float("momentum", 0.0, 0.9)
        return (math.log10(lr / max(1 - momentum, 0.1)) + 1) ** 2

    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        study.optimize(objective, n_trials=4)
        study.enqueue_trial({"lr": 0.1, "momentum": 1.0})
        study.optimize(objective, n_trials=4)
    told = [str(w.message) for w in said if "no place in the coordinates" in str(w.message)]
    assert told == [
        "Trial 2 has no place in the coordinates and is left out of them, as others like it will "
        "be: it lacks momentum."
    ]
    assert study.trials[4].params["momentum"] == 1.0
    assert all("momentum" in t.params for t in study.trials if t.number not in (2, 3))
    with_place = [t.number for t in study.trials if "hptoolkit:coordinates" in t.user_attrs]
    assert with_place == [0, 1, 5, 6, 7]


def _teaching(trials: Iterator[Any] | list[Any]) -> list[set[str]]:
    """The names known after each trial, read at once and one by one."""
    listed = list(trials)
    learned = LearnedSpace(["lr"], ["wd"], lambda space: True)
    stepwise = [set(learned.of(listed[: i + 1])) for i in range(len(listed))]
    anew = [set(LearnedSpace(["lr"], ["wd"], lambda s: True).of(listed[: i + 1])) for i in range(4)]
    assert stepwise == anew
    return stepwise


def test_what_trials_teach() -> None:
    study = optuna.create_study()
    for names, state in (
        (["lr", "b"], TrialState.FAIL),  # crashed before it suggested wd
        (["lr", "wd"], TrialState.PRUNED),  # together they show all three
        (["lr", "wd", "c"], TrialState.COMPLETE),
        (["lr", "wd"], TrialState.COMPLETE),
    ):
        study.add_trial(
            create_trial(
                state=state,
                params=dict.fromkeys(names, 0.5),
                distributions={name: FloatDistribution(0.0, 1.0) for name in names},
                value=1.0 if state == TrialState.COMPLETE else None,
            )
        )
    trials = study.get_trials(deepcopy=False)
    assert _teaching(trials) == [set(), {"lr", "b", "wd"}, {"lr", "wd", "c"}, {"lr", "wd"}]
