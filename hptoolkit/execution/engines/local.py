"""One worker: this process."""

from __future__ import annotations

from optuna.study import Study
from optuna.trial import FrozenTrial

from hptoolkit.attributes import OWNER
from hptoolkit.execution.engines.engine import View
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
        objective = job.problem.objective(self._device, view.epoch_ended)
        return run(study, objective, trials=job.trials, listener=view)
