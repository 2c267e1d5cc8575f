"""The boundary check: does the best lie near an end of what was searched?"""

from __future__ import annotations

import math
from dataclasses import dataclass

from optuna.distributions import CategoricalDistribution, IntDistribution

from hptoolkit.coordinates.symbols import symbol
from hptoolkit.reporting.figures.figure import GREY, LIGHT, VERMILION, Figure, blank, brief, plain
from hptoolkit.reporting.figures.view import StudyView
from hptoolkit.reporting.formatting import number

# Near an end: within this factor of it on a logarithmic axis, within this share on a linear one.
NEAR_FACTOR, NEAR_SHARE = 2.0, 0.05
# By what a logarithmic range is widened in what we advise.
_WIDER = 10.0


@dataclass(frozen=True)
class Range:
    """A parameter's range and where the best lies in it.

    Attributes:
        name: The raw parameter; `axis`: what stands on its axis, such as `1-momentum`.
        low, high: Ends of the axis.
        log: Whether it is logarithmic.
        best: The best configuration's place.
    """

    name: str
    axis: str
    low: float
    high: float
    log: bool
    best: float

    def share(self, value: float) -> float:
        """A place from 0 (the low end) to 1."""
        if self.high == self.low:
            return 0.5
        if self.log:
            return math.log(value / self.low) / math.log(self.high / self.low)
        return (value - self.low) / (self.high - self.low)

    @property
    def near(self) -> str | None:
        """The end that the best is near to: "low", "high" or None."""
        if self.high == self.low:
            return None
        share = self.share(self.best)
        step = math.log(NEAR_FACTOR) / math.log(self.high / self.low) if self.log else NEAR_SHARE
        step = min(step, 0.25) + 1e-9
        return "low" if share <= step else "high" if share >= 1 - step else None


def ranges(view: StudyView) -> list[Range]:
    """The numeric parameters' ranges."""
    found = []
    for name, distribution in view.space.items():
        if isinstance(distribution, CategoricalDistribution) or view.best is None:
            continue
        low, high = float(distribution.low), float(distribution.high)  # type: ignore[attr-defined]
        factor = view.factors.get(name)
        if factor is None:
            best = float(view.best.params[name])
            found.append(Range(name, name, low, high, False, best))
            continue
        low, high = sorted((factor.value(low), factor.value(high)))
        if low > 0:
            best = view.place(view.best, str(factor))
            found.append(Range(name, str(factor), low, high, True, best))
    return found


def advice(view: StudyView) -> list[str]:
    """A sentence for each range that is to be widened, with the option to type."""
    sentences = []
    for found in ranges(view):
        if found.near is None:
            continue
        complement = found.axis.startswith("1-")
        end = found.near if not complement else {"low": "high", "high": "low"}[found.near]
        limit = float(getattr(view.space[found.name], end))
        where = (
            f"The best {symbol(found.name)} = {number(view.best.params[found.name])} lies near "  # type: ignore[union-attr]
            f"the {'lower' if end == 'low' else 'upper'} end of its range, {limit:g}"
        )
        if complement and end == "low" and limit == 0.0:
            if found.best == found.high:
                sentences.append(f"The best {symbol(found.name)} is 0: it does without momentum.")
            continue
        whole = isinstance(view.space[found.name], IntDistribution)
        wider = _wider(found, limit, end, whole=whole)
        if wider is None:
            sentences.append(f"{where}, and cannot go further.")
        elif view.by_option:
            sentences.append(
                f"{where}: widen it, the runs made are kept, by "
                f"--set search_space.{found.name}.{end}={wider:g}."
            )
        else:
            sentences.append(f"{where}: widen it to {wider:g} where it is suggested.")
    return sentences + _advice_on_box(view)


def _advice_on_box(view: StudyView) -> list[str]:
    """The same for bounds on coordinates, which a stored study does not let grow."""
    sentences = []
    for axis, bounds in view.box.items():
        if axis not in view.coordinates.axes or view.best is None:
            continue
        place = view.place(view.best, axis)
        for bound, name in zip(bounds, ("lower", "upper"), strict=True):
            if abs(math.log(place / bound)) < math.log(NEAR_FACTOR) + 1e-9:
                sentences.append(
                    f"The best {symbol(axis)} = {number(place)} lies near the {name} bound of the "
                    f"coordinate, {bound:g}: widen it under [coordinates.box] and begin anew by "
                    "--fresh."
                )
    return sentences


def _wider(found: Range, limit: float, end: str, *, whole: bool) -> float | None:
    """A wider end of the raw range; None where the range cannot grow that way."""
    low = end == "low"
    if found.axis.startswith("1-"):
        rest = (1.0 - limit) * (_WIDER if low else 1.0 / _WIDER)
        wider = max(1.0 - brief(rest), 0.0)
    elif found.log:
        wider = brief(limit / _WIDER if low else limit * _WIDER)
    elif low and limit == 0.0:
        return None  # a share, a count, a strength: few parameters go below
    else:
        span = (found.high - found.low) / 2
        wider = brief(limit - span if low else limit + span)
    if whole:
        wider = max(round(wider), 1) if found.log else round(wider)
    return None if wider == limit else wider


def draw(view: StudyView) -> Figure | str:
    """The figure, or why there is none."""
    found = ranges(view)
    if not found:
        return "The boundary check needs a finished run and a parameter of a numeric range."
    figure = blank()
    drawn = {run.number for run in view.to_draw()}
    points = [p for p in view.points if any(run.number in drawn for run in p.runs)]
    for row, each in enumerate(reversed(found)):
        figure.add_scatter(
            x=[0, 1], y=[row, row], mode="lines+markers+text", showlegend=False, hoverinfo="skip",
            line={"color": LIGHT, "width": 6},
            marker={"size": 14, "opacity": 0},  # keeps the text off the line
            text=[f"{each.low:.3g}", f"{each.high:.3g}"],
            textposition=["bottom center", "bottom center"],
        )  # fmt: skip
        figure.add_scatter(
            x=[brief(each.share(view.place(p, each.axis))) for p in points], y=[row] * len(points),
            mode="markers", showlegend=False, hoverinfo="skip",
            marker={"size": 10, "symbol": "line-ns", "line": {"width": 1.5, "color": GREY}},
        )  # fmt: skip
        figure.add_scatter(
            x=[brief(each.share(each.best))], y=[row], mode="markers+text", name="best",
            showlegend=row == 0, text=[f"{each.best:.3g}"], textposition="top center",
            marker={"symbol": "diamond", "size": 14, "color": VERMILION},
        )  # fmt: skip
    names = [plain(symbol(each.axis)) for each in reversed(found)]
    figure.update_yaxes(
        tickvals=list(range(len(names))), ticktext=names, range=[-0.6, len(names) - 0.4],
        tickfont={"size": 15},
    )  # fmt: skip
    figure.update_xaxes(title_text="place in the range searched", tickvals=[0, 0.5, 1],
                        ticktext=["low end", "", "high end"], range=[-0.05, 1.05])  # fmt: skip
    figure.update_layout(height=200 + 70 * len(names), legend={"y": -0.4})
    return Figure("boundary", "Is the best near the edge?", _caption(view), figure)


def _caption(view: StudyView) -> str:
    advised = advice(view)
    text = (
        "The range of each parameter (logarithmic where it is searched so), a tick for each "
        "configuration that was run, and the best. A best at an end may lie beyond it. "
    )
    return text + (" ".join(advised) if advised else "Here it is not near any end.")
