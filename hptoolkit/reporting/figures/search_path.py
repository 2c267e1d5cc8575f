"""The search as a path, over raw axes and over coordinates."""

from __future__ import annotations

from typing import Any

from hptoolkit.coordinates.symbols import symbol
from hptoolkit.reporting.figures.axes_pair import Pair, pairs
from hptoolkit.reporting.figures.figure import (
    BLACK,
    GREY,
    VERMILION,
    Figure,
    axis,
    blank,
    brief,
    colours,
    plain,
)
from hptoolkit.reporting.figures.view import Run, StudyView
from hptoolkit.reporting.formatting import metric, metric_label
from hptoolkit.search_space.axis import rounded

# Rows of panels at most: one for each parameter that trades with λ.
_ROWS = 2


def draw(view: StudyView) -> Figure | str:
    """The figure, or why there is none."""
    if view.slice_of is not None:
        return "A slice is no search: it has no path."
    known = pairs(view)
    moved = [pair for pair in known if _moves(view, pair)]
    shown = (moved or known)[:_ROWS]
    if not shown:
        return (
            "The search path needs coordinates over two parameters that the runs vary, such as "
            "λ/(1−ρ)."
        )
    if view.best is None:
        return "The search path needs a finished run."
    titles = [t for pair in shown for t in ("over raw parameters", "over coordinates")]
    figure = blank(2, len(shown), titles)
    for row, pair in enumerate(shown, 1):
        for column, axes in enumerate((pair.raw, pair.coordinates), 1):
            _panel(figure, view, axes, row, column)
    values = [point.value * view.scale for point in view.points]
    scale = colours(values, metric_label(view.metric), maximize=view.maximize)
    figure.update_layout(coloraxis=scale, showlegend=True)
    return Figure("search-path", "The path of the search", _caption(view, shown), figure)


def _moves(view: StudyView, pair: Pair) -> bool:
    """Whether a step changed the partner."""
    return len({rounded(view.place(step.run, pair.raw[1])) for step in view.steps}) > 1


def _panel(figure: Any, view: StudyView, axes: tuple[str, str], row: int, column: int) -> None:
    first = row == column == 1
    runs = view.to_draw()
    # The better ones last, on top.
    sign = 1.0 if view.maximize else -1.0
    told = sorted((r for r in runs if r.value is not None), key=lambda r: sign * (r.value or 0.0))
    rest = [run for run in runs if run.value is None and run.state != "running"]
    where = {"row": row, "col": column}
    figure.add_scatter(
        **_places(view, told, axes), mode="markers", name="run", showlegend=False,
        marker={
            "color": [brief((run.value or 0.0) * view.scale) for run in told],
            "coloraxis": "coloraxis", "size": 9, "line": {"width": 0.5, "color": "white"},
        },
        text=[_hover(view, run) for run in told], hoverinfo="text", **where,
    )  # fmt: skip
    if rest:
        figure.add_scatter(
            **_places(view, rest, axes), mode="markers", name="pruned, diverged or failed",
            marker={"symbol": "x-thin", "size": 8, "line": {"width": 1.5, "color": GREY}},
            text=[plain(f"run {run.number}: {run.reason or run.state}") for run in rest],
            hoverinfo="text", showlegend=first, **where,
        )  # fmt: skip
    steps = [step.run for step in view.steps]
    line_search = any(step.along for step in view.steps)
    figure.add_scatter(
        **_places(view, steps, axes), mode="lines+markers+text",
        name="line searches that improved" if line_search else "best so far",
        line={"color": VERMILION, "width": 2},
        marker={"symbol": "circle-open", "size": 13, "color": VERMILION, "line": {"width": 2}},
        text=_numbers(steps), textposition="top right",
        textfont={"size": 12, "color": BLACK}, hoverinfo="skip", showlegend=first, **where,
    )  # fmt: skip
    for update, name in ((figure.update_xaxes, axes[0]), (figure.update_yaxes, axes[1])):
        update(**axis(name, [view.place(run, name) for run in runs]), **where)
    if column > 1:
        figure.update_yaxes(title_text="", **where)  # the same as on the left


def _numbers(steps: list[Run]) -> list[str]:
    """The number of each step; where a plain best so far has many, only the ends'."""
    if len(steps) <= 12:
        return [str(i) for i in range(len(steps))]
    return ["0", *[""] * (len(steps) - 2), str(len(steps) - 1)]


def _places(view: StudyView, runs: list[Run], axes: tuple[str, str]) -> dict[str, list[float]]:
    return {
        "x": [brief(view.place(run, axes[0])) for run in runs],
        "y": [brief(view.place(run, axes[1])) for run in runs],
    }


def _hover(view: StudyView, run: Run) -> str:
    return f"run {run.number}: {metric(view.metric, run.value or 0.0)}"


def _caption(view: StudyView, shown: list[Pair]) -> str:
    first = symbol(shown[0].coordinates[0])
    held = " or ".join(symbol(pair.raw[1]) for pair in shown)
    if any(step.along for step in view.steps):
        return (
            "Each numbered step is a line search along one coordinate that improved. Over "
            "coordinates (right) it runs along an axis; over raw parameters (left) the same step "
            f"is slanted where it changes {held}, because λ moves too, so that {first} is held. "
            "Look for slanted steps: a search of one raw parameter at a time cannot take them."
        )
    return (
        "Each numbered step is a run that was the best so far, joined in their order; dots are "
        "all runs. Over coordinates (right) look for good runs that stand in one upright band, "
        f"at one {first} whatever {held} is; over raw parameters (left) the band is slanted."
    )
