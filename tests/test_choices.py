"""Choices that are lists, tuples or NaN: Optuna allows them, and a storage may change them."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna import Trial
from optuna.distributions import CategoricalDistribution, FloatDistribution

import hptoolkit as hpt
from hptoolkit import storage
from hptoolkit.samplers.history import point_key
from hptoolkit.search_space.axis import choice_index

# Optuna's own warning of choices that are no scalars.
pytestmark = pytest.mark.filterwarnings("ignore:Choices for a categorical distribution")

SAMPLERS = [hpt.CoordinateDescentSampler, hpt.RandomSampler, hpt.GridSampler, hpt.GPSampler]
LISTS: list[Any] = [[64], [64, 64]]
TUPLES: list[Any] = [(64,), (64, 64)]


def _objective(choices: list[Any]) -> Callable[[Trial], float]:
    def objective(trial: Trial) -> float:
        layers = trial.suggest_categorical("layers", choices)
        assert layers in choices  # a tuple is not a list
        return trial.suggest_float("x", 0.0, 1.0) + len(layers)

    return objective


@pytest.mark.parametrize("kept", [False, True], ids=["memory", "journal"])
@pytest.mark.parametrize("choices", [LISTS, TUPLES], ids=["lists", "tuples"])
@pytest.mark.parametrize("told", [False, True], ids=["learned", "told"])
@pytest.mark.parametrize("kind", SAMPLERS)
def test_sequences_are_choices(
    tmp_path: Path, kind: Any, choices: list[Any], kept: bool, told: bool
) -> None:
    space = {"layers": CategoricalDistribution(choices), "x": FloatDistribution(0.0, 1.0)}
    store = storage.connect(str(tmp_path / "s.log")) if kept else None
    own = kind(search_space=space if told else None, seed=0)
    study = optuna.create_study(sampler=own, storage=store)
    study.optimize(_objective(choices), n_trials=8)
    points = {repr((list(t.params["layers"]), t.params["x"])) for t in study.trials}
    assert len(points) == len(study.trials) >= 6
    assert {len(t.params["layers"]) for t in study.trials} == {1, 2}


@pytest.mark.parametrize("kind", SAMPLERS)
def test_nan_is_a_choice_like_others(kind: Any) -> None:
    study = optuna.create_study(sampler=kind(seed=0))
    study.optimize(
        lambda t: (
            t.suggest_float("x", 1e-3, 1.0, log=True)
            + math.isnan(t.suggest_categorical("missing", [math.nan, 0.0]))
        ),
        n_trials=10,
    )
    assert len({repr(sorted(t.params.items())) for t in study.trials}) == 10


def test_a_choice_is_known_by_its_index() -> None:
    space = {"a": CategoricalDistribution([math.nan, (1, (2,)), "1", None])}
    values: list[Any] = [float("nan"), [1, [2]], "1", None]
    assert [choice_index(space["a"], value) for value in values] == [0, 1, 2, 3]
    assert [point_key({"a": value}, space) for value in values] == [(0,), (1,), (2,), (3,)]
    assert choice_index(space["a"], [1, 2]) is None
    assert point_key({"a": [1, 2]}, space) == ("[1, 2]",)
