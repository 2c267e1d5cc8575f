"""Two-dimensional slices: results over λ and another parameter, and over coordinates beside it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from hptoolkit.axes import rounded
from hptoolkit.figures.axes_pair import Pair, pairs
from hptoolkit.figures.figure import (
    BLACK,
    GREY,
    VERMILION,
    Figure,
    axis,
    blank,
    brief,
    colour_range,
    colours,
    name_of,
)
from hptoolkit.figures.noise import Noise
from hptoolkit.figures.view import Point, Run, StudyView
from hptoolkit.notation import metric_label, number, symbol

# Points over both parameters that make a slice.
FEWEST = 9
# Width of a panel's data area, and the largest cell, in pixels.
_PANEL, _LARGEST = 400, 34
# The ridge's line, and those to both sides of it, in factors of the coordinate.
_LINES = (1 / 16, 1 / 4, 1.0, 4.0, 16.0)


@dataclass(frozen=True)
class Cut:
    """The points of a slice.

    `exact`: whether nothing but the two parameters varies; if not, it is a projection.
    """

    pair: Pair
    points: tuple[Point, ...]
    without_value: tuple[Run, ...]
    exact: bool


def draw(view: StudyView, noise: Noise | None) -> list[Figure] | str:
    """A figure for each parameter that trades with λ, or why there is none."""
    if view.best is None:
        return "A slice needs a finished run."
    found = [cut for pair in pairs(view) if len((cut := _cut(view, pair)).points) >= FEWEST]
    if view.slice_of is not None:
        found = [cut for cut in found if cut.pair.name in view.slice_of]
    if not found:
        return (
            f"A slice needs {FEWEST} runs that vary λ and a parameter of its coordinate: "
            "python -m hptoolkit.report STUDY --slice lr,momentum runs one."
        )
    return [_figure(view, cut, noise) for cut in found]


def _cut(view: StudyView, pair: Pair) -> Cut:
    """The points that differ from the best in the two parameters only; all, if those are few."""
    best = view.best
    assert best is not None
    both = {pair.name, view.factors_by_axis[pair.raw[0]].name}

    def held(params: Any) -> bool:
        others = [name for name in view.space if name not in both]
        return all(_same(params[name], best.params[name]) for name in others)

    drawn = {run.number for run in view.to_draw()}
    shown = [point for point in view.points if any(r.number in drawn for r in point.runs)]
    lost = [run for run in view.to_draw() if run.state in ("pruned", "diverged")]
    inside = [point for point in shown if held(point.params)]
    wide = all(len({rounded(view.place(p, a)) for p in inside}) > 2 for a in pair.raw)
    if wide and len(inside) >= FEWEST:
        rest = [run for run in lost if held(run.params)]
        return Cut(pair, tuple(inside), tuple(rest), exact=True)
    exact = len(inside) == len(shown)
    return Cut(pair, tuple(shown), tuple(lost), exact=exact)


def _same(one: Any, other: Any) -> bool:
    return rounded(one) == rounded(other) if isinstance(one, float) else bool(one == other)


def _figure(view: StudyView, cut: Cut, noise: Noise | None) -> Figure:
    pair = cut.pair
    figure = blank(2, 1, ("over raw parameters", "over coordinates"))
    values = [point.value * view.scale for point in cut.points]
    floor, _ = colour_range(values, maximize=view.maximize)
    for column, axes in enumerate((pair.raw, pair.coordinates), 1):
        _panel(figure, view, cut, axes, column)
    scale = colours(values, metric_label(view.metric), maximize=view.maximize)
    figure.update_layout(coloraxis=scale, height=480, legend={"y": -0.2})
    first, second = symbol(pair.raw[0]), symbol(pair.raw[1])
    title = f"Slice over {first} and {second}"
    caption = _caption(view, cut, floor if view.maximize else max(values), noise)
    return Figure(name_of("slice", pair.name), title, caption, figure)


def _panel(figure: Any, view: StudyView, cut: Cut, axes: tuple[str, str], column: int) -> None:
    where = {"row": 1, "col": column}
    places = [[view.place(p, name) for p in (*cut.points, *cut.without_value)] for name in axes]
    size = min(_cell(places[0], _PANEL), _cell(places[1], 330))
    values = [point.value * view.scale for point in cut.points]
    best = max(values) if view.maximize else min(values)
    digits = 0 if view.scale == 100.0 else 2
    figure.add_scatter(
        x=[brief(v) for v in places[0][: len(values)]],
        y=[brief(v) for v in places[1][: len(values)]],
        mode="markers+text" if size >= 17 and cut.exact else "markers",
        marker={
            "symbol": "square", "size": size, "color": [brief(v) for v in values],
            "coloraxis": "coloraxis",
            "line": {
                "width": [3 if v == best else 0 for v in values], "color": VERMILION,
            },
        },
        text=[f"{value:.{digits}f}" for value in values],
        textfont={
            "size": 11, "color": [_ink(v, values, maximize=view.maximize) for v in values],
        },
        hovertemplate=(
            f"{symbol(axes[0])} %{{x}}, {symbol(axes[1])} %{{y}}: %{{text}}<extra></extra>"
        ),
        showlegend=False, **where,
    )  # fmt: skip
    if cut.without_value:
        figure.add_scatter(
            x=[brief(v) for v in places[0][len(values) :]],
            y=[brief(v) for v in places[1][len(values) :]],
            mode="markers", name="pruned or diverged", showlegend=column == 1,
            marker={"symbol": "x-thin", "size": 9, "line": {"width": 2, "color": GREY}}, **where,
        )  # fmt: skip
    _invariants(figure, view, cut, axes, column)
    for update, name, found in (
        (figure.update_xaxes, axes[0], places[0]),
        (figure.update_yaxes, axes[1], places[1]),
    ):
        update(**axis(name, found), range=_padded(found), **where)


def _invariants(figure: Any, view: StudyView, cut: Cut, axes: tuple[str, str], column: int) -> None:
    """Lines along which the coordinate is constant: slanted over raw axes, upright beside them."""
    best, pair = view.best, cut.pair
    assert best is not None
    xs, ys = ([view.place(p, name) for p in cut.points] for name in axes)
    low, high = math.log(min(ys)), math.log(max(ys))
    centre = math.log(view.place(best, axes[0]))
    # Over raw axes the line through the best one is log λ = const − slope · log f.
    slope = pair.slope if axes == pair.raw else 0.0
    offset = centre + slope * math.log(view.place(best, axes[1]))
    for factor in _LINES:
        ends = [(offset + math.log(factor) - slope * y, y) for y in (low, high)]
        line = _clipped(ends, math.log(min(xs)), math.log(max(xs)))
        if line is None:
            continue
        name = f"{symbol(pair.coordinates[0])} constant"
        figure.add_scatter(
            x=[brief(math.exp(x)) for x, _ in line], y=[brief(math.exp(y)) for _, y in line],
            mode="lines", hoverinfo="skip", name=name, legendgroup="invariant",
            line={
                "color": VERMILION if factor == 1.0 else BLACK,
                "width": 2 if factor == 1.0 else 1, "dash": "solid" if factor == 1.0 else "dot",
            },
            showlegend=column == 1 and factor == 1.0, row=1, col=column,
        )  # fmt: skip


def _clipped(
    ends: Sequence[tuple[float, float]], low: float, high: float
) -> list[tuple[float, float]] | None:
    """The stretch of a line between two points with x from `low` to `high`, if there is one."""
    (x0, y0), (x1, y1) = ends
    if x0 == x1:
        return list(ends) if low <= x0 <= high else None
    stretch = []
    for x, y in ends:
        inside = min(max(x, low), high)
        stretch.append((inside, y0 + (y1 - y0) * (inside - x0) / (x1 - x0) if inside != x else y))
    return stretch if stretch[0] != stretch[1] else None


def _cell(places: Sequence[float], width: int) -> int:
    """The width of a lattice's cell on a panel, in pixels; a small dot's where it is none."""
    logs = sorted({round(math.log(v), 6) for v in places if v > 0})
    gaps = [b - a for a, b in pairwise(logs)]
    if not gaps:
        return _LARGEST
    cells = (logs[-1] - logs[0]) / min(gaps) + 1
    return int(min(max(0.92 * width / cells, 8), _LARGEST))


def _padded(places: Sequence[float]) -> list[float] | None:
    """The axis' range as logarithms to base 10, half a cell wider than the points."""
    logs = sorted({math.log10(v) for v in places if v > 0})
    if len(logs) < 2:
        return None
    pad = max((logs[-1] - logs[0]) * 0.06, 0.1)
    return [round(logs[0] - pad, 3), round(logs[-1] + pad, 3)]


