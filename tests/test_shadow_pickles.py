"""Nothing of a storage is unpickled, and CMA-ES, which pickles its state, goes on nevertheless."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.samplers import BaseSampler, CmaEsSampler, PartialFixedSampler
from optuna.trial import FrozenTrial, TrialState

import hptoolkit as hpt
from hptoolkit.attributes import OF_STUDY, OF_TRIAL, REPLAY
from tests import page

pytest.importorskip("cmaes")
pytestmark = pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")

INNER: dict[str, Callable[[], BaseSampler]] = {
    "plain": lambda: CmaEsSampler(),
    "separable": lambda: CmaEsSampler(use_separable_cma=True),
    "with margin": lambda: CmaEsSampler(with_margin=True),
    "with pruned": lambda: CmaEsSampler(consider_pruned_trials=True),
    "inside another": lambda: PartialFixedSampler({}, CmaEsSampler()),
}


def _sampler(inner: BaseSampler) -> hpt.Reparameterized:
    return hpt.Reparameterized(inner, page.COORDINATES, search_space=page.SEARCH_SPACE, seed=1)


def _studies(make: Callable[[], BaseSampler], storage: Any = None) -> Callable[[], optuna.Study]:
    """What opens the same study again, with a new sampler."""
    storage = storage or optuna.storages.InMemoryStorage()
    optuna.create_study(storage=storage, study_name="s", direction="maximize")
    return lambda: optuna.load_study(storage=storage, study_name="s", sampler=_sampler(make()))


def _tell(study: optuna.Study, trial: optuna.Trial) -> None:
    value = page.objective(trial)
    trial.report(value, 1)
    if value < 40:
        study.tell(trial, state=TrialState.PRUNED)
    else:
        study.tell(trial, value)


def _params(study: optuna.Study) -> list[dict[str, Any]]:
    return [trial.params for trial in study.trials]


@pytest.mark.parametrize("name", INNER)
def test_every_variant_is_resumed_exactly(name: str) -> None:
    straight, resumed = _studies(INNER[name])(), _studies(INNER[name])
    for _ in range(40):
        _tell(straight, straight.ask(page.SEARCH_SPACE))
        again = resumed()
        _tell(again, again.ask(page.SEARCH_SPACE))
    assert _params(again) == _params(straight)
    generations = {t.system_attrs.get(OF_TRIAL + "cma:generation") for t in straight.trials}
    assert name not in ("plain", "inside another") or len(generations - {None}) > 3


@pytest.mark.parametrize("workers", [2, 5])
def test_several_workers_are_resumed_exactly(workers: int) -> None:
    """Trials end in another order than they began, some across a change of generation."""
    straight, resumed = _studies(INNER["plain"])(), _studies(INNER["plain"])
    running: list[tuple[optuna.Trial, optuna.Trial]] = []
    for step in range(50):
        again = resumed()
        running.append((straight.ask(page.SEARCH_SPACE), again.ask(page.SEARCH_SPACE)))
        if len(running) == workers:
            one, other = running.pop(step * 7 % workers)
            _tell(straight, one)
            _tell(again, other)
    assert _params(again) == _params(straight)
    assert any(trial.system_attrs.get(REPLAY) for trial in straight.trials)


def test_workers_with_samplers_of_their_own_agree_with_one() -> None:
    one, many = _studies(INNER["plain"])(), _studies(INNER["plain"])
    workers = [many() for _ in range(3)]
    running: list[tuple[optuna.Study, optuna.Trial, optuna.Trial]] = []
    for step in range(45):
        worker = workers[step % 3]
        running.append((worker, worker.ask(page.SEARCH_SPACE), one.ask(page.SEARCH_SPACE)))
        if len(running) == 3:
            told, theirs, ours = running.pop(step * 5 % 3)
            _tell(told, theirs)
            _tell(one, ours)
    assert _params(workers[0]) == _params(one)


def test_no_pickle_is_stored() -> None:
    study = _studies(INNER["plain"])()
    for _ in range(20):
        _tell(study, study.ask(page.SEARCH_SPACE))
    names = {name for trial in study.trials for name in trial.system_attrs}
    assert OF_TRIAL + "cma:generation" in names
    assert not any("optimizer" in name for name in names)


class Payload:
    """What an attacker would leave in the storage."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> Any:
        return (Path.touch, (self.target,))


@pytest.mark.parametrize("prefix", ["cma:", "sepcma:", "cmawm:"])
@pytest.mark.parametrize("name", INNER)
def test_what_is_planted_in_a_storage_is_never_executed(
    name: str, prefix: str, tmp_path: Path
) -> None:
    trap = tmp_path / "executed"
    code = pickle.dumps(Payload(trap)).hex()
    untouched, planted = _studies(INNER[name]), _studies(INNER[name])
    for _ in range(12):
        study = untouched()
        _tell(study, study.ask(page.SEARCH_SPACE))
    attributes = {
        f"{OF_TRIAL}{prefix}optimizer:0": code,
        f"{OF_TRIAL}{prefix}optimizer": code,
        f"{OF_TRIAL}anything": code,
        f"{prefix}optimizer:0": code,
        OF_STUDY: {f"{prefix}optimizer:0": code},
    }
    for trial in study.trials:
        planted().add_trial(_with(trial, attributes))
    for _ in range(12):
        for study in (untouched(), planted()):
            _tell(study, study.ask(page.SEARCH_SPACE))
    assert not trap.exists()
    assert _params(planted()) == _params(untouched())


def _with(trial: FrozenTrial, attributes: dict[str, Any]) -> FrozenTrial:
    copied = copy.deepcopy(trial)
    copied.system_attrs = {**copied.system_attrs, **attributes}
    return copied


def test_optunas_own_sampler_does_execute_it(tmp_path: Path) -> None:
    """So that the test above can fail."""
    trap = tmp_path / "executed"
    clean = optuna.create_study(direction="maximize")
    clean.optimize(page.objective, n_trials=3)
    study = optuna.create_study(sampler=CmaEsSampler(seed=0), direction="maximize")
    attributes = {"cma:optimizer:0": pickle.dumps(Payload(trap)).hex()}
    study.add_trials([_with(trial, attributes) for trial in clean.trials])
    study.ask(page.SEARCH_SPACE)
    assert trap.exists()
