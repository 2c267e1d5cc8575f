from __future__ import annotations

import threading
from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState

from hptoolkit.execution import best_weights
from hptoolkit.samplers.incumbent import best_trial
from hptoolkit.training import checkpoint


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def run(study: optuna.Study, value: float) -> bool:
    """A trial that leaves its number in its file, and is told its value."""
    trial = study.ask()
    number = trial.number
    kept = best_weights.keep(study, number, value, lambda: {"number": number})
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
    assert checkpoint.read(best) == {"number": 4}


def test_a_worse_trial_s_state_is_not_even_made() -> None:
    study = optuna.create_study(direction="maximize")
    run(study, 0.9)
    assert not best_weights.keep(study, 1, 0.8, lambda: pytest.fail("made"))


def test_what_a_running_trial_keeps_is_left_alone() -> None:
    study = optuna.create_study(direction="maximize")
    slow = study.ask()
    best_weights.keep(study, slow.number, 0.95, lambda: {"number": 0})
    run(study, 0.9)
    assert numbers() == [0, 1]
    study.tell(slow, 0.95)
    best_weights.tidy(study)
    assert numbers() == [0]


def test_a_trial_that_failed_after_all_loses_its_file() -> None:
    study = optuna.create_study(direction="maximize")
    trial = study.ask()
    best_weights.keep(study, trial.number, 0.95, lambda: {"number": 0})
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
    best = best_trial(study)
    assert best is not None
    assert best.value == 31 / 32
    assert numbers() == [best.number]
