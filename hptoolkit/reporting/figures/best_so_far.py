"""The best value so far, against runs and against epochs spent."""

from __future__ import annotations

from itertools import accumulate, pairwise
from typing import Any

from hptoolkit.reporting.figures.figure import (
    BAND,
    BLUE,
    GREY,
    ORANGE,
    Figure,
    blank,
    brief,
    frame,
    outside,
)
from hptoolkit.reporting.figures.noise import Noise
from hptoolkit.reporting.figures.view import Run, StudyView
from hptoolkit.reporting.formatting import metric, metric_label
from hptoolkit.samplers.incumbent import Standings


def draw(view: StudyView, noise: Noise | None) -> Figure | str:
    """The figure, or why there is none."""
    ended = [run for run in view.runs if run.state != "running"]
    told = [run for run in ended if run.value is not None]
    if not told:
        return "The best value so far needs a finished run."
    spent = list(accumulate(run.epochs for run in ended))
    by_epochs = spent[-1] > 0
    figure = blank(2 if by_epochs else 1, shared_yaxes=True)
    places: list[tuple[str, list[int]]] = [("runs", list(range(1, len(ended) + 1)))]
    if by_epochs:
        places.append(("epochs spent, over all runs", spent))
    shown = {run.number for run in view.to_draw()}
    for column, (title, x) in enumerate(places, 1):
        _panel(figure, view, ended, x, shown, noise, column)
        figure.update_xaxes(title_text=title, rangemode="tozero", row=1, col=column)
    values = [run.value * view.scale for run in told if run.value is not None]
    shown_range = frame(values, maximize=view.maximize)
    figure.update_yaxes(range=shown_range)
    figure.update_yaxes(title_text=metric_label(view.metric), col=1)
    caption = _caption(view, ended, told, noise) + outside(values, shown_range)
    return Figure("best-so-far", "Best so far", caption, figure)


def best_after(runs: list[Run], *, maximize: bool) -> list[float | None]:
    """The best configuration's mean after each run; None before the first."""
    standings = Standings(maximize=maximize)
    best: list[float | None] = []
    for run in runs:
        standings.add(run.number, run.params, run.value)
        found = standings.best()
        best.append(found.value if found else None)
    return best


def _panel(
    figure: Any,
    view: StudyView,
    runs: list[Run],
    x: list[int],
    shown: set[int],
    noise: Noise | None,
    column: int,
) -> None:
    best = best_after(runs, maximize=view.maximize)
    changes = [
        i for i, value in enumerate(best) if value is not None and (i == 0 or value != best[i - 1])
    ]
    ends = [*changes, len(best) - 1]
    steps = [(x[i], (best[i] or 0.0) * view.scale) for i in ends]
    where, first = {"row": 1, "col": column}, column == 1
    if noise is not None:
        deviation = noise.deviation * view.scale
        xs, lower, upper = [], [], []
        for (at, value), (until, _) in pairwise(steps):
            xs += [at, until]
            lower += [brief(value - deviation)] * 2
            upper += [brief(value + deviation)] * 2
        figure.add_scatter(
            x=[*xs, *reversed(xs)], y=[*upper, *reversed(lower)], fill="toself", mode="lines",
            line={"width": 0}, fillcolor=BAND, name="one run's standard deviation",
            hoverinfo="skip", showlegend=first, **where,
        )  # fmt: skip
    for name, states, symbol, colour in (
        ("run", ("complete",), "circle", GREY),
        ("pruned or diverged", ("pruned", "diverged", "failed"), "x-thin", ORANGE),
    ):
        chosen = [
            (x[i], height, run.number)
            for i, run in enumerate(runs)
            if run.state in states
            and run.number in shown
            and (height := run.value if run.value is not None else _last(run)) is not None
        ]
        if chosen:
            figure.add_scatter(
                x=[at for at, _, _ in chosen],
                y=[brief(value * view.scale) for _, value, _ in chosen],
                text=[f"run {number}" for _, _, number in chosen], mode="markers", name=name,
                marker={
                    "symbol": symbol, "size": 6, "color": colour,
                    "line": {"width": 1.5 if symbol == "x-thin" else 0, "color": colour},
                },
                hovertemplate="%{text}: %{y}<extra></extra>", showlegend=first, **where,
            )  # fmt: skip
    figure.add_scatter(
        x=[at for at, _ in steps], y=[brief(value) for _, value in steps], mode="lines",
        name="best so far", line={"shape": "hv", "color": BLUE, "width": 2.5},
        showlegend=first, **where,
    )  # fmt: skip


def _last(run: Run) -> float | None:
    return run.curve[-1][1] if run.curve else None


def _caption(view: StudyView, ended: list[Run], told: list[Run], noise: Noise | None) -> str:
    best = best_after(ended, maximize=view.maximize)
    last = best[-1]
    found = best.index(last) + 1
    epochs = sum(run.epochs for run in ended)
    text = (
        f"The best run was number {ended[found - 1].number}, the {_ordinal(found)} of {len(ended)}"
    )
    text += f" ({metric(view.metric, last or 0.0)})" + (
        f"; {epochs} epochs in all." if epochs else "."
    )
    text += " Where the line is flat for long, the search has come to its end."
    if noise is not None:
        level = next(
            i
            for i, v in enumerate(best)
            if v is not None and abs(v - (last or 0.0)) <= noise.difference(1)
        )
        text += (
            f" From the {_ordinal(level + 1)} run on the best is within the noise of its last "
            f"value. The band is one run's standard deviation ({noise.source}); the best of many "
            "runs is also their luckiest, so expect a little less from it."
        )
    return text


def _ordinal(n: int) -> str:
    ending = "th" if 10 <= n % 100 <= 20 else {1: "st", 2: "nd", 3: "rd"}.get(n % 10, "th")
    return f"{n}{ending}"
