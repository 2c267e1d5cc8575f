"""A study to work on: whoever has its job can join it, in this process or anywhere else."""

from __future__ import annotations

import os
from dataclasses import dataclass, field

import optuna
from optuna.pruners import BasePruner
from optuna.study import Study

from hptoolkit import storage
from hptoolkit.execution.problem import Problem
from hptoolkit.execution.worker import Ending, Listener, run
from hptoolkit.samplers import CoordinateSampler


@dataclass(frozen=True)
class Job:
    """A stored study, what it tunes and who chooses its trials. It can be pickled and sent.

    Attributes:
        address: Its storage, which a worker reaches by a connection of its own.
        study: Its name there.
        problem: What is tuned.
        sampler, pruner: What the study uses.
    """

    address: str = field(repr=False)  # it may hold a password
    study: str
    problem: Problem
    sampler: CoordinateSampler
    pruner: BasePruner

    @property
    def trials(self) -> int:
        """The budget in total."""
        return self.problem.defined.trials

    def open(self) -> Study:
        """The study. Raises UserError if its storage cannot be used."""
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        connection = storage.connect(self.address)
        with storage.usable(self.address):
            return optuna.load_study(
                study_name=self.study,
                storage=connection,
                sampler=self.sampler,
                pruner=self.pruner,
            )


def work(job: Job, device: str) -> Ending:
    """Run trials of a study in this process until nothing is left to run.

    Nothing is shown: who watches the storage sees all that there is to show.
    """
    silent = Listener()
    objective = job.problem.objective(device, silent.epoch_ended)
    return run(job.open(), objective, trials=job.trials, listener=silent)


def see_only(gpu: int) -> None:
    """Let this process see one of the GPUs that it sees, as device 0; before CUDA is used."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    names = visible.split(",") if visible else []
    os.environ["CUDA_VISIBLE_DEVICES"] = names[gpu].strip() if names else str(gpu)
