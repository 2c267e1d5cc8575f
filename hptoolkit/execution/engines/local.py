"""One worker: this process."""

from __future__ import annotations

from dataclasses import dataclass

from optuna.study import Study
from optuna.trial import FrozenTrial, Trial

from hptoolkit.attributes import OWNER
from hptoolkit.execution.engines.engine import Display, View
from hptoolkit.execution.job import Job
from hptoolkit.execution.worker import Ending, run
from hptoolkit.storage import owner


class ThisProcess:
    """An engine of one worker: this process."""

    notes = ()

    def __init__(self, device: str) -> None:
        self._device = device

    def owns(self, trial: FrozenTrial) -> bool:
        return trial.user_attrs.get(OWNER) == owner()

    def run(self, job: Job, study: Study, view: View) -> Ending:
        objective = job.objective(self._device, view.progress.epoch_ended)
        listener = _Showing(view, view.progress)
        return run(study, objective, trials=job.defined.trials, listener=listener)


@dataclass
class _Showing:
    view: View
    progress: Display

    def trial_began(self, trial: Trial) -> None:
        self.progress.trial_began(trial)

    def trial_ended(self, trial: FrozenTrial) -> None:
        self.view.look()
