"""`python -m hptoolkit.lr_range`: one short run that tells where the learning rate belongs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    import torch

    from hptoolkit.definition import StudyDefinition
    from hptoolkit.training.data import Split
    from hptoolkit.training.lr_range import RangeTest, Suggestion

app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)


@app.command()
def lr_range(
    name: Annotated[
        str | None,
        typer.Argument(metavar="[STUDY]", help="A definition in studies/, or a TOML file's path."),
    ] = None,
    steps: Annotated[int, typer.Option(help="Steps of the run.", min=20)] = 200,
    lowest: Annotated[float, typer.Option(help="First learning rate.")] = 1e-7,
    highest: Annotated[float, typer.Option(help="Last learning rate.")] = 100.0,
    seed: Annotated[int | None, typer.Option(help="Seed of the study.", min=0)] = None,
    fields: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="FIELD=VALUE", help="Any field: training.batch_size=128."),
    ] = None,
    data_dir: Annotated[
        str | None, typer.Option(help="Where data sets are kept [HPTOOLKIT_DATA or the cache].")
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:INDEX.")] = "auto",
    figure: Annotated[
        str | None, typer.Option(help="The figure's HTML file [studies/STUDY-lr-range.html].")
    ] = None,
    mlflow: Annotated[
        str | None, typer.Option(help="Tracking URI [sqlite:///mlruns/mlflow.db], or 'off'.")
    ] = None,
) -> None:
    """Raise the learning rate until the loss explodes, and suggest bounds for a search.

    The other parameters are those of the study's start. Nothing is kept of the run's weights.
    """
    from hptoolkit import default_study, definition
    from hptoolkit import storage as storages
    from hptoolkit.objective import check_batch
    from hptoolkit.storage.urls import database_file
    from hptoolkit.tracking.location import check_uri
    from hptoolkit.training import data, set_up_device

    why = ""
    if name is None:
        name, reason = default_study.choose(data_dir)
        why = f" ({reason})"
    defined = definition.load(name, fields or (), seed=seed)
    path = Path(figure or f"studies/{defined.name}-lr-range.html")
    storages.check_writable(path, "--figure")
    store = None if mlflow == "off" else database_file(check_uri(mlflow))
    if store is not None:
        storages.check_writable(store, "--mlflow")
    split = data.split(data.load(defined.data.name, data_dir), defined.data)
    check_batch(defined, split)

    print(f"Range test of {defined.name}{why}: {steps} steps, λ from {lowest:g} to {highest:g}.")
    test = measure(
        defined, split, set_up_device(device), steps=steps, lowest=lowest, highest=highest
    )
    outcome = as_json(defined, test)
    _draw(test, defined.name, path)
    if mlflow != "off":
        _log(defined, test, path, mlflow)
    low, high = test.suggestion.low, test.suggestion.high
    print(f"The loss is lowest at λ = {test.suggestion.minimum:.2g}, which is too high for a peak.")
    print(f"Suggested: a peak of λ = {high:.2g} at most, and {low:.2g} at least.")
    print(f"Figure: {path}")
    print(f"Search from there: python -m hptoolkit.study {name} --start lr-range")
    print(json.dumps(outcome))


def measure(
    defined: StudyDefinition,
    split: Split,
    device: torch.device,
    *,
    steps: int = 200,
    lowest: float = 1e-7,
    highest: float = 100.0,
) -> RangeTest:
    """The range test of a definition at its start. Raises UserError if the loss fell nowhere."""
    from hptoolkit.training.lr_range import range_test

    model, training = defined.configure(defined.start)
    return range_test(
        training, split, model=model, seed=defined.seed, device=device,
        steps=steps, lowest=lowest, highest=highest,
    )  # fmt: skip


def begin_at(defined: StudyDefinition, suggestion: Suggestion) -> StudyDefinition:
    """The definition with its start and region taken from a range test, through the coordinates.

    λ starts at the suggested maximum. The coordinates that contain λ are bounded to what λ from
    the suggested minimum to as far above the maximum means with the start's other values; the
    other parameters keep their ranges. Numbers are rounded to two digits.
    """
    from hptoolkit.coordinates import Coordinates
    from hptoolkit.errors import UserError

    if "lr" not in defined.search_space:
        raise UserError("--start lr-range needs a study that searches 'lr': this one does not.")
    high, low = float(f"{suggestion.high:.2g}"), float(f"{suggestion.low:.2g}")
    start = {**defined.start, "lr": high}
    coordinates = Coordinates(*(defined.coordinates.axes or ("lr",)))
    others = {n: start[n] for n in coordinates.names if n in start}
    missing = [n for n in coordinates.names if n not in others]
    if missing:
        raise UserError(f"--start lr-range needs a start for {', '.join(missing)}, too.")
    ends = [
        coordinates.from_raw({**{n: float(v) for n, v in others.items()}, "lr": lr})
        for lr in (low, high * high / low)
    ]
    box = dict(defined.coordinates.box)
    for axis in coordinates.axes:
        if ends[0][axis] != ends[1][axis]:
            least, largest = sorted(float(f"{end[axis]:.3g}") for end in ends)
            box[axis] = (least, largest)
    section = defined.coordinates.model_copy(update={"box": box})
    begun = defined.model_copy(update={"start": start, "coordinates": section})
    begun.region()
    return begun


def as_json(defined: StudyDefinition, test: RangeTest) -> dict[str, object]:
    """The test for programs: the suggestion and the curve."""
    import dataclasses

    return {"study": defined.name, **dataclasses.asdict(test)}


def _draw(test: RangeTest, name: str, path: Path) -> None:
    import os

    import plotly.graph_objects as go

    figure = go.Figure()
    figure.add_scatter(x=test.lrs, y=test.losses, mode="markers", name="loss of a batch",
                       marker={"size": 4, "opacity": 0.5})  # fmt: skip
    figure.add_scatter(x=test.lrs, y=test.smoothed, mode="lines", name="smoothed")
    marks = {
        "suggested minimum": test.suggestion.low,
        "suggested maximum": test.suggestion.high,
        "lowest loss": test.suggestion.minimum,
    }
    for mark, lr in marks.items():
        figure.add_vline(x=lr, line_dash="dot", annotation_text=mark, annotation_textangle=-90)
    figure.update_layout(
        title=f"Range test of {name}: the maximum lies below the lowest loss, where it still falls",
        xaxis={"type": "log", "title": "learning rate λ", "exponentformat": "power"},
        yaxis={"title": "training loss (nats)", "range": [0, 1.3 * test.losses[0]]},
        template="plotly_white",
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.part")
    part.write_text(figure.to_html(include_plotlyjs=True), encoding="utf-8")
    os.replace(part, path)


def _log(defined: StudyDefinition, test: RangeTest, path: Path, mlflow: str | None) -> None:
    from hptoolkit.storage.urls import redact
    from hptoolkit.tracking.single_run import log_run

    suggestion = test.suggestion
    problem = log_run(
        mlflow,
        data_set=defined.data.name,
        name=f"{defined.name} range test",
        params={"seed": defined.seed, **defined.start, **defined.training.model_dump()},
        metrics={"suggested_high": suggestion.high, "suggested_low": suggestion.low},
        curves={"loss": test.losses, "lr": test.lrs},
        artifact=path,
    )
    if problem:
        print(f"MLflow at {redact(mlflow or 'mlruns/')} was not written: {problem}")


def main() -> None:
    """The command, with errors of input as one sentence and exit code 2."""
    from hptoolkit.command import run_app

    run_app(app)


if __name__ == "__main__":
    main()
