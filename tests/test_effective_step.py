"""The effective step of each epoch: the invariant's value at the rate that the epoch had."""

from __future__ import annotations

import optuna
import pytest

from hptoolkit import Coordinates
from hptoolkit.config.load import load_study
from hptoolkit.coordinates.theory import OPTIMIZERS, effective_step
from hptoolkit.execution.builtin_study import prepare
from tests.test_builtin_study import NONE, silent

LR, MOMENTUM, DECAY = 0.3, 0.8, 0.002


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_it_is_the_first_coordinate(optimizer: str) -> None:
    raw = {"lr": LR, "momentum": MOMENTUM, "weight_decay": DECAY}
    (first, *_), _ = zip(*Coordinates.for_optimizer(optimizer).from_raw(raw).items(), strict=True)
    expected = Coordinates.for_optimizer(optimizer).from_raw(raw)[first]
    step = effective_step(optimizer, lr=LR, momentum=MOMENTUM, weight_decay=DECAY)
    assert step == pytest.approx(expected)


def test_by_hand() -> None:
    def step(optimizer: str, decoupled: bool = False) -> float | None:
        return effective_step(
            optimizer, lr=0.5, momentum=0.75, weight_decay=0.01, decoupled=decoupled
        )

    assert step("nesterov") == pytest.approx(0.02)  # 0.5 · 0.01 / 0.25
    assert step("nesterov", decoupled=True) == pytest.approx(0.005)  # weights decay by λα
    assert step("adam") == pytest.approx(0.0025)
    assert step("adam", decoupled=True) == step("adamw") == pytest.approx(0.005)
    assert step("lars", decoupled=True) == pytest.approx(2.0)
    assert step("lbfgs") is None


def test_a_trial_keeps_it_for_each_epoch() -> None:
    quick = ["training.epochs=3", "model.width=2", "training.momentum=0.5"]
    problem = prepare("digits", quick, NONE, None, "file", None, "cpu")
    study = optuna.create_study(direction="maximize")
    study.enqueue_trial({"lr": 0.1, "momentum": 0.5, "weight_decay": 0.001})
    study.optimize(problem.objective("cpu", silent), n_trials=1)
    history = study.trials[0].user_attrs["hptoolkit:history"]
    assert len(history) == 3
    for epoch in history:
        assert epoch["effective_step"] == pytest.approx(epoch["lr"] * 0.001 / 0.5)
    assert history[0]["effective_step"] > history[-1]["effective_step"]


def test_an_optimizer_without_one_keeps_none() -> None:
    alone = "search_space={lr={low=0.01, high=1.0, log=true}}"
    quick = ["training.optimizer=lbfgs", alone, "coordinates={}", "start={}", "coord={}"]
    assert load_study("digits", quick).training.optimizer == "lbfgs"
    quick += ["training.epochs=1", "model.width=2", "training.iterations=1"]
    problem = prepare("digits", quick, NONE, None, "file", None, "cpu")
    study = optuna.create_study(direction="maximize")
    with pytest.warns(UserWarning, match="L-BFGS"):
        study.optimize(problem.objective("cpu", silent), n_trials=1)
    assert "effective_step" not in study.trials[0].user_attrs["hptoolkit:history"][0]
