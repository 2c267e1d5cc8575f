"""The collapse: every configuration's result against one axis, coloured by another."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hptoolkit.coordinates.symbols import symbol
from hptoolkit.reporting.figures.axes_pair import Pair, pairs
from hptoolkit.reporting.figures.exponents import Learned
from hptoolkit.reporting.figures.figure import BAND, Figure, axis, blank, brief, frame, outside
from hptoolkit.reporting.figures.noise import Noise
from hptoolkit.reporting.figures.variance import FEWEST, explained
from hptoolkit.reporting.figures.view import StudyView
from hptoolkit.reporting.formatting import label, metric_label
from hptoolkit.search_space.region import TOLERANCE


@dataclass(frozen=True)
class Panel:
    """An axis: its title, each configuration's place on it, and the share that it explains."""

    title: str
    places: list[float]
    share: float


def draw(view: StudyView, noise: Noise | None, learned: Learned | str) -> Figure | str:
    """The figure, or why there is none."""
    found = pairs(view)
    if not found:
        return (
            "The collapse needs coordinates over two parameters that the runs vary, such as "
            "λ/(1−ρ)."
        )
    if len(view.points) < FEWEST:
        return f"The collapse needs {FEWEST} finished configurations, here are {len(view.points)}."
    pair, shares = found[0], shares_explained(view)
    panels = [
        Panel(label(name), [view.place(point, name) for point in view.points], shares[name])
        for name in (pair.raw[0], pair.coordinates[0])
    ]
    if isinstance(learned, Learned):
        places = [learned.place(view, point) for point in view.points]
        panels.append(Panel(learned.coordinate(), places, share(view, places)))
    titles = [f"explains {_percent(panel.share)}" for panel in panels]
    figure = blank(len(panels), 1, titles, shared_yaxes=True)
    for column, panel in enumerate(panels, 1):
        _draw(figure, view, panel, pair.raw[1], column)
        if noise is not None and view.best is not None:
            best, deviation = view.best.value * view.scale, noise.deviation * view.scale
            figure.add_hrect(
                y0=brief(best - deviation), y1=brief(best + deviation), fillcolor=BAND,
                line_width=0, layer="below", row=1, col=column,
            )  # fmt: skip
    heights = [point.value * view.scale for point in view.points]
    figure.update_yaxes(range=frame(heights, maximize=view.maximize))
    figure.update_yaxes(title_text=metric_label(view.metric), col=1)
    figure.update_layout(coloraxis=_colours(view, pair), showlegend=False)
    caption = _caption(view, pair, shares, noise, fitted=isinstance(learned, Learned))
    return Figure("collapse", "One curve or many", caption, figure)


def shares_explained(view: StudyView) -> dict[str, float]:
    """The share of variance that each axis explains by itself: raw axes, then coordinates."""
    shares = {}
    raw = [str(factor) for factor in view.coordinates.factors]
    for name in dict.fromkeys((*raw, *view.coordinates.axes)):
        if view.varies(name):
            shares[name] = share(view, [view.place(point, name) for point in view.points])
    return shares


def share(view: StudyView, places: Sequence[float]) -> float:
    """The share of variance that a logarithmic axis explains, given the points' places on it."""
    values = np.array([point.value for point in view.points])
    return explained(np.log(np.array(places)), values)


def shares_by_side(view: StudyView, pair: Pair) -> list[tuple[float, float]]:
    """The shares of the coordinate and of the raw parameter up to the best, and from it on.

    Too small a step and too large a one fail for different reasons: the one has not trained enough,
    the other is unstable. What holds on one side need not hold on the other.
    """
    if view.best is None:
        return []
    axes = (pair.coordinates[0], pair.raw[0])
    places = np.log([[view.place(point, name) for name in axes] for point in view.points])
    values = np.array([point.value for point in view.points])
    middle = math.log(view.place(view.best, axes[0]))
    sides = (places[:, 0] <= middle + TOLERANCE, places[:, 0] >= middle - TOLERANCE)
    found = [
        (explained(places[side, 0], values[side]), explained(places[side, 1], values[side]))
        for side in sides
    ]
    return [] if any(math.isnan(each) for side in found for each in side) else found


def sentence_by_side(view: StudyView, pair: Pair) -> str:
    """The same in words; empty where a side has too few points."""
    sides = shares_by_side(view, pair)
    if not sides:
        return ""
    (below, raw_below), (above, raw_above) = sides
    return (
        f"Up to the best's {symbol(pair.coordinates[0])}, where steps are too small, it explains "
        f"{_percent(below)} and {symbol(pair.raw[0])} {_percent(raw_below)}; from there on, where "
        f"they are too large, {_percent(above)} and {_percent(raw_above)}."
    )


def _draw(figure: Any, view: StudyView, panel: Panel, partner: str, column: int) -> None:
    drawn = {run.number for run in view.to_draw()}
    shown = [
        (place, point.value * view.scale, view.place(point, partner))
        for place, point in zip(panel.places, view.points, strict=True)
        if any(run.number in drawn for run in point.runs)
    ]
    figure.add_scatter(
        x=[brief(x) for x, _, _ in shown], y=[brief(y) for _, y, _ in shown], mode="markers",
        marker={
            "size": 8, "color": [brief(math.log2(other)) for _, _, other in shown],
            "coloraxis": "coloraxis", "line": {"width": 0.5, "color": "white"},
        },
        text=[f"{other:.3g}" for _, _, other in shown],
        hovertemplate=f"%{{x}}, {symbol(partner)} %{{text}}: %{{y}}<extra></extra>",
        row=1, col=column,
    )  # fmt: skip
    figure.update_xaxes(**axis(panel.title, panel.places), row=1, col=column)


def _colours(view: StudyView, pair: Pair) -> dict[str, Any]:
    """The partner's colours, by its logarithm to base 2, with its values at the ticks."""
    logs = sorted({round(math.log2(view.place(p, pair.raw[1])), 3) for p in view.points})
    ticks = logs if len(logs) <= 8 else np.linspace(logs[0], logs[-1], 6).tolist()
    return {
        "colorscale": "Cividis",
        "colorbar": {
            "title": {"text": label(pair.raw[1]), "side": "right"}, "thickness": 14,
            "tickvals": [brief(t) for t in ticks], "ticktext": [f"{2**t:.2g}" for t in ticks],
        },
    }  # fmt: skip


def _percent(share: float) -> str:
    return "nothing that can be told" if math.isnan(share) else f"{100 * share:.0f} %"


def _caption(
    view: StudyView, pair: Pair, shares: dict[str, float], noise: Noise | None, *, fitted: bool
) -> str:
    listed = ", ".join(f"{symbol(name)} {_percent(each)}" for name, each in shares.items())
    text = (
        f"Each dot is a configuration; colour is {symbol(pair.raw[1])}. If "
        f"{symbol(pair.coordinates[0])} is the right coordinate, the dots fall on one curve over "
        "it, whatever their colour, while over the raw parameter (left) each colour has a curve "
        f"of its own. Share of the variance that one axis explains by itself: {listed} "
        f"(R² of a local linear regression, each of the {len(view.points)} configurations "
        "predicted from the others; pruned and diverged runs are left out). "
        f"{sentence_by_side(view, pair)}"
    ).rstrip()
    heights = [point.value * view.scale for point in view.points]
    text += outside(heights, frame(heights, maximize=view.maximize))
    if fitted:
        text += (
            " The last panel has the exponents that the GP fitted to these very runs, so its share "
            "is a little optimistic."
        )
    if noise is not None:
        text += f" The band is one run's standard deviation about the best ({noise.source})."
    return text
