"""What a worker needs in order to join a study, and the joining: it can be sent anywhere."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from hptoolkit.config.schema import Search

if TYPE_CHECKING:
    from optuna.study import Study
    from optuna.trial import FrozenTrial, Trial

    from hptoolkit.execution.worker import Ending


class MakeObjective(Protocol):
    """Makes the objective in the process that is to run it. It can be pickled."""

    def __call__(
        self, device: str, on_epoch: Callable[[Trial, Any], None]
    ) -> Callable[[Trial], float]:
        """The objective on "cpu", "cuda", …; `on_epoch` is told of each epoch."""


@dataclass(frozen=True)
class Job:
    """A study to join.

    Attributes:
        address: Its storage, which the worker reaches by a connection of its own.
        study: Its name there.
        sampler: The sampler's name on the command line.
        defined: What is searched.
        epochs: Epochs of a trial, for the pruner; None where they are unknown.
        objective: Makes the objective.
    """

    address: str = field(repr=False)  # it may hold a password
    study: str
    sampler: str
    defined: Search
    epochs: int | None
    objective: MakeObjective

    def open(self) -> Study:
        """The study. Raises UserError if its storage cannot be used."""
        import optuna

        from hptoolkit import storage
        from hptoolkit.config import sampler_factory

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        connection = storage.connect(self.address)
        with storage.usable(self.address):
            return optuna.load_study(
                study_name=self.study,
                storage=connection,
                sampler=sampler_factory.sampler(self.sampler, self.defined),
                pruner=sampler_factory.pruner(self.defined, self.epochs or 100),
            )


class _Silent:
    """A listener: who watches the storage sees all that there is to show."""

    def trial_began(self, trial: Trial) -> None:
        pass

    def trial_ended(self, trial: FrozenTrial) -> None:
        pass

    def epoch_ended(self, trial: Trial, epoch: Any) -> None:
        pass


def work(job: Job, device: str) -> Ending:
    """Run trials of a study in this process until nothing is left to run."""
    from hptoolkit.execution.worker import run

    silent = _Silent()
    objective = job.objective(device, silent.epoch_ended)
    return run(job.open(), objective, trials=job.defined.trials, listener=silent)


def see_only(gpu: int) -> None:
    """Let this process see one of the GPUs that it sees, as device 0; before CUDA is used."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    names = visible.split(",") if visible else []
    os.environ["CUDA_VISIBLE_DEVICES"] = names[gpu].strip() if names else str(gpu)
