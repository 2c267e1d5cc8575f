"""The range test of a study, and a search that begins where it suggests."""

from __future__ import annotations

import torch

from hptoolkit.config.definition import StudyDefinition
from hptoolkit.coordinates import Coordinates, theory
from hptoolkit.errors import UserError
from hptoolkit.training.data import Split
from hptoolkit.training.lr_range import RangeTest, Suggestion, range_test


def measure(
    defined: StudyDefinition,
    split: Split,
    device: torch.device,
    *,
    steps: int = 200,
    lowest: float = 1e-7,
    highest: float = 100.0,
    ramps: int = 5,
) -> RangeTest:
    """The range test of a definition at its start. Raises UserError if the loss fell nowhere."""
    model, training = defined.configure(defined.start)
    return range_test(
        training, split, model=model, seed=defined.seed, device=device,
        steps=steps, lowest=lowest, highest=highest, ramps=ramps,
    )  # fmt: skip


def push_of(defined: StudyDefinition, test: RangeTest) -> float:
    """The total step of a gradient at the suggested rate: λ/(1−ρ), with the test's own ρ, or λ."""
    _, training = defined.configure(defined.start)
    uses = theory.FACTS[training.optimizer].hyperparameters
    coordinate = Coordinates(
        theory.push(training.optimizer, momentum="momentum" if "momentum" in uses else None),
        constants={"momentum": training.momentum},
    )
    (push,) = coordinate.from_raw({"lr": test.suggestion.high}).values()
    return push


def begin_at(defined: StudyDefinition, suggestion: Suggestion) -> StudyDefinition:
    """The definition with its start and region taken from a range test, through the coordinates.

    λ starts at the suggested maximum. The coordinates that contain λ are bounded to what λ from
    the suggested minimum to as far above the maximum means with the start's other values; the
    other parameters keep their ranges. Numbers are rounded to two digits.
    """
    if "lr" not in defined.search_space:
        raise UserError("--start lr-range needs a study that searches 'lr': this one does not.")
    high, low = float(f"{suggestion.high:.2g}"), float(f"{suggestion.low:.2g}")
    start = {**defined.start, "lr": high}
    coordinates = defined.system if defined.coordinates.axes else Coordinates("lr")
    others = {n: start[n] for n in coordinates.names if n in start}
    missing = [n for n in coordinates.names if n not in others]
    if missing:
        raise UserError(f"--start lr-range needs a start for {', '.join(missing)}, too.")
    ends = [
        coordinates.from_raw({**{n: float(v) for n, v in others.items()}, "lr": lr})
        for lr in (low, high * high / low)
    ]
    box = dict(defined.coordinates.box)
    for axis in coordinates.axes:
        if ends[0][axis] != ends[1][axis]:
            least, largest = sorted(float(f"{end[axis]:.3g}") for end in ends)
            box[axis] = (least, largest)
    section = defined.coordinates.model_copy(update={"box": box})
    begun = defined.model_copy(update={"start": start, "coordinates": section})
    begun.region()
    return begun
