"""Two-dimensional slices: results over λ and another parameter, and over coordinates beside it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from hptoolkit.coordinates.symbols import symbol
from hptoolkit.errors import command
from hptoolkit.reporting.figures import slice_panel
from hptoolkit.reporting.figures.axes_pair import Pair, pairs
from hptoolkit.reporting.figures.figure import (
    Figure,
    blank,
    colour_range,
    colours,
    name_of,
)
from hptoolkit.reporting.figures.noise import Noise
from hptoolkit.reporting.figures.profiles import searched_along_axes
from hptoolkit.reporting.figures.slice_panel import MARGIN, Cut
from hptoolkit.reporting.figures.view import Point, StudyView
from hptoolkit.reporting.formatting import metric_label, number
from hptoolkit.search_space.axis import rounded

# Points over both parameters that make a slice.
FEWEST = 9
# Width of the two panels together, and what stands above and below them, in pixels.
_WIDTH, _AROUND = 830, 170


def draw(view: StudyView, noise: Noise | None) -> list[Figure] | str:
    """A figure for each parameter that trades with λ, or why there is none."""
    best = view.best
    if best is None:
        return "A slice needs a finished run."
    cuts = [_cut(view, pair, best) for pair in pairs(view)]
    found = [cut for cut in cuts if _is_wide(view, cut.pair, cut.points)]
    if searched_along_axes(view):
        # Line searches leave lines of points, of which a map would be slivers: see `profiles`.
        found = [cut for cut in found if cut.exact and _is_filled(view, cut)]
    if view.slice_of is not None:
        found = [cut for cut in found if cut.pair.name in view.slice_of]
    if not found:
        return (
            f"A slice needs {FEWEST} runs that vary λ and a parameter of its coordinate: "
            f"{command('report', view.name, '--slice', 'lr,momentum')} runs one."
        )
    return [_figure(view, cut, noise) for cut in found]


def _cut(view: StudyView, pair: Pair, best: Point) -> Cut:
    """The points that differ from the best in the two parameters only; all, if those are few."""
    both = {pair.name, view.factors_by_axis[pair.raw[0]].name}

    def held(params: Any) -> bool:
        others = [name for name in view.space if name not in both]
        return all(_same(params[name], best.params[name]) for name in others)

    drawn = {run.number for run in view.to_draw()}
    shown = [point for point in view.points if any(r.number in drawn for r in point.runs)]
    lost = [run for run in view.to_draw() if run.state in ("pruned", "diverged")]
    inside = [point for point in shown if held(point.params)]
    if _is_wide(view, pair, inside):
        rest = [run for run in lost if held(run.params)]
        return Cut(pair, best, tuple(inside), tuple(rest), exact=True)
    exact = len(inside) == len(shown)
    return Cut(pair, best, tuple(shown), tuple(lost), exact=exact)


def _is_wide(view: StudyView, pair: Pair, points: Sequence[Point]) -> bool:
    """Whether there are enough points, at three values of each parameter at least."""
    places = [{rounded(view.place(p, name)) for p in points} for name in pair.raw]
    return len(points) >= FEWEST and all(len(each) > 2 for each in places)


def _is_filled(view: StudyView, cut: Cut) -> bool:
    """Whether the points fill at least half of the columns and rows in which they stand."""
    places = [{rounded(view.place(p, name)) for p in cut.points} for name in cut.pair.raw]
    return 2 * len(cut.points) >= len(places[0]) * len(places[1])


def _same(one: Any, other: Any) -> bool:
    return rounded(one) == rounded(other) if isinstance(one, float) else bool(one == other)


def _figure(view: StudyView, cut: Cut, noise: Noise | None) -> Figure:
    pair = cut.pair
    spans = [_decades([view.place(p, name) for p in cut.points])
             for name in (pair.raw[0], pair.coordinates[0])]  # fmt: skip
    wide = min(max(spans[1] / sum(spans), 0.35), 0.65)
    titles = ("over raw parameters", "over coordinates")
    figure = blank(2, 1, titles, column_widths=[1 - wide, wide])
    values = [point.value * view.scale for point in cut.points]
    low, high = colour_range(values, maximize=view.maximize)
    for column, axes in enumerate((pair.raw, pair.coordinates), 1):
        slice_panel.draw(figure, view, cut, axes, column)
    scale = colours(values, metric_label(view.metric), maximize=view.maximize)
    rise = _decades([view.place(p, pair.raw[1]) for p in cut.points])
    # A step of a factor is as long upwards as sideways, so that a ridge at 45° is seen at 45°.
    height = _AROUND + _WIDTH * (rise + MARGIN) / (sum(spans) + 2 * MARGIN)
    height = min(max(height, 300), 560) if cut.exact else 450
    legend = {"y": -90 / (height - _AROUND + 60)}
    figure.update_layout(coloraxis=scale, height=round(height), legend=legend)
    first, second = symbol(pair.raw[0]), symbol(pair.raw[1])
    title = f"Slice over {first} and {second}"
    one_scale = figure.layout.yaxis.scaleanchor is not None
    caption = _caption(view, cut, low if view.maximize else high, noise, one_scale=one_scale)
    return Figure(name_of("slice", pair.name), title, caption, figure)


def _decades(places: Sequence[float]) -> float:
    return math.log10(max(places) / min(places)) or 1.0


def _caption(
    view: StudyView, cut: Cut, worst: float, noise: Noise | None, *, one_scale: bool
) -> str:
    pair = cut.pair
    unit = " %" if view.scale == 100.0 else ""
    others = {
        name: value
        for name, value in cut.best.params.items()
        if name not in (pair.name, view.factors_by_axis[pair.raw[0]].name)
    }
    held = ", ".join(f"{symbol(name)} = {number(value)}" for name, value in others.items())
    slanted = "45°" if abs(pair.slope) == 1 and one_scale else "a slant"
    text = (
        "Look for a ridge of good results. If the theory holds it runs, over raw parameters "
        f"(left), at {slanted}, along the lines of constant {symbol(pair.coordinates[0])} (orange "
        "through the best, ringed), and stands upright over coordinates (right): there one axis "
        "decides and the other hardly matters. What is worse than "
        f"{worst:.3g}{unit} has one colour, so that the ridge shows."
    )
    if held and cut.exact:
        text += f" Held: {held}."
    if not cut.exact:
        text += " All runs are shown, projected: the other parameters vary between them."
    if noise is not None:
        deviation = f"{noise.deviation * view.scale:.2g}{unit}"
        text += f" One run's standard deviation: {deviation} ({noise.source})."
    return text
