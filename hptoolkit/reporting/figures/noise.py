"""How far two runs of one configuration differ: from repeats, or from the number of images."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from hptoolkit.reporting.figures.view import Point, StudyView

# Images that each data set has to train on (hptoolkit.training.data holds 20 % of the digits back).
TRAINING_IMAGES = {"digits": 1438, "fashion-mnist": 60000, "cifar10": 50000, "cifar100": 50000}

# Two values that differ by less than this many deviations of their difference are not told apart.
DEVIATIONS = 2.0


@dataclass(frozen=True)
class Noise:
    """The standard deviation of a single run's value, in the value's units.

    `source`: how it is known, for a caption.
    """

    deviation: float
    source: str

    def difference(self, repeats: int, others: int = 1) -> float:
        """The difference of two means that is not told apart from none (two deviations of it)."""
        return DEVIATIONS * self.deviation * math.sqrt(1 / repeats + 1 / others)


def of(view: StudyView, definition: Any) -> Noise | None:
    """From repeats where they differ, else the binomial one of an accuracy; None if neither.

    The binomial deviation is that of an accuracy on so many images from that on all there are. Two
    runs on the same images may differ by more or by less, so it stands in for repeats only roughly.
    """
    ranked = _ranked(view)
    repeated = [point for point in ranked if len(point.runs) > 1]
    # At the edge of divergence runs differ far more than they do where values are compared.
    better = [point for point in ranked[: -(-len(ranked) // 2)] if len(point.runs) > 1] or repeated
    repeats = [[run.value for run in p.runs if run.value is not None] for p in better]
    deviation, freedom = pooled(repeats)
    if freedom and deviation > 0:
        plural = "" if freedom == 1 else "s"
        of_which = " of the better half" if len(better) < len(repeated) else ""
        source = f"pooled over repeats{of_which}, {freedom} degree{plural} of freedom"
        return Noise(deviation, source)
    images = validation_images(definition)
    if images and view.best and view.metric.endswith("accuracy"):
        why = (
            "the repeats do not differ"
            if freedom
            else "a rough guess until a configuration is repeated with another seed"
        )
        source = f"binomial, {images} validation images; {why}"
        return Noise(binomial(view.best.value, images), source)
    return None


def pooled(groups: Iterable[Sequence[float]]) -> tuple[float, int]:
    """The pooled standard deviation within groups, and its degrees of freedom.

    s² = Σ_g Σ_i (y_gi − ȳ_g)² / Σ_g (n_g − 1); (0, 0) if no group has two values.
    """
    squares, freedom = 0.0, 0
    for values in groups:
        mean = math.fsum(values) / len(values) if values else 0.0
        squares += math.fsum((value - mean) ** 2 for value in values)
        freedom += max(len(values) - 1, 0)
    return (math.sqrt(squares / freedom), freedom) if freedom else (0.0, 0)


def binomial(accuracy: float, images: int) -> float:
    """The standard deviation of an accuracy over draws of so many images: √(p(1−p)/n)."""
    share = min(max(accuracy, 0.0), 1.0)
    return math.sqrt(share * (1.0 - share) / images)


def validation_images(definition: Any) -> int | None:
    """How many images the built-in objective validates on; None where that is not known."""
    data = getattr(definition, "data", None)
    if data is None:
        return None
    size = data.train_size or TRAINING_IMAGES.get(data.name)
    return round(data.validation_fraction * size) if size else None


def equals_of_best(view: StudyView, noise: Noise | None) -> list[Point]:
    """The configurations that noise does not tell from the best, best first."""
    best = view.best
    if best is None:
        return []
    sign = 1.0 if view.maximize else -1.0
    return [
        p
        for p in _ranked(view)
        if p is best
        or (
            noise is not None
            and sign * (best.value - p.value) <= noise.difference(len(best.runs), len(p.runs))
        )
    ]


def _ranked(view: StudyView) -> list[Point]:
    """The configurations, best first."""
    sign = 1.0 if view.maximize else -1.0
    return sorted(view.points, key=lambda point: -sign * point.value)
