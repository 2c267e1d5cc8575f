"""`python -m hptoolkit.study`: tune a study's hyperparameters, and continue where it stopped."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import Callable

    from optuna.study import Study
    from optuna.trial import Trial
    from rich.console import Console

    from hptoolkit.progress import Progress
    from hptoolkit.runner import Ending
    from hptoolkit.sections import Search

app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)


@app.command()
def study(
    name: Annotated[
        str | None,
        typer.Argument(metavar="[STUDY]", help="A definition in studies/, or a TOML file's path."),
    ] = None,
    sampler: Annotated[
        str, typer.Option(help="coord, grid, random, gp, tpe, cmaes, qmc or optuna-gp.")
    ] = "coord",
    raw: Annotated[
        bool, typer.Option("--raw", help="Search raw parameters instead, over the same region.")
    ] = False,
    coordinates: Annotated[
        str | None,
        typer.Option(
            help="Axes, comma-separated; or auto: tested on the model. [the definition's]"
        ),
    ] = None,
    trials: Annotated[
        int | None, typer.Option(help="Budget in total, earlier runs of the study included.", min=1)
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of the study.", min=0)] = None,
    vary: Annotated[
        str | None, typer.Option(help="What the seed changes: init, order, augment or all.")
    ] = None,
    pruner: Annotated[str | None, typer.Option(help="none, median, halving or hyperband.")] = None,
    start: Annotated[
        str, typer.Option(help="file: the definition's; lr-range: from a range test.")
    ] = "file",
    fields: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="FIELD=VALUE", help="Any field: training.epochs=10."),
    ] = None,
    objective: Annotated[
        str | None,
        typer.Option(help="Tune your own function of a trial: MODULE:FUNCTION, FILE.py:FUNCTION."),
    ] = None,
    describe: Annotated[
        bool, typer.Option("--describe", help="Say what would be run, and run nothing.")
    ] = False,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Begin a new study; the old one is kept.")
    ] = False,
    storage: Annotated[
        str | None, typer.Option(help="A journal file or a database URL [studies/studies.log].")
    ] = None,
    data_dir: Annotated[
        str | None, typer.Option(help="Where data sets are kept [HPTOOLKIT_DATA or the cache].")
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:INDEX.")] = "auto",
    mlflow: Annotated[
        str | None, typer.Option(help="Tracking URI [sqlite:///mlruns/mlflow.db], or 'off'.")
    ] = None,
    sync_mlflow: Annotated[
        bool,
        typer.Option("--sync-mlflow", help="Log what MLflow lacks of stored studies, and exit."),
    ] = False,
) -> None:
    """Search good hyperparameters; a study that is run again goes on where it stopped."""
    from rich.console import Console

    from hptoolkit import assembly
    from hptoolkit import storage as storages
    from hptoolkit.errors import UserError, nearest
    from hptoolkit.tracking.location import check_uri, database_file

    console = Console(highlight=False)
    assembly.check_sampler(sampler)
    if start not in ("file", "lr-range"):
        raise UserError(f"Unknown start {start!r}: {nearest(start, ('file', 'lr-range'))}.")
    address = storage or storages.DEFAULT
    storages.check(address)
    if mlflow != "off":
        file = database_file(check_uri(mlflow))
        if file is not None:
            storages.check_writable(file, "--mlflow")
    if sync_mlflow:
        from hptoolkit.sync import sync

        if mlflow == "off":
            raise UserError("--sync-mlflow with --mlflow off asks to log nowhere: leave one out.")
        raise typer.Exit(sync(name, address, mlflow, console))

    changes = {"seed": seed, "vary": vary, "pruner": pruner, "trials": trials}
    if objective is None:
        from hptoolkit import builtin_study

        task = builtin_study.prepare(
            name,
            fields or (),
            changes,
            coordinates,
            start,
            data_dir,
            device,
            checkpoints=storages.checkpoint_folder(address),
        )
    else:
        from hptoolkit import own_study

        task = own_study.prepare(objective, name, fields or (), changes, coordinates, start)
    defined = task.defined.over_raw_axes() if raw else task.defined
    made = assembly.sampler(sampler, defined)
    if describe:
        console.print(task.description(), markup=False, soft_wrap=True)
        raise typer.Exit

    from hptoolkit.opening import open_study

    prune = assembly.pruner(defined, task.epochs or 100)
    opened = open_study(defined, sampler, made, prune, address, fresh=fresh, raw=raw)
    over = " over raw parameters" if raw else ""
    lines = [f"Study {opened.study_name}{task.why}: {task.what}, sampler {sampler}{over}."]
    lines += [*task.notes, *assembly.notes(made, defined)]
    for line in lines:
        console.print(line, markup=False, soft_wrap=True)
    ending = _run(opened, defined, task.objective, task.epochs, address, mlflow, console)
    raise typer.Exit(ending.exit_code)


def _run(
    opened: Study,
    defined: Search,
    objective: Callable[[Progress], Callable[[Trial], float]],
    epochs: int | None,
    address: str,
    mlflow: str | None,
    console: Console,
) -> Ending:
    from hptoolkit import summary
    from hptoolkit.progress import Progress
    from hptoolkit.publishing import publish
    from hptoolkit.runner import run, why_over
    from hptoolkit.samplers import CoordinateSampler
    from hptoolkit.storage import put_back_orphans
    from hptoolkit.tracking import Tracker

    back = put_back_orphans(opened)
    if back:
        numbers = ", ".join(map(str, back))
        console.print(f"Put back, since the process that ran them has gone: run {numbers}.")
    goal = defined.goal
    best = summary.best_trial(opened)
    tracker = (
        None
        if mlflow == "off"
        else Tracker(mlflow, opened, on_problem=console.print, system_metrics=True)
    )
    if tracker:
        tracker.sync()
    over = why_over(opened, defined.trials)
    if over:
        console.print(f"Nothing is left to run: {over.reason}.", soft_wrap=True)
    else:
        sampler = opened.sampler
        axes = summary.shown_axes(sampler) if isinstance(sampler, CoordinateSampler) else []
        progress = Progress(
            console,
            names=list(defined.distributions or ()),
            axes=axes,
            metric_name=goal.name,
            maximize=goal.direction == "maximize",
            epochs=epochs,
            best=best.value if best else None,
            on_end=tracker.log if tracker else None,
        )
        with progress:
            over = run(opened, objective(progress), trials=defined.trials, listener=progress)
    outcome = summary.as_json(opened, address, over.reason)
    summary.show(console, opened, goal.name, over.reason, address, mlflow)
    for line in publish(opened, defined, outcome, tracker, interrupted=over.exit_code > 128):
        console.print(line, markup=False, soft_wrap=True)
    if tracker:
        tracker.close()
    console.print(json.dumps(outcome), markup=False, soft_wrap=True)
    return over


def main() -> None:
    """The command, with errors of input as one sentence and exit code 2."""
    from hptoolkit.command import run_app

    run_app(app)


if __name__ == "__main__":
    main()
