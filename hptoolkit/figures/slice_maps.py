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
# Places of a lattice for each point in it, at most: a slanted lattice leaves corners empty.
_SPARSEST = 5
# Steps of a lattice at most, and how far a step may be off a whole number of the smallest.
_MOST_LEVELS, _UNEVEN = 60, 0.02
# Width of the two panels together, and what stands above and below them, in pixels.
_WIDTH, _AROUND = 830, 170
# The ridge's line, and those to both sides of it, in factors of the coordinate.
_LINES = (1 / 16, 1 / 4, 1.0, 4.0, 16.0)

# Decades that an axis reaches beyond its points at most, on both sides together.
_MARGIN = 0.4


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
    cuts = [_cut(view, pair) for pair in pairs(view)]
    found = [cut for cut in cuts if _is_wide(view, cut.pair, cut.points)]
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
    if _is_wide(view, pair, inside):
        rest = [run for run in lost if held(run.params)]
        return Cut(pair, tuple(inside), tuple(rest), exact=True)
    exact = len(inside) == len(shown)
    return Cut(pair, tuple(shown), tuple(lost), exact=exact)


def _is_wide(view: StudyView, pair: Pair, points: Sequence[Point]) -> bool:
    """Whether there are enough points, at three values of each parameter at least."""
    places = [{rounded(view.place(p, name)) for p in points} for name in pair.raw]
    return len(points) >= FEWEST and all(len(each) > 2 for each in places)


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
    floor, _ = colour_range(values, maximize=view.maximize)
    for column, axes in enumerate((pair.raw, pair.coordinates), 1):
        _panel(figure, view, cut, axes, column)
    scale = colours(values, metric_label(view.metric), maximize=view.maximize)
    rise = _decades([view.place(p, pair.raw[1]) for p in cut.points])
    # A step of a factor is as long upwards as sideways, so that a ridge at 45° is seen at 45°.
    height = _AROUND + _WIDTH * (rise + _MARGIN) / (sum(spans) + 2 * _MARGIN)
    height = min(max(height, 300), 560) if cut.exact else 450
    legend = {"y": -90 / (height - _AROUND + 60)}
    figure.update_layout(coloraxis=scale, height=round(height), legend=legend)
    first, second = symbol(pair.raw[0]), symbol(pair.raw[1])
    title = f"Slice over {first} and {second}"
    caption = _caption(view, cut, floor if view.maximize else max(values), noise)
    return Figure(name_of("slice", pair.name), title, caption, figure)


def _panel(figure: Any, view: StudyView, cut: Cut, axes: tuple[str, str], column: int) -> None:
    where = {"row": 1, "col": column}
    everything: list[Run | Point] = [*cut.points, *cut.without_value]
    places = [[view.place(p, name) for p in everything] for name in axes]
    values = [point.value * view.scale for point in cut.points]
    count = len(values)
    if cut.exact and _is_lattice(places[0][:count], places[1][:count]):
        _cells(figure, places[0][:count], places[1][:count], values, view, where)
        figure.update_yaxes(scaleanchor=f"x{column}", constrain="domain", **where)
        figure.update_xaxes(constrain="domain", **where)
    else:
        figure.add_scatter(
            x=[brief(v) for v in places[0][:count]], y=[brief(v) for v in places[1][:count]],
            mode="markers", showlegend=False,
            marker={
                "size": 10, "color": [brief(v) for v in values], "coloraxis": "coloraxis",
                "line": {"width": 0.5, "color": "white"},
            }, **where,
        )  # fmt: skip
    if cut.without_value:
        figure.add_scatter(
            x=[brief(v) for v in places[0][count:]], y=[brief(v) for v in places[1][count:]],
            mode="markers", name="pruned or diverged", showlegend=column == 1,
            marker={"symbol": "x-thin", "size": 9, "line": {"width": 2, "color": GREY}}, **where,
        )  # fmt: skip
    _invariants(figure, view, cut, axes, column)
    best = view.best
    assert best is not None
    figure.add_scatter(
        x=[brief(view.place(best, axes[0]))], y=[brief(view.place(best, axes[1]))],
        mode="markers", name="best", showlegend=column == 1, hoverinfo="skip",
        marker={
            "symbol": "circle-open", "size": 27, "color": VERMILION,
            "line": {"width": 3, "color": VERMILION},
        }, **where,
    )  # fmt: skip
    for update, name, found in (
        (figure.update_xaxes, axes[0], places[0]),
        (figure.update_yaxes, axes[1], places[1]),
    ):
        update(**axis(name, found), range=_padded(found, cut), **where)
    if column > 1:
        figure.update_yaxes(title_text="", **where)  # the same as on the left


def _is_lattice(xs: Sequence[float], ys: Sequence[float]) -> bool:
    """Whether the points fill enough of the columns and rows they stand in for cells to touch."""
    return len(_levels(xs)) * len(_levels(ys)) <= _SPARSEST * len(xs)


def _levels(places: Sequence[float]) -> list[float]:
    """The places in order; where all lie on steps of the smallest factor, those between them too.

    Cells reach half-way to their neighbours: a step that has no point yet keeps its room.
    """
    found = sorted({brief(place) for place in places})
    logs = [math.log(place) for place in found]
    step = min((b - a for a, b in pairwise(logs)), default=0.0)
    if not step or (logs[-1] - logs[0]) / step > _MOST_LEVELS:
        return found
    between: list[float] = []
    for (a, b), place in zip(pairwise(logs), found, strict=False):
        steps = (b - a) / step
        if abs(steps - round(steps)) > _UNEVEN:
            return found
        between += [place, *(brief(math.exp(a + k * step)) for k in range(1, round(steps)))]
    return [*between, found[-1]]


def _cells(
    figure: Any,
    xs: Sequence[float],
    ys: Sequence[float],
    values: Sequence[float],
    view: StudyView,
    where: dict[str, int],
) -> None:
    """A cell a point, with its value; the numbers of an accuracy are per cent."""
    columns, rows = _levels(xs), _levels(ys)
    known = {(brief(x), brief(y)): v for x, y, v in zip(xs, ys, values, strict=True)}
    digits = 0 if view.scale == 100.0 else 2
    figure.add_heatmap(
        x=columns, y=rows, coloraxis="coloraxis", xgap=1, ygap=1, hoverongaps=False,
        z=[[brief(v) if (v := known.get((x, y))) is not None else None for x in columns]
           for y in rows],
        texttemplate=f"%{{z:.{digits}f}}", textfont={"size": 11},
        hovertemplate="%{x}, %{y}: %{z}<extra></extra>", **where,
    )  # fmt: skip


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


def _decades(places: Sequence[float]) -> float:
    return math.log10(max(places) / min(places)) or 1.0


def _padded(places: Sequence[float], cut: Cut) -> list[float] | None:
    """The axis' range as logarithms to base 10, half a cell wider than the points."""
    logs = sorted({math.log10(v) for v in places if v > 0})
    if len(logs) < 2:
        return None
    wide = 0.07 * (logs[-1] - logs[0])
    pad = min(0.55 * (logs[1] - logs[0]), _MARGIN / 2) if cut.exact else wide
    return [round(logs[0] - pad, 3), round(logs[-1] + pad, 3)]


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
        "Look for a ridge of good results. If the theory holds it runs, over raw parameters "
        f"(left), at {slanted}, along the lines of constant {symbol(pair.coordinates[0])} (orange "
        "through the best, ringed), and stands upright over coordinates (right): there one axis "
        "decides and the other hardly matters. Colours are floored at "
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
