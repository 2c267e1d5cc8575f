"""Running a slice from the command line: what is missing of it, shown and logged."""

from __future__ import annotations

from optuna.study import Study
from rich.console import Console

from hptoolkit import storage as storages
from hptoolkit.execution.slices.study import Plan
from hptoolkit.execution.worker import Ending, run
from hptoolkit.reporting import results
from hptoolkit.reporting.publish import publish
from hptoolkit.reporting.terminal import Progress
from hptoolkit.samplers.incumbent import Standings
from hptoolkit.storage import put_back_orphans
from hptoolkit.storage.urls import database_file
from hptoolkit.tracking import Tracker, check_uri


def check_mlflow(mlflow: str | None) -> None:
    """Raise UserError for a tracking URI at which nothing can be logged."""
    if mlflow != "off" and (file := database_file(check_uri(mlflow))) is not None:
        storages.check_writable(file, "--mlflow")


def run_slice(
    study: Study,
    plan: Plan,
    address: str,
    mlflow: str | None,
    console: Console,
    trials: int | None,
) -> Ending:
    """Run what is missing of a slice, `trials` in total at most, and log it."""
    put_back_orphans(study)
    for note in plan.notes:
        console.print(note, markup=False, soft_wrap=True)
    goal = plan.defined.goal
    tracker = None if mlflow == "off" else Tracker(mlflow, study, on_problem=console.print)
    if tracker:
        tracker.sync()
    progress = Progress(
        console,
        names=list(plan.space),
        axes=[axis for axis in plan.defined.coordinates.axes if "*" in axis or "/" in axis],
        metric_name=goal.name,
        maximize=goal.direction == "maximize",
        standings=Standings.of(study),
        on_end=tracker.log if tracker else None,
    )
    with progress:
        budget = trials or plan.defined.trials
        over = run(study, plan.objective(progress), trials=budget, listener=progress)
    outcome = results.as_json(study, address, over.reason)
    stopped = over.exit_code > 128
    for line in publish(study, plan.defined, outcome, tracker, interrupted=stopped):
        console.print(line, markup=False, soft_wrap=True)
    if tracker:
        tracker.close()
    return over
