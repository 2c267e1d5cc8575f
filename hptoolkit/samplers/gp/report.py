"""What a GP has learned from a study, for people and for other programs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hptoolkit.samplers.gp.evidence import Evidence
from hptoolkit.samplers.gp.features import Columns
from hptoolkit.search_space.region import Array, Region

# Half-width of a normal distribution's 95 % interval, in deviations.
_NORMAL_95 = 1.96


@dataclass(frozen=True)
class Exponent:
    """A fitted exponent of the first coordinate, with its standard error and theory's value."""

    value: float
    error: float
    theory: float


@dataclass(frozen=True)
class Fit:
    """A fit in plain numbers, in the GP's own units.

    Attributes:
        lengths: (axes,) length-scales, in units of each axis's span.
        exponents, errors: (k,) of the learned columns, in units of the anchor's exponent.
        noise: Noise variance of a single run, for values of deviation 1.
    """

    lengths: Array
    exponents: Array
    errors: Array
    noise: float


@dataclass(frozen=True)
class GPReport:
    """What the GP says of a study.

    Attributes:
        points: Number of distinct points that were told.
        coordinate: The first coordinate, by theory; None where nothing in it is fitted.
        anchor: The factor in it whose exponent is held, with that exponent unless it is 1.
        exponents: The other factors' exponents in it, as fitted.
        length_scales: Of each axis, in its own units; in natural logarithms on a logarithmic
            axis, in differing choices on a categorical one. Long means flat.
        noise: Standard deviation of a single run, in the objective's units.
        best: Raw parameters of the predicted best configuration.
        value: The objective expected there, free of noise.
        interval: 95 % interval of that value (low, high).
    """

    points: int
    coordinate: str | None
    anchor: str | None
    exponents: dict[str, Exponent]
    length_scales: dict[str, float]
    noise: float
    best: dict[str, Any]
    value: float
    interval: tuple[float, float]

    def sentence(self) -> str:
        """The report in words."""
        best = ", ".join(
            f"{name} = {value:.4g}" if isinstance(value, float) else f"{name} = {value}"
            for name, value in self.best.items()
        )
        low, high = self.interval
        predicted = (
            f"After {self.points} points the predicted best is {best}, with {self.value:.6g} "
            f"({low:.6g} to {high:.6g}, 95 %)."
        )
        if not self.exponents:
            return predicted
        fitted = " · ".join(
            f"({factor})^({e.value:.2f} ± {e.error:.2f}; theory {e.theory:.3g})"
            for factor, e in self.exponents.items()
        )
        return f"The objective depends on {self.anchor} · {fitted} first of all. {predicted}"


def summarise(
    region: Region,
    columns: Columns,
    evidence: Evidence,
    fit: Fit,
    best: Array,
    moments: tuple[float, float],
    sign: float,
) -> GPReport:
    """The report of a fit whose posterior is largest at position `best`, with (mean, deviation)."""
    coordinates, layout = region.coordinates, columns.layout
    exponents, anchor = {}, None
    if layout.learned:
        theory = coordinates.matrix[0]
        power = theory[layout.anchor]
        anchor = f"{coordinates.factors[layout.anchor]}" + (f"**{power:g}" if power != 1 else "")
        for i, value, error in zip(layout.learned, fit.exponents, fit.errors, strict=True):
            exponents[str(coordinates.factors[i])] = Exponent(
                float(value * power), float(error * abs(power)), float(theory[i])
            )
    mean, deviation = moments
    ends = [
        sign * (evidence.location + evidence.scale * (mean + side * _NORMAL_95 * deviation))
        for side in (-1.0, 1.0)
    ]
    return GPReport(
        points=len(evidence.values),
        coordinate=coordinates.axes[0] if layout.learned else None,
        anchor=anchor,
        exponents=exponents,
        length_scales={
            axis.name: float(length * (1.0 if axis.kind == "categorical" else axis.high - axis.low))
            for axis, length in zip(region.axes, fit.lengths, strict=True)
        },
        noise=float(evidence.scale * fit.noise**0.5),
        best=region.decode(best),
        value=sign * (evidence.location + evidence.scale * mean),
        interval=(min(ends), max(ends)),
    )
