"""What was found, in sentences."""

from __future__ import annotations

from hptoolkit.coordinates.symbols import symbol
from hptoolkit.reporting.figures import boundary
from hptoolkit.reporting.figures.axes_pair import pairs
from hptoolkit.reporting.figures.collapse import sentence_by_side, share, shares_explained
from hptoolkit.reporting.figures.exponents import Learned
from hptoolkit.reporting.figures.noise import Noise, equals_of_best
from hptoolkit.reporting.figures.variance import FEWEST
from hptoolkit.reporting.figures.view import Point, StudyView
from hptoolkit.reporting.formatting import metric, number

# Configurations that are listed as equals of the best.
_LISTED = 5


def sentences(view: StudyView, noise: Noise | None, learned: Learned | str) -> list[str]:
    """The best with its noise, its equals, what each axis explains, the exponents, the edge."""
    best = view.best
    if best is None:
        return [f"None of the {len(view.runs)} runs has finished with a value yet."]
    found = [_best(view, best, noise), _equals(view, noise)]
    if len(view.points) >= FEWEST and view.coordinates.axes:
        found += _explained(view, learned)
    if isinstance(learned, Learned):
        found += learned.sentences()
    return found + _at_chance(view) + boundary.advice(view)


def _at_chance(view: StudyView) -> list[str]:
    """Complete runs that learned nothing: mostly too small or too large a step."""
    numbers = [str(run.number) for run in view.runs if run.value is not None and run.reason]
    if not numbers:
        return []
    listed = ", ".join(numbers[:_LISTED]) + (", …" if len(numbers) > _LISTED else "")
    runs = f"Run {listed} ended" if len(numbers) == 1 else f"{len(numbers)} runs ({listed}) ended"
    return [f"{runs} at chance: loss and accuracy are those of the classes' frequencies alone."]


def _best(view: StudyView, best: Point, noise: Noise | None) -> str:
    params = ", ".join(f"{symbol(name)} = {number(value)}" for name, value in best.params.items())
    times = f", the mean of {len(best.runs)} runs" if len(best.runs) > 1 else ""
    text = (
        f"Best: {params}, with {view.metric.replace('_', ' ')} {metric(view.metric, best.value)} "
        f"(run {best.runs[0].number}{times})."
    )
    if noise is None:
        return (
            f"{text} How far two runs of it would differ is not known: no configuration was run "
            "with two seeds."
        )
    unit = " %" if view.scale == 100.0 else ""
    return (
        f"{text} One run's standard deviation is {noise.deviation * view.scale:.2g}{unit} "
        f"({noise.source})."
    )


def _equals(view: StudyView, noise: Noise | None) -> str:
    if noise is None:
        return "Which configurations are as good cannot be said without it: repeat some runs."
    equals = equals_of_best(view, noise)[1:]
    if not equals:
        return "No other configuration is within the noise of the best."
    listed = "; ".join(_short(view, point) for point in equals[:_LISTED])
    more = len(equals) - _LISTED
    rest = f"; and {more} more" if more > 0 else ""
    subject = "1 other configuration is" if len(equals) == 1 else f"{len(equals)} others are"
    return f"{subject} within the noise of the best: {listed}{rest}."


def _short(view: StudyView, point: Point) -> str:
    varied = [name for name in view.space if len({str(p.params[name]) for p in view.points}) > 1]
    params = ", ".join(f"{symbol(name)} {number(point.params[name])}" for name in varied)
    return f"{params} ({metric(view.metric, point.value)})"


def _explained(view: StudyView, learned: Learned | str) -> list[str]:
    shares = {name: share for name, share in shares_explained(view).items() if share == share}
    mixed = view.coordinates.axes[0]
    if mixed not in shares or len(shares) < 2:
        return []
    raw = {str(factor): shares[str(factor)] for factor in view.coordinates.factors
           if str(factor) in shares}  # fmt: skip
    most = max(raw, key=lambda name: raw[name])
    text = (
        f"{symbol(mixed)} alone explains {100 * shares[mixed]:.0f} % of the variance of the "
        f"results, the best raw parameter ({symbol(most)}) {100 * raw[most]:.0f} %"
    )
    if isinstance(learned, Learned):
        fitted = share(view, [learned.place(view, point) for point in view.points])
        text += f", the coordinate with exponents fitted to these runs {100 * fitted:.0f} %"
    return [f"{text}.", *filter(None, (sentence_by_side(view, pair) for pair in pairs(view)[:1]))]
