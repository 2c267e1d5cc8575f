"""`python -m hptoolkit.study`: tune a study's hyperparameters, and continue where it stopped."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    import torch
    from optuna.study import Study
    from rich.console import Console

    from hptoolkit.definition import StudyDefinition
    from hptoolkit.runner import Ending
    from hptoolkit.samplers import CoordinateSampler
    from hptoolkit.training.data import Split

app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)

_STORED = "definition"  # user attribute of a study: its resolved definition
_SAMPLER = "sampler"  # user attribute of a study: the name of its sampler


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
    trials: Annotated[
        int | None, typer.Option(help="Budget in total, earlier runs of the study included.", min=1)
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of the study.", min=0)] = None,
    pruner: Annotated[str | None, typer.Option(help="none, median, halving or hyperband.")] = None,
    fields: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="FIELD=VALUE", help="Any field: training.epochs=10."),
    ] = None,
    start: Annotated[
        str, typer.Option(help="file: the definition's; lr-range: from a range test.")
    ] = "file",
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
) -> None:
    """Search good hyperparameters; a study that is run again goes on where it stopped."""
    from rich.console import Console

    from hptoolkit import assembly, default_study, definition
    from hptoolkit import storage as storages
    from hptoolkit.errors import UserError, nearest
    from hptoolkit.samplers import GridSampler
    from hptoolkit.tracking.location import check_uri, database_file

    console = Console(highlight=False)
    why = ""
    if name is None:
        name, reason = default_study.choose(data_dir)
        why = f" ({reason})"
    defined = definition.load(name, fields or (), seed=seed, pruner=pruner, trials=trials)
    assembly.check_sampler(sampler)
    if start not in ("file", "lr-range"):
        raise UserError(f"Unknown start {start!r}: {nearest(start, ('file', 'lr-range'))}.")
    address = storage or storages.DEFAULT
    storages.check(address)
    if mlflow != "off":
        file = database_file(check_uri(mlflow))
        if file is not None:
            storages.check_writable(file, "--mlflow")
    split = _data(defined, data_dir)
    chosen = _device(device)
    if start == "lr-range":
        defined = _start_from_range_test(defined, split, chosen, console)
    if raw:
        defined = defined.over_raw_axes()
    made = assembly.sampler(sampler, defined)
    opened = _open(defined, sampler, made, address, fresh=fresh, raw=raw)

    console.print(
        f"Study {opened.study_name}{why}: {len(split.train)} images of {defined.data.name} to "
        f"train on and {len(split.validation)} to validate, sampler {sampler}"
        f"{' over raw parameters' if raw else ''}.",
        soft_wrap=True,
    )
    if isinstance(made, GridSampler):
        runs = made.count(defined.distributions)
        console.print(f"The grid takes {runs} runs at most, the budget is {defined.trials}.")
    ending = _run(opened, defined, split, chosen, address, mlflow, console)
    raise typer.Exit(ending.exit_code)


def _device(name: str) -> torch.device:
    from hptoolkit.training import set_up_device

    return set_up_device(name)


def _start_from_range_test(
    defined: StudyDefinition, split: Split, device: torch.device, console: Console
) -> StudyDefinition:
    from hptoolkit.lr_range import begin_at, measure

    suggestion = measure(defined, split, device).suggestion
    begun = begin_at(defined, suggestion)
    console.print(
        f"Range test: λ from {suggestion.low:.2g} to {suggestion.high:.2g} suggested; the search "
        f"starts at λ = {begun.start['lr']:g}.",
        soft_wrap=True,
    )
    return begun


def _data(defined: StudyDefinition, data_dir: str | None) -> Split:
    from hptoolkit.objective import check_batch
    from hptoolkit.training import data

    split = data.split(data.load(defined.data.name, data_dir), defined.data)
    check_batch(defined, split)
    return split


def _open(
    defined: StudyDefinition,
    sampler: str,
    made: CoordinateSampler,
    address: str,
    *,
    fresh: bool,
    raw: bool,
) -> Study:
    """The stored study that this definition continues, or a new one."""
    import optuna

    from hptoolkit import assembly
    from hptoolkit import storage as storages

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    stored = storages.connect(address)
    names = optuna.get_all_study_names(stored)
    base = f"{defined.name}-{sampler}{'-raw' if raw else ''}"
    found = None if fresh else storages.latest(base, names)
    if found is not None:
        _check_same(optuna.load_study(study_name=found, storage=stored), defined, sampler)
    opened = optuna.create_study(
        study_name=found or storages.fresh(base, names),
        storage=stored,
        sampler=made,
        pruner=assembly.pruner(defined),
        direction=defined.metric.direction,
        load_if_exists=True,
    )
    opened.set_user_attr(_STORED, defined.identity(sampler))
    opened.set_user_attr(_SAMPLER, sampler)
    return opened


def _check_same(stored: Study, defined: StudyDefinition, sampler: str) -> None:
    """Refuse to mix two definitions in one study; a wider search space keeps the old trials."""
    from pydantic import ValidationError

    from hptoolkit.definition import StudyDefinition, differences, widened
    from hptoolkit.errors import UserError

    kept = stored.user_attrs.get(_STORED)
    if kept is None:
        raise UserError(
            f"The storage has a study {stored.study_name} that hptoolkit did not make: use --fresh "
            "to begin another, or another --storage."
        )
    try:
        # A definition stored before a field existed has that field's default.
        before = StudyDefinition.model_validate(kept)
    except ValidationError as error:
        raise UserError(
            f"The stored study {stored.study_name} was written by another version of hptoolkit "
            f"({error.errors()[0]['msg']}): use --fresh to begin a new one."
        ) from None
    differing = differences(before.identity(sampler), defined.identity(sampler))
    if differing and not widened(before, defined, sampler):
        raise UserError(
            f"The stored study {stored.study_name} has another definition: {'; '.join(differing)}. "
            "Use --fresh to begin a new study (the old one is kept), or take the change back."
        )


def _run(
    opened: Study,
    defined: StudyDefinition,
    split: Split,
    device: torch.device,
    address: str,
    mlflow: str | None,
    console: Console,
) -> Ending:
    from hptoolkit import summary
    from hptoolkit.objective import Objective
    from hptoolkit.progress import Progress
    from hptoolkit.runner import run, why_over
    from hptoolkit.samplers import CoordinateSampler
    from hptoolkit.storage import put_back_orphans
    from hptoolkit.tracking import Tracker

    back = put_back_orphans(opened)
    if back:
        numbers = ", ".join(map(str, back))
        console.print(f"Put back, since the process that ran them has gone: run {numbers}.")
    metric = defined.metric.name
    best = summary.best_trial(opened)
    tracker = None if mlflow == "off" else Tracker(mlflow, opened, on_problem=console.print)
    if tracker:
        tracker.sync()
    over = why_over(opened, defined.trials)
    if over:
        console.print(f"Nothing is left to run: {over.reason}.", soft_wrap=True)
    else:
        sampler = opened.sampler
        axes = summary.shown_axes(sampler) if isinstance(sampler, CoordinateSampler) else []
        epochs = None if "epochs" in defined.search_space else defined.training.epochs
        progress = Progress(
            console,
            names=list(defined.search_space),
            axes=axes,
            metric_name=metric,
            maximize=defined.metric.direction == "maximize",
            epochs=epochs,
            best=best.value if best else None,
            on_end=tracker.log if tracker else None,
        )
        objective = Objective(defined, split, device, progress.epoch_ended)
        with progress:
            over = run(opened, objective, trials=defined.trials, listener=progress)
    outcome = summary.as_json(opened, address, over.reason)
    summary.show(console, opened, metric, over.reason, address, mlflow)
    if tracker:
        tracker.finish(outcome, interrupted=over.exit_code > 128)
        tracker.close()
    console.print(json.dumps(outcome), markup=False, soft_wrap=True)
    return over


def main() -> None:
    """The command, with errors of input as one sentence and exit code 2."""
    from hptoolkit.command import run_app

    run_app(app)


if __name__ == "__main__":
    main()
