"""Learning curves: what was judged after each epoch, with the runs that did not finish."""

from __future__ import annotations

from collections.abc import Sequence

from hptoolkit.coordinates.symbols import symbol
from hptoolkit.reporting.figures.figure import (
    BAND,
    BLUE,
    GREEN,
    LIGHT,
    ORANGE,
    VERMILION,
    Figure,
    blank,
    brief,
    plain,
)
from hptoolkit.reporting.figures.noise import Noise
from hptoolkit.reporting.figures.view import Run, StudyView
from hptoolkit.reporting.formatting import metric_label, number

# Curves in a colour of their own, and curves of the others at most.
_NAMED, _OTHERS = 3, 60


def draw(view: StudyView, noise: Noise | None) -> Figure | str:
    """The figure, or why there is none."""
    with_curves = [run for run in view.runs if len(run.curve) > 1]
    if not with_curves:
        return (
            "Learning curves need an objective that reports more than one epoch of each run "
            "(trial.report)."
        )
    sign = 1.0 if view.maximize else -1.0
    told = [run for run in with_curves if run.value is not None]
    told.sort(key=lambda run: -sign * (run.value or 0.0))
    pruned = [run for run in view.runs if run.curve and run.state == "pruned"]
    lost = [run for run in view.runs if run.curve and run.state in ("diverged", "failed")]
    figure = blank()
    groups = (
        (f"other runs ({max(len(told) - _NAMED, 0)})", told[_NAMED:], LIGHT, "solid"),
        (f"pruned ({len(pruned)})", pruned, ORANGE, "dash"),
        (f"diverged or failed ({len(lost)})", lost, VERMILION, "dot"),
    )
    for name, runs, colour, dash in groups:
        if runs:
            x, y = _joined(view, _thinned(runs))
            figure.add_scatter(
                x=x, y=y, mode="lines+markers", name=name, opacity=0.8, marker={"size": 3},
                line={"color": colour, "width": 1.2, "dash": dash},
            )  # fmt: skip
    for run, colour in zip(told[:_NAMED], (BLUE, GREEN, "#56B4E9"), strict=False):
        x, y = _joined(view, [run])
        figure.add_scatter(
            x=x[:-1], y=y[:-1], mode="lines+markers", name=_title(view, run),
            line={"color": colour, "width": 2.5}, marker={"size": 5},
        )  # fmt: skip
    if noise is not None and view.best is not None:
        best, deviation = view.best.value * view.scale, noise.deviation * view.scale
        figure.add_hrect(
            y0=brief(best - deviation), y1=brief(best + deviation), fillcolor=BAND, line_width=0,
            layer="below",
        )  # fmt: skip
    figure.update_xaxes(title_text="epoch")
    shown = _frame(view, told)
    figure.update_yaxes(title_text=metric_label(view.metric), range=shown)
    caption = _caption(pruned, lost, noise)
    if shown is not None:
        caption += " Early epochs and the worst runs may lie outside the frame."
    return Figure("learning-curves", "Learning curves", caption, figure)


def _joined(view: StudyView, runs: Sequence[Run]) -> tuple[list[int | None], list[float | None]]:
    """The curves of runs as one trace, a gap between them."""
    x: list[int | None] = []
    y: list[float | None] = []
    for run in runs:
        x += [epoch for epoch, _ in run.curve] + [None]
        y += [brief(value * view.scale) for _, value in run.curve] + [None]
    return x, y


def _thinned(runs: Sequence[Run]) -> Sequence[Run]:
    step = -(-len(runs) // _OTHERS)
    return runs[::step]


def _frame(view: StudyView, told: Sequence[Run]) -> tuple[float, float] | None:
    """From the best to what the better half had reached after a quarter of their epochs.

    The first epochs and what explodes hide the rest.
    """
    better = told[: len(told) // 2 + 1]
    values = [run.curve[(len(run.curve) - 1) // 4][1] for run in better]
    values += [value for run in better for _, value in run.curve[len(run.curve) // 4 :]]
    if not values or min(values) == max(values):
        return None
    low, high = min(values) * view.scale, max(values) * view.scale
    margin = 0.06 * (high - low)
    return brief(low - margin), brief(high + margin)


def _title(view: StudyView, run: Run) -> str:
    params = ", ".join(f"{symbol(n)} {number(v)}" for n, v in run.params.items())
    return plain(f"run {run.number}: {params}")


def _caption(pruned: Sequence[Run], lost: Sequence[Run], noise: Noise | None) -> str:
    text = (
        "Each line is a run. Look whether the order of the runs is settled early, which is what a "
        "pruner relies on, and whether the best ones still improve at the end: then more epochs "
        "bring more than finer tuning."
    )
    if pruned:
        text += " A dashed line ends where a pruner stopped the run."
    if lost:
        text += " Dotted runs diverged or failed: mostly too large a step."
    if noise is not None:
        text += f" The band is one run's standard deviation about the best ({noise.source})."
    return text
