"""What the GP learned: how parameters trade with λ on this problem, beside theory."""

from __future__ import annotations

import math
from dataclasses import dataclass

from optuna.study import Study

from hptoolkit.coordinates.monomial import Factor, parse
from hptoolkit.coordinates.symbols import symbol
from hptoolkit.errors import UserError
from hptoolkit.reporting.figures.figure import BLUE, GREY, VERMILION, Figure, blank, brief
from hptoolkit.reporting.figures.view import Point, Run, StudyView
from hptoolkit.reporting.formatting import label, number
from hptoolkit.samplers import GPReport, GPSampler

# Points without which a fit says nothing but its prior; points whose fit takes too long.
FEWEST, MOST = 8, 600
# An error that is more than this share of the prior's deviation: the runs added little to it.
_UNINFORMED = 0.8

_CHANGES = {
    "batch_size": (2.0, "doubling the batch"),
    "weight_decay": (0.5, "halving the weight decay"),
    "momentum": (0.5, "halving 1−ρ (as from ρ = 0.9 to 0.95)"),
}


@dataclass(frozen=True)
class Trade:
    """How a factor f trades with λ: results are alike where λ · f^exponent is.

    Attributes:
        factor: f, such as `1-momentum`.
        exponent, error: As fitted, with its standard error; λ's own exponent is 1.
        theory: Its value by theory.
        informed: Whether the runs say more of it than the prior.
    """

    factor: Factor
    exponent: float
    error: float
    theory: float
    informed: bool = True

    @property
    def change(self) -> tuple[float, str]:
        """By what f is multiplied in the sentence, and how that is called."""
        return _CHANGES.get(self.factor.name, (2.0, f"doubling {symbol(str(self.factor))}"))

    def ratio(self) -> tuple[float, float]:
        """What λ is to be multiplied by for that change, with its standard error.

        λ · f^e is held, so m times f wants m^−e times λ; an error σ of e makes that of the ratio
        |ln m| · σ · m^−e, to first order.
        """
        by, _ = self.change
        ratio = by**-self.exponent
        return ratio, abs(math.log(by)) * self.error * ratio

    def sentence(self, rate: str = "learning rate") -> str:
        by, change = self.change
        if not self.informed:
            return f"The runs say little of what {change} wants: more that vary it are needed."
        ratio, error = self.ratio()
        digits = 1 if error >= 0.15 else 2
        return (
            f"On this problem, {change} wants {ratio:.{digits}f} ± {error:.{digits}f} times the "
            f"{rate} (theory: {by**-self.theory:.3g})."
        )


@dataclass(frozen=True)
class Learned:
    """The GP's report of a study, and the trades in it; `rate`: the parameter they trade with."""

    report: GPReport
    rate: str
    trades: tuple[Trade, ...]

    def coordinate(self) -> str:
        """The fitted coordinate in plotly's markup: `λ · (1−ρ)<sup>−0.59</sup>`."""
        bases = [symbol(str(t.factor)) for t in self.trades]
        powers = [
            f"({base})<sup>{t.exponent:.2f}</sup>"
            if "−" in base
            else f"{base}<sup>{t.exponent:.2f}</sup>"
            for base, t in zip(bases, self.trades, strict=True)
        ]
        return " · ".join([symbol(self.rate), *powers]).replace("-", "−")

    def place(self, view: StudyView, run: Run | Point) -> float:
        """The value of the fitted coordinate."""
        powers = (view.place(run, str(t.factor)) ** t.exponent for t in self.trades)
        return float(view.place(run, self.rate) * math.prod(powers))

    def sentences(self) -> list[str]:
        return [trade.sentence() for trade in self.trades]


