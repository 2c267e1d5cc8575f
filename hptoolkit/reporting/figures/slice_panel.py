"""One panel of a slice: cells or dots, the lines of constant coordinate, and the best."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from hptoolkit.coordinates.symbols import symbol
from hptoolkit.reporting.figures.axes_pair import Pair
from hptoolkit.reporting.figures.figure import BLACK, GREY, VERMILION, axis, brief
from hptoolkit.reporting.figures.view import Point, Run, StudyView

# The ridge's line, and those to both sides of it, in factors of the coordinate.
_LINES = (1 / 16, 1 / 4, 1.0, 4.0, 16.0)
# Places of a lattice for each point in it, at most: a slanted lattice leaves corners empty.
_SPARSEST = 5
# Steps of a lattice at most, and how far a step may be off a whole number of the smallest.
_MOST_LEVELS, _UNEVEN = 60, 0.02
# Decades that an axis reaches beyond its points at most, on both sides together.
MARGIN = 0.4


@dataclass(frozen=True)
class Cut:
    """The points of a slice.

    `best`: the configuration that the slice goes through. `exact`: whether nothing but the two
    parameters varies; if not, it is a projection.
    """

    pair: Pair
    best: Point
    points: tuple[Point, ...]
    without_value: tuple[Run, ...]
    exact: bool


def draw(figure: Any, view: StudyView, cut: Cut, axes: tuple[str, str], column: int) -> None:
    """Draw the points over two axes, in a column of the figure."""
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
    figure.add_scatter(
        x=[brief(view.place(cut.best, axes[0]))], y=[brief(view.place(cut.best, axes[1]))],
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
        texttemplate=f"%{{z:.{digits}f}}", textfont={"size": 10},
        hovertemplate="%{x}, %{y}: %{z}<extra></extra>", **where,
    )  # fmt: skip


def _invariants(figure: Any, view: StudyView, cut: Cut, axes: tuple[str, str], column: int) -> None:
    """Lines along which the coordinate is constant: slanted over raw axes, upright beside them."""
    best, pair = cut.best, cut.pair
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


def _padded(places: Sequence[float], cut: Cut) -> list[float] | None:
    """The axis' range as logarithms to base 10, half a cell wider than the points."""
    logs = sorted({math.log10(v) for v in places if v > 0})
    if len(logs) < 2:
        return None
    wide = 0.07 * (logs[-1] - logs[0])
    pad = min(0.55 * (logs[1] - logs[0]), MARGIN / 2) if cut.exact else wide
    return [round(logs[0] - pad, 3), round(logs[-1] + pad, 3)]
