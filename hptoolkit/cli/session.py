"""One run of a study, be it a search or a slice: its workers, MLflow, and the summary."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hptoolkit.cli.options import again, print_outcome
from hptoolkit.config import sampler_factory
from hptoolkit.errors import UserError
from hptoolkit.execution.engines.choice import choose_engine
from hptoolkit.execution.job import Job
from hptoolkit.execution.open_study import open_study
from hptoolkit.execution.worker import Ending, why_over
from hptoolkit.reporting import results
from hptoolkit.reporting.live_view import LiveView
from hptoolkit.reporting.publish import publish
from hptoolkit.reporting.terminal import Progress
from hptoolkit.samplers.incumbent import Standings
from hptoolkit.storage import put_back_orphans
from hptoolkit.tracking import Tracker

if TYPE_CHECKING:
    from optuna.study import Study
    from optuna.trial import FrozenTrial
    from rich.console import Console

    from hptoolkit.execution.engines.engine import Engine, Placement
    from hptoolkit.execution.problem import Problem
    from hptoolkit.samplers import CoordinateSampler


@dataclass(frozen=True)
class Session:
    """A study that is open, and how it is to be run.

    Attributes:
        study, job: The study, and how a worker joins it.
        engine: Who runs the trials.
        mlflow: MLflow's tracking URI; None for the default, "off" for none.
        console: Where to write.
        json: Whether the outcome is printed into a terminal, too.
    """

    study: Study
    job: Job
    engine: Engine
    mlflow: str | None
    console: Console
    json: bool = False

    @classmethod
    def open(
        cls,
        problem: Problem,
        kind: str,
        sampler: CoordinateSampler,
        address: str,
        placement: Placement,
        mlflow: str | None,
        console: Console,
        *,
        fresh: bool,
        raw: bool = False,
        json: bool = False,
    ) -> Session:
        """Open a problem's study and find room for its workers; see `open_study`.

        Raises UserError, before anything is written, for what cannot be run.
        """

        def say(line: str) -> None:
            console.print(line, markup=False, soft_wrap=True)

        engine = choose_engine(placement, address, say)
        pruner = sampler_factory.pruner(problem.defined)
        study = open_study(problem.defined, kind, sampler, pruner, address, fresh=fresh, raw=raw)
        for key, value in problem.attributes.items():
            study.set_user_attr(key, value)
        job = Job(address, study.study_name, problem, sampler, pruner)
        return cls(study, job, engine, mlflow, console, json)

    def say(self, *lines: str) -> None:
        """Print lines as they are."""
        for line in lines:
            self.console.print(line, markup=False, soft_wrap=True)

    def run(self, *, summary: bool = True) -> Ending:
        """Run what is left to run, and publish it.

        With a summary: of what was found, its last line the outcome as JSON.
        """
        if back := put_back_orphans(self.study):
            numbers = ", ".join(map(str, back))
            self.say(f"Put back, since the process that ran them has gone: run {numbers}.")
        tracker = None
        if self.mlflow != "off":
            tracker = Tracker(
                self.mlflow, self.study, on_problem=self.console.print, system_metrics=True
            )
            tracker.sync()
        ending = why_over(self.study, self.job.trials)
        if ending:
            self.say(f"Nothing is left to run: {ending.reason}.")
        else:
            try:
                ending = self._run_workers(tracker)
            except UserError:
                if tracker:  # what has ended is logged
                    tracker.close()
                raise
        address, defined = self.job.address, self.job.problem.defined
        outcome = results.as_json(self.study, address, ending.reason)
        if summary:
            results.show(
                self.console, self.study, defined.goal.name, ending.reason, address, self.mlflow
            )
        stopped = ending.exit_code > 128
        self.say(*publish(self.study, defined, outcome, tracker, interrupted=stopped))
        if tracker:
            tracker.close()
        if stopped:
            self.say(again())
        if summary:
            print_outcome(outcome, asked=self.json)
        return ending

    def _run_workers(self, tracker: Tracker | None) -> Ending:
        defined = self.job.problem.defined

        def log(trial: FrozenTrial) -> None:
            if tracker and self.engine.owns(trial):
                tracker.log(trial)

        progress = Progress(
            self.console,
            names=list(defined.distributions or ()),
            axes=results.shown_axes(self.job.sampler),
            metric_name=defined.goal.name,
            maximize=defined.goal.direction == "maximize",
            epochs=defined.epochs,
            standings=Standings.of(self.study),
            on_end=log,
        )
        with progress:
            return self.engine.run(self.job, self.study, LiveView(self.study, progress))
