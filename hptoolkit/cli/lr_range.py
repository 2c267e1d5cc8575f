"""`python -m hptoolkit.lr_range`: one short run that tells where the learning rate belongs."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hptoolkit.cli.options import (
    DataDir,
    Definition,
    Device,
    Fields,
    Json,
    MLflow,
    Seed,
    check_mlflow,
    print_outcome,
)
from hptoolkit.errors import command

if TYPE_CHECKING:
    from hptoolkit.config.definition import StudyDefinition
    from hptoolkit.training.lr_range import RangeTest


def lr_range(
    name: Definition = None,
    steps: Annotated[int, typer.Option(help="Steps of a ramp over all rates.", min=20)] = 200,
    ramps: Annotated[int, typer.Option(help="How many, each with other seeds.", min=1)] = 5,
    lowest: Annotated[float, typer.Option(help="First learning rate.")] = 1e-7,
    highest: Annotated[float, typer.Option(help="Last learning rate.")] = 100.0,
    seed: Seed = None,
    fields: Fields = None,
    data_dir: DataDir = None,
    device: Device = "auto",
    figure: Annotated[
        str | None, typer.Option(help="The figure's HTML file [studies/STUDY-lr-range.html].")
    ] = None,
    mlflow: MLflow = None,
    json: Json = False,
) -> None:
    """Raise the learning rate until the loss explodes, and suggest bounds for a search.

    The other parameters are those of the study's start, or of theory's where it names none. Nothing
    is kept of the run's weights.
    """
    from hptoolkit import storage as storages
    from hptoolkit.config import default_study
    from hptoolkit.config.load import load_study
    from hptoolkit.execution.builtin_study import load_split, with_default_start
    from hptoolkit.execution.objective import check_fits
    from hptoolkit.execution.range_test import measure
    from hptoolkit.reporting.range_test import draw
    from hptoolkit.training import set_up_device

    why = ""
    if name is None:
        name, reason = default_study.choose(data_dir)
        why = f" ({reason})"
    defined = load_study(name, fields or (), seed=seed)
    path = Path(figure or f"studies/{defined.name}-lr-range.html")
    storages.check_writable(path, "--figure")
    check_mlflow(mlflow)
    split = load_split(defined.data, data_dir)
    chosen = set_up_device(device)
    check_fits(defined, split, chosen)
    defined = with_default_start(defined, data_dir)

    print(f"Range test of {defined.name}{why}: {steps} steps, λ from {lowest:g} to {highest:g}.")
    test = measure(defined, split, chosen, steps=steps, lowest=lowest, highest=highest, ramps=ramps)
    outcome = {"study": defined.name, **dataclasses.asdict(test)}
    facts = [
        ("data", f"{defined.data.name}, {len(split.train)} images to train on"),
        ("network", f"Page's, width {defined.model.width}"),
        ("training", f"{defined.training.optimizer}, batch {defined.training.batch_size}"),
        ("ramps", f"{len(test.highs)}, {test.steps} steps in all, seed {defined.seed}"),
    ]
    draw(test, defined.name, path, facts)
    if mlflow != "off":
        _log(defined, test, path, mlflow)
    low, high = test.suggestion.low, test.suggestion.high
    print(f"The loss is lowest at λ = {test.suggestion.minimum:.2g}, which is too high for a peak.")
    sure = f", to within a factor of {test.suggestion.uncertainty:.2g}" if ramps > 1 else ""
    print(f"Suggested: a peak of λ = {high:.2g} at most{sure}, and {low:.2g} at least.")
    print(f"Figure: {path}")
    print(f"Search from there: {command('study', name, '--start', 'lr-range')}")
    print_outcome(outcome, asked=json)


def _log(defined: StudyDefinition, test: RangeTest, path: Path, mlflow: str | None) -> None:
    from hptoolkit.storage.urls import redact
    from hptoolkit.tracking.single_run import log_run

    suggestion = test.suggestion
    model, training = defined.configure(defined.start)
    # A range test has a learning rate a step, no epochs and no schedule.
    unused = {n for n in type(training).model_fields if n.startswith("schedule")}
    unused |= {"lr", "epochs", "warmup", "momentum_low"}
    problem = log_run(
        mlflow,
        data_set=defined.data.name,
        name=f"{defined.name} range test",
        params={
            "seed": defined.seed,
            **model.model_dump(),
            **training.model_dump(exclude=unused),
        },
        metrics={"suggested_high": suggestion.high, "suggested_low": suggestion.low},
        curves={"loss": test.losses, "schedule/lr": test.lrs},
        artifact=path,
    )
    if problem:
        print(f"MLflow at {redact(mlflow or 'mlruns/')} was not written: {problem}")
