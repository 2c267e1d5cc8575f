from __future__ import annotations

import math
import threading
from pathlib import Path

import optuna
import pytest
from optuna.distributions import BaseDistribution, FloatDistribution
from optuna.trial import TrialState

from hptoolkit.execution import best_weights
from hptoolkit.reporting import results
from hptoolkit.reporting.figures.best_so_far import best_after
from hptoolkit.reporting.figures.reading import read
from hptoolkit.samplers.incumbent import Standings, incumbent
from hptoolkit.training import checkpoint


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


SPACE: dict[str, BaseDistribution] = {"x": FloatDistribution(0, 1)}


def run(study: optuna.Study, value: float) -> bool:
    """A trial that leaves its number in its file, and is told its value."""
    trial = study.ask(SPACE)
    number = trial.number
    kept = best_weights.keep(study, trial, value, lambda: {"number": number})
    study.tell(trial, value)
    return kept


def numbers() -> list[int]:
    return sorted(checkpoint.read(file)["number"] for file in Path("studies/models").rglob("*.pt"))


@pytest.mark.parametrize(("direction", "sign"), [("maximize", 1), ("minimize", -1)])
def test_the_file_is_the_best_trial_s(direction: str, sign: int) -> None:
    study = optuna.create_study(direction=direction)
    kept = [run(study, sign * value) for value in (0.5, 0.4, 0.7, 0.7, 0.9)]
    assert kept == [True, False, True, False, True]
    best_weights.tidy(study)
    assert numbers() == [4]
    best = best_weights.of_best(study)
    assert best is not None
    assert (checkpoint.read(best[0]), best[1]) == ({"number": 4}, 4)


def test_a_worse_trial_s_state_is_not_even_made() -> None:
    study = optuna.create_study(direction="maximize")
    run(study, 0.9)
    assert not best_weights.keep(study, study.ask(SPACE), 0.8, lambda: pytest.fail("made"))


def test_what_a_running_trial_keeps_is_left_alone() -> None:
    study = optuna.create_study(direction="maximize")
    slow = study.ask(SPACE)
    best_weights.keep(study, slow, 0.95, lambda: {"number": 0})
    run(study, 0.9)
    assert numbers() == [0, 1]
    study.tell(slow, 0.95)
    best_weights.tidy(study)
    assert numbers() == [0]


def test_a_trial_that_failed_after_all_loses_its_file() -> None:
    study = optuna.create_study(direction="maximize")
    trial = study.ask(SPACE)
    best_weights.keep(study, trial, 0.95, lambda: {"number": 0})
    study.tell(trial, state=TrialState.FAIL)
    assert best_weights.of_best(study) is None
    run(study, 0.5)
    assert numbers() == [1]


def test_studies_of_one_name_in_two_storages_do_not_share() -> None:
    first, second = (optuna.create_study(study_name="same/name") for _ in range(2))
    run(first, 0.5)
    run(second, 0.7)
    assert numbers() == [0, 0]
    assert best_weights.of_best(first) != best_weights.of_best(second)


def test_many_processes_end_with_the_best(tmp_path: Path) -> None:
    """Threads with connections of their own, which share nothing else, as processes do."""
    address = str(tmp_path / "study.log")

    def connect() -> optuna.Study:
        backend = optuna.storages.journal.JournalFileBackend(address)
        storage = optuna.storages.JournalStorage(backend)
        return optuna.create_study(
            study_name="s", storage=storage, direction="maximize", load_if_exists=True
        )

    connect()
    errors: list[Exception] = []

    def work(worker: int) -> None:
        try:
            study = connect()
            for i in range(8):
                run(study, ((worker * 8 + i) * 37 % 32) / 32)
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(worker,)) for worker in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    study = connect()
    best_weights.tidy(study)
    best = incumbent(study)
    assert best is not None
    assert best.value == 31 / 32
    assert numbers() == [*best.numbers]


def test_repeats_of_a_configuration_are_pooled() -> None:
    """The luckiest run is not the best configuration; its weights are the best of its runs."""
    study = optuna.create_study(direction="maximize")
    # x: 0.1 is lucky once; 0.2 is the better one; at last 0.1 falls behind by its third run.
    for x, value in ((0.1, 0.9), (0.2, 0.8), (0.1, 0.5), (0.2, 0.82), (0.1, 0.5), (0.2, 0.7)):
        study.enqueue_trial({"x": x})
        run(study, value)
    found = incumbent(study)
    assert found is not None
    assert (found.params, found.numbers) == ({"x": 0.2}, (1, 3, 5))
    assert found.value == pytest.approx((0.8 + 0.82 + 0.7) / 3)
    kept = best_weights.of_best(study)
    assert kept is not None
    assert kept[1] == 3  # when it ended 0.2 had become the best; run 5 is a worse one of it
    assert numbers() == [3]
    assert results.as_json(study, "", "")["best"]["value"] == found.value
    assert "the mean of runs 1, 3, 5" in results.best_line(study, "validation_accuracy")
    view = read(study, None)
    assert view.best is not None
    assert (view.best.value, view.best.params) == (found.value, found.params)
    after = best_after(list(view.runs), maximize=True)
    assert after == pytest.approx([0.9, 0.9, 0.8, 0.81, 0.81, (0.8 + 0.82 + 0.7) / 3])


def test_a_choice_that_has_no_hash_is_a_configuration() -> None:
    standings = Standings(maximize=False)
    for number, choice in enumerate(([1, 2], [1, 2], math.nan, math.nan)):
        standings.add(number, {"choice": choice}, float(number))
    assert standings.add(4, {"choice": 1.0}, math.nan) is None
    best = standings.best()
    assert best is not None
    assert best.numbers == (0, 1)
