"""A trial that was put back under its number goes on from its checkpoint."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import optuna
import pytest
import torch
from optuna.pruners import BasePruner, ThresholdPruner
from optuna.trial import FrozenTrial, Trial, TrialState

from hptoolkit.attributes import HISTORY, PRUNED_REASON, SEED
from hptoolkit.config.load import load_study
from hptoolkit.errors import StorageError
from hptoolkit.execution.objective import Objective, checkpoint_file
from hptoolkit.storage import checkpoint_folder
from hptoolkit.training import EpochReport, data
from hptoolkit.training.data import Split

QUICK = ["training.epochs=5", "model.width=2", "data.train_size=300", "model.dropout=0.2"]
POINT = {"lr": 0.1, "momentum": 0.5, "weight_decay": 0.001}
DEFINED = load_study("digits", QUICK)


@pytest.fixture(scope="module")
def digits() -> Split:
    return data.split(data.load("digits"), DEFINED.data)


class Run:
    """One trial on a storage of its own, which may be interrupted and put back."""

    def __init__(self, parts: Split, folder: Path, pruner: BasePruner | None = None) -> None:
        self.parts, self.folder = parts, folder
        pruner = pruner or optuna.pruners.NopPruner()
        self.study = optuna.create_study(
            study_name="odd / name", pruner=pruner, direction="maximize"
        )
        self.study.enqueue_trial(POINT)
        self.epochs: list[int] = []

    def attempt(self, interrupt_at: int = 0, error: type[BaseException] = KeyboardInterrupt) -> Any:
        """Run the waiting trial; `error` is raised in its epoch `interrupt_at`, if that comes."""

        def on_epoch(trial: Trial, epoch: EpochReport) -> None:
            self.epochs.append(epoch.epoch)
            if epoch.epoch == interrupt_at:
                raise error

        cpu = torch.device("cpu")
        objective = Objective(DEFINED, self.parts, cpu, on_epoch, self.folder)
        self.trial = self.study.ask()
        assert self.trial.number == 0
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            return objective(self.trial)

    def put_back(self) -> None:
        self.study._storage.set_trial_state_values(self.trial._trial_id, TrialState.WAITING)

    @property
    def stored(self) -> FrozenTrial:
        return self.study.trials[0]

    @property
    def file(self) -> Path:
        return checkpoint_file(self.folder, "odd / name", 0)


def told(trial: FrozenTrial) -> tuple[Any, ...]:
    """What a trial's record says, times left out."""
    history = [
        {k: v for k, v in epoch.items() if k != "seconds"} for epoch in trial.user_attrs[HISTORY]
    ]
    return history, trial.intermediate_values, trial.params, trial.user_attrs[SEED]


def test_interrupted_at_any_epoch_its_record_is_that_of_an_undisturbed_trial(
    digits: Split, tmp_path: Path
) -> None:
    whole = Run(digits, tmp_path)
    value = whole.attempt()
    for epoch in range(1, 6):
        run = Run(digits, tmp_path)
        with pytest.raises(KeyboardInterrupt):
            run.attempt(epoch)
        assert run.file.exists() == (epoch > 1)
        run.put_back()
        run.epochs.clear()
        assert run.attempt() == value
        assert run.epochs == [1, 2, 3, 4, 5]
        assert told(run.stored) == told(whole.stored)
        assert not any(tmp_path.iterdir())


def test_what_was_reported_is_not_reported_again_where_the_checkpoint_is_lost(
    digits: Split, tmp_path: Path
) -> None:
    """Optuna would warn, and warnings are errors here."""
    whole, run = Run(digits, tmp_path), Run(digits, tmp_path)
    value = whole.attempt()
    with pytest.raises(KeyboardInterrupt):
        run.attempt(4)
    run.file.unlink()
    run.put_back()
    assert run.attempt() == value
    assert told(run.stored) == told(whole.stored)


class Prunes(ThresholdPruner):
    """After the third epoch, unless it is interrupted while it decides."""

    def __init__(self) -> None:
        super().__init__(lower=0.0)
        self.asked: list[int | None] = []
        self.interrupt = False

    def prune(self, study: optuna.Study, trial: FrozenTrial) -> bool:
        self.asked.append(trial.last_step)
        if self.interrupt and trial.last_step == 3:
            raise KeyboardInterrupt
        return trial.last_step == 3


@pytest.mark.parametrize("keep", [True, False])
def test_pruning_is_decided_where_it_was_left(digits: Split, tmp_path: Path, keep: bool) -> None:
    pruner = Prunes()
    run = Run(digits, tmp_path, pruner)
    pruner.interrupt = True
    with pytest.raises(KeyboardInterrupt):
        run.attempt()
    pruner.interrupt = False
    if not keep:
        run.file.unlink()
    run.put_back()
    pruner.asked.clear()
    with pytest.raises(optuna.TrialPruned):
        run.attempt()
    assert pruner.asked == [3]
    assert "after epoch 3" in run.stored.user_attrs[PRUNED_REASON]
    assert [epoch["epoch"] for epoch in run.stored.user_attrs[HISTORY]] == [1, 2, 3]
    assert not run.file.exists()


def test_a_trial_that_fails_leaves_no_checkpoint(digits: Split, tmp_path: Path) -> None:
    run = Run(digits, tmp_path)
    with pytest.raises(RuntimeError):
        run.attempt(3, RuntimeError)
    assert not any(tmp_path.iterdir())


def test_a_trial_goes_on_after_its_storage_has_failed(digits: Split, tmp_path: Path) -> None:
    whole, run = Run(digits, tmp_path), Run(digits, tmp_path)
    value = whole.attempt()
    with pytest.raises(StorageError):
        run.attempt(4, StorageError)
    assert run.file.exists()
    run.put_back()
    run.epochs.clear()
    assert run.attempt() == value
    assert told(run.stored) == told(whole.stored)
    assert not any(tmp_path.iterdir())


def test_the_checkpoint_of_a_trial_that_was_given_up_is_removed(
    digits: Split, tmp_path: Path
) -> None:
    run = Run(digits, tmp_path)
    given_up, still_runs = (run.file.with_name(f"{number}.pt") for number in (1, 2))
    run.file.parent.mkdir()
    for file, state in ((given_up, TrialState.FAIL), (still_runs, TrialState.RUNNING)):
        run.study.add_trial(optuna.trial.create_trial(state=state))
        file.write_bytes(b"state")
    run.attempt()
    assert not given_up.exists()
    assert still_runs.exists()


def test_checkpoints_lie_beside_the_storage() -> None:
    assert checkpoint_folder("runs/a.log") == Path("runs/checkpoints")
    assert checkpoint_folder("a.log") == Path("checkpoints")
    assert checkpoint_folder("postgresql://host/db") == Path("studies/checkpoints")


def test_studies_and_trials_have_files_of_their_own(tmp_path: Path) -> None:
    names = ["a b", "a_b", "ä/../b", "x" * 300]
    files = {checkpoint_file(tmp_path, name, number) for name in names for number in (1, 11)}
    assert len(files) == 8
    for file in files:
        assert file.parent.parent == tmp_path
        file.parent.mkdir(exist_ok=True)