def learn(study: Study, view: StudyView) -> Learned | str:
    """Fit the GP to a study's trials, whatever sampler made them; or why that cannot be."""
    coordinates = view.coordinates
    mixed = bool(coordinates.axes) and len(coordinates.reduce(coordinates.axes[0])[0]) > 1
    if not mixed:
        return "The GP's exponents need a coordinate of several parameters, such as λ/(1−ρ)."
    if not FEWEST <= len(view.points) <= MOST:
        return (
            f"The GP's exponents need {FEWEST} to {MOST} finished configurations, here are "
            f"{len(view.points)}."
        )
    try:
        sampler = GPSampler(coordinates, search_space=view.space, box=view.box, seed=0)
        report = sampler.report(study)
    except UserError as error:
        return f"The GP's exponents could not be fitted: {error}"
    trades = _trades(report, view)
    if not trades or report.anchor is None:
        return "The GP's exponents need runs that vary a parameter of the first coordinate."
    ((rate, _),) = parse(report.anchor).items()
    return Learned(report, str(rate), trades)


def _trades(report: GPReport, view: StudyView) -> tuple[Trade, ...]:
    """The exponents in units of λ's own, of the factors that vary."""
    from hptoolkit.samplers.gp.model import EXPONENT_DEVIATION

    if report.anchor is None:
        return ()
    ((_, held),) = parse(report.anchor).items()
    power = float(held)
    trades = []
    for expression, fitted in report.exponents.items():
        ((factor, _),) = parse(expression).items()
        if view.varies(expression):
            error = fitted.error / abs(power)
            informed = error < _UNINFORMED * EXPONENT_DEVIATION
            trade = Trade(factor, fitted.value / power, error, fitted.theory / power, informed)
            trades.append(trade)
    return tuple(trades)


def draw(view: StudyView, learned: Learned) -> Figure:
    """The fitted exponents with their errors, beside theory's."""
    trades = learned.trades
    names = [label(str(trade.factor)) for trade in trades]
    figure = blank()
    figure.add_scatter(
        x=[brief(trade.exponent) for trade in trades], y=names, mode="markers",
        name="fitted, ± one standard error",
        marker={"size": 11, "color": [BLUE if t.informed else GREY for t in trades]},
        error_x={
            "type": "data", "array": [brief(trade.error) for trade in trades], "thickness": 2,
            "color": BLUE,
        },
    )  # fmt: skip
    figure.add_scatter(
        x=[brief(trade.theory) for trade in trades], y=names, mode="markers", name="theory",
        marker={
            "symbol": "line-ns", "size": 26, "line": {"width": 3, "color": VERMILION},
            "color": VERMILION,
        },
    )  # fmt: skip
    ends = [end for t in trades for end in (t.exponent - t.error, t.exponent + t.error, t.theory)]
    margin = max(0.15 * (max(ends) - min(ends)), 0.1)
    figure.update_xaxes(range=[brief(min(ends) - margin), brief(max(ends) + margin)])
    axis = symbol(view.coordinates.axes[0])
    figure.update_xaxes(title_text=f"exponent in {axis}, in units of λ's")
    figure.update_yaxes(automargin=True, range=[-0.6, len(names) - 0.4])
    figure.update_layout(height=230 + 60 * len(names), legend={"y": -0.45})
    return Figure("exponents", "How parameters trade with λ", _caption(view, learned), figure)


def _caption(view: StudyView, learned: Learned) -> str:
    report = learned.report
    best = ", ".join(f"{symbol(name)} = {number(value)}" for name, value in report.best.items())
    value, low, high = (
        # The GP knows nothing of an accuracy's ends.
        min(max(end, 0.0), 1.0) * 100.0 if view.scale == 100.0 else end
        for end in (report.value, *sorted(report.interval))
    )
    unit = " %" if view.scale == 100.0 else ""
    return (
        "A Gaussian process fits the exponents of the first coordinate to the runs, under a normal "
        f"prior at theory's values. {' '.join(learned.sentences())} Look whether theory's bar lies "
        "within two errors of the dot; errors are those of the fit (Laplace's approximation). The "
        f"GP expects the best at {best}, with {value:.4g}{unit} free of noise "
        f"({low:.4g} to {high:.4g}{unit}, 95 %)."
    )