def _ink(value: float, values: Sequence[float], *, maximize: bool) -> str:
    """Dark on light cells, light on dark ones."""
    low, high = colour_range(values, maximize=maximize)
    share = (value - low) / (high - low) if high > low else 1.0
    share = share if maximize else 1.0 - share
    return BLACK if share > 0.55 else "white"


def _caption(view: StudyView, cut: Cut, floor: float, noise: Noise | None) -> str:
    pair = cut.pair
    unit = " %" if view.scale == 100.0 else ""
    best = view.best
    assert best is not None
    others = {
        name: value
        for name, value in best.params.items()
        if name not in (pair.name, view.factors_by_axis[pair.raw[0]].name)
    }
    held = ", ".join(f"{symbol(name)} = {number(value)}" for name, value in others.items())
    slanted = "45°" if abs(pair.slope) == 1 else "a slant"
    text = (
        f"The best results lie on a ridge. Over raw parameters (left) look for it at {slanted}, "
        f"along the lines of constant {symbol(pair.coordinates[0])} (orange through the best, "
        "framed); over coordinates (right) the same points stand upright along them, so that one "
        "axis decides and the other hardly matters. Colours are floored at "
        f"{floor:.3g}{unit}, so that the ridge shows."
    )
    if held and cut.exact:
        text += f" Held: {held}."
    if not cut.exact:
        text += " All runs are shown, projected: the other parameters vary between them."
    if noise is not None:
        deviation = f"{noise.deviation * view.scale:.2g}{unit}"
        text += f" One run's standard deviation: {deviation} ({noise.source})."
    return text
