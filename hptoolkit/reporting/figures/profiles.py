"""Profiles: the result along each axis of a coordinate search, through the best configuration."""

from __future__ import annotations

from hptoolkit.coordinates.symbols import symbol
from hptoolkit.reporting.figures.figure import (
    BAND,
    BLUE,
    VERMILION,
    Figure,
    axis,
    blank,
    brief,
    frame,
    outside,
)
from hptoolkit.reporting.figures.noise import Noise
from hptoolkit.reporting.figures.view import Point, StudyView
from hptoolkit.reporting.formatting import metric_label
from hptoolkit.search_space.axis import rounded

# Points that make a profile, and panels in a figure at most.
_FEWEST, _PANELS = 3, 4


def draw(view: StudyView, noise: Noise | None) -> Figure | str:
    """The figure, or why there is none."""
    found = {name: points for name in _axes(view) if len(points := profile(view, name)) >= _FEWEST}
    names = list(found)[:_PANELS]
    if not names:
        return f"A profile needs {_FEWEST} finished runs along one axis through the best."
    figure = blank(len(names), shared_yaxes=True)
    values = [point.value * view.scale for name in names for point in found[name]]
    for column, name in enumerate(names, 1):
        places = [view.place(point, name) for point in found[name]]
        figure.add_scatter(
            x=[brief(place) for place in places],
            y=[brief(point.value * view.scale) for point in found[name]],
            mode="lines+markers", line={"color": BLUE, "width": 2}, marker={"size": 7},
            text=[f"run {point.runs[0].number}" for point in found[name]],
            hovertemplate="%{text}: %{y}<extra></extra>", showlegend=False, row=1, col=column,
        )  # fmt: skip
        best = view.best
        if best is None:
            continue
        figure.add_scatter(
            x=[brief(view.place(best, name))], y=[brief(best.value * view.scale)], mode="markers",
            name="best", showlegend=column == 1, hoverinfo="skip",
            marker={"symbol": "diamond", "size": 12, "color": VERMILION}, row=1, col=column,
        )  # fmt: skip
        if noise is not None:
            deviation, height = noise.deviation * view.scale, best.value * view.scale
            figure.add_hrect(
                y0=brief(height - deviation), y1=brief(height + deviation), fillcolor=BAND,
                line_width=0, layer="below", row=1, col=column,
            )  # fmt: skip
        figure.update_xaxes(**axis(name, places), row=1, col=column)
    shown = frame(values, maximize=view.maximize)
    figure.update_yaxes(range=shown)
    figure.update_yaxes(title_text=metric_label(view.metric), col=1)
    caption = _caption(view, names, noise) + outside(values, shown)
    return Figure("profiles", "Along each axis", caption, figure)


def searched_along_axes(view: StudyView) -> bool:
    """Whether the search went along one axis after the other, so that there are profiles."""
    return any(step.along for step in view.steps)


def profile(view: StudyView, name: str) -> list[Point]:
    """The configurations that differ from the best along one axis alone, in its order."""
    best = view.best
    if best is None:
        return []
    others = [other for other in _axes(view) if other != name]
    named = {*view.coordinates.names}
    rest = [param for param in view.space if param not in named and param not in (name, *others)]
    found = [
        point
        for point in view.points
        if all(_alike(view.place(point, other), view.place(best, other)) for other in others)
        and all(point.params[param] == best.params[param] for param in rest)
    ]
    return sorted(found, key=lambda point: view.place(point, name))


def _axes(view: StudyView) -> list[str]:
    """The axes searched: the coordinates, and the logarithmic parameters that none names."""
    named = set(view.coordinates.names)
    own = [axis for axis, factor in view.factors_by_axis.items() if factor.name not in named]
    return [*view.coordinates.axes, *own]


def _alike(one: float, other: float) -> bool:
    """Equal but for what rounding raw values leaves."""
    return rounded(one) == rounded(other) or abs(one / other - 1.0) < 1e-6


def _caption(view: StudyView, names: list[str], noise: Noise | None) -> str:
    listed = ", ".join(symbol(name) for name in names)
    text = (
        f"Each panel follows one axis ({listed}) through the best configuration, the other axes "
        "held. A peak says where the best lies and how exactly; a flat line that the axis hardly "
        "matters there."
    )
    if noise is not None:
        text += f" The band is one run's standard deviation about the best ({noise.source})."
    return text
