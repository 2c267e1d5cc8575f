"""All runs as a table of texts."""

from __future__ import annotations

from hptoolkit.coordinates.symbols import symbol
from hptoolkit.reporting.figures.view import Run, StudyView
from hptoolkit.reporting.formatting import duration, metric, number


def rows(view: StudyView) -> list[list[str]]:
    """The titles, then a row a run: parameters, mixed coordinates, value, epochs, time, end."""
    mixed = [axis for axis in view.coordinates.axes if axis not in view.factors_by_axis]
    titles = ["run", *map(symbol, (*view.space, *mixed)), view.metric.replace("_", " ")]
    return [[*titles, "epochs", "time", ""], *(_row(view, run, mixed) for run in view.runs)]


def _row(view: StudyView, run: Run, mixed: list[str]) -> list[str]:
    return [
        str(run.number),
        *(number(run.params[name]) for name in view.space),
        *(number(run.coordinates[axis]) if axis in run.coordinates else "" for axis in mixed),
        "" if run.value is None else metric(view.metric, run.value),
        str(run.epochs or ""),
        "" if run.seconds is None else duration(run.seconds),
        run.reason or ("" if run.state == "complete" else run.state),
    ]
