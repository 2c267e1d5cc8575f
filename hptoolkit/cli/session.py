"""One run of a study command: what was left behind, the workers, MLflow, and the summary."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hptoolkit.errors import UserError
from hptoolkit.execution.worker import Ending, why_over
from hptoolkit.reporting import results
from hptoolkit.reporting.live_view import View
from hptoolkit.reporting.publish import publish
from hptoolkit.reporting.terminal import Progress
from hptoolkit.samplers import CoordinateSampler
from hptoolkit.samplers.incumbent import Standings
from hptoolkit.storage import put_back_orphans
from hptoolkit.tracking import Tracker

if TYPE_CHECKING:
    from optuna.study import Study
    from optuna.trial import FrozenTrial
    from rich.console import Console

    from hptoolkit.execution.engines.engine import Engine
    from hptoolkit.execution.job import Job


@dataclass(frozen=True)
class Session:
    """A study that is open, and how it is to be run.

    Attributes:
        study, job: The study, and how a worker joins it.
        engine: Who runs the trials.
        mlflow: MLflow's tracking URI; None for the default, "off" for none.
        console: Where to write.
    """

    study: Study
    job: Job
    engine: Engine
    mlflow: str | None
    console: Console

    def run(self) -> Ending:
        """Run what is left to run; the last line printed is the outcome as JSON."""
        back = put_back_orphans(self.study)
        if back:
            numbers = ", ".join(map(str, back))
            self.console.print(
                f"Put back, since the process that ran them has gone: run {numbers}."
            )
        tracker = None
        if self.mlflow != "off":
            tracker = Tracker(
                self.mlflow, self.study, on_problem=self.console.print, system_metrics=True
            )
            tracker.sync()
        ending = why_over(self.study, self.job.defined.trials)
        if ending:
            self.console.print(f"Nothing is left to run: {ending.reason}.", soft_wrap=True)
        else:
            try:
                ending = self._run_workers(tracker)
            except UserError:
                if tracker:  # what has ended is logged
                    tracker.close()
                raise
        self._conclude(ending, tracker)
        return ending

    def _run_workers(self, tracker: Tracker | None) -> Ending:
        goal, defined = self.job.defined.goal, self.job.defined
        sampler = self.study.sampler

        def log(trial: FrozenTrial) -> None:
            if tracker and self.engine.owns(trial):
                tracker.log(trial)

        progress = Progress(
            self.console,
            names=list(defined.distributions or ()),
            axes=results.shown_axes(sampler) if isinstance(sampler, CoordinateSampler) else [],
            metric_name=goal.name,
            maximize=goal.direction == "maximize",
            epochs=self.job.epochs,
            standings=Standings.of(self.study),
            on_end=log,
        )
        with progress:
            return self.engine.run(self.job, self.study, View(self.study, progress))

    def _conclude(self, ending: Ending, tracker: Tracker | None) -> None:
        name, address = self.job.defined.goal.name, self.job.address
        outcome = results.as_json(self.study, address, ending.reason)
        results.show(self.console, self.study, name, ending.reason, address, self.mlflow)
        for line in publish(
            self.study,
            self.job.defined,
            outcome,
            tracker,
            interrupted=ending.exit_code > 128,
        ):
            self.console.print(line, markup=False, soft_wrap=True)
        if tracker:
            tracker.close()
        self.console.print(json.dumps(outcome), markup=False, soft_wrap=True)
