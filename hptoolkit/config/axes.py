"""A study's axes where it names none: theory's for its optimizer. And a word on those it names."""

from __future__ import annotations

import itertools

from hptoolkit.config.definition import StudyDefinition
from hptoolkit.coordinates import Coordinates
from hptoolkit.coordinates.monomial import Monomial, parse
from hptoolkit.coordinates.start import RULES, longest_horizon
from hptoolkit.coordinates.theory import OPTIMIZERS
from hptoolkit.errors import UserError

# H from which decay changes the step: at .5 the weights' scale has fallen by a fifth to a half.
_ACTS = 0.5


def axes_for(defined: StudyDefinition, *, normalized: bool = True) -> tuple[str, ...]:
    """Theory's axes for the definition's optimizer and what it searches.

    Raises UserError for an optimizer that theory does not know, or if λ is not searched.
    """
    optimizer = defined.training.optimizer
    if not knows(defined):
        raise UserError(
            f"--coordinates auto knows no axes for the optimizer {optimizer!r} with "
            f"{', '.join(defined.search_space)} searched: give them, comma-separated."
        )
    batch_size = "batch_size" if "batch_size" in defined.search_space else None
    return _axes(optimizer, defined, normalized=normalized, batch_size=batch_size)


def knows(defined: StudyDefinition) -> bool:
    """Whether theory has axes for the definition: one known optimizer, whose λ is searched."""
    return defined.training.optimizer in OPTIMIZERS and "lr" in defined.search_space


def decay_acts(defined: StudyDefinition, n_train: int) -> bool:
    """Whether decay has time to change the step in some run of the search: H reaches a half."""
    training, decay = defined.training, defined.search_space.get("weight_decay")
    if decay is None or training.optimizer not in RULES:
        return True  # it is no axis
    largest = float(max(decay.choices or (decay.high or 0.0,)))
    epochs, sizes = defined.search_space.get("epochs"), defined.search_space.get("batch_size")
    longest = float(max(epochs.choices or (epochs.high or 0.0,))) if epochs else training.epochs
    smallest = float(min(sizes.choices or (sizes.low or 1.0,))) if sizes else training.batch_size
    horizon = longest_horizon(
        training.optimizer,
        max(n_train // smallest, 1) * longest,
        decay=largest,
        decoupled=training.decoupled_decay,
    ) if largest > 0 else 0.0  # fmt: skip
    return horizon is None or horizon >= _ACTS


def follow_optimizer(defined: StudyDefinition) -> StudyDefinition:
    """The definition over theory's axes for its optimizer; as it is where there are none."""
    return defined.over(axes_for(defined)) if knows(defined) else defined


def warning(defined: StudyDefinition) -> str | None:
    """A sentence if the first axis is theory's for another optimizer, and not for this one."""
    if not defined.coordinates.axes or not knows(defined):
        return None
    optimizer, first = defined.training.optimizer, parse(defined.coordinates.axes[0])
    if len(first) == 1 or first in _first_axes(optimizer, defined):
        return None  # a raw axis suits all
    others = [name for name in OPTIMIZERS if first in _first_axes(name, defined)]
    if not others:
        return None
    own = ",".join(axes_for(defined))
    return (
        f"Warning: the axis {defined.coordinates.axes[0]} is theory's for {others[0]}, and the "
        f"optimizer is {optimizer}: its own are --coordinates '{own}'."
    )


def _first_axes(optimizer: str, defined: StudyDefinition) -> list[Monomial]:
    """The first axes that theory may give: for normalised weights or not, with N or without."""
    sizes = {None, "batch_size" if "batch_size" in defined.search_space else None}
    return [
        parse(_axes(optimizer, defined, normalized=normalized, batch_size=size)[0])
        for normalized, size in itertools.product((True, False), sizes)
    ]


def _axes(
    optimizer: str, defined: StudyDefinition, *, normalized: bool, batch_size: str | None
) -> tuple[str, ...]:
    momentum, weight_decay = (
        role if role in defined.search_space else None for role in ("momentum", "weight_decay")
    )
    return Coordinates.for_optimizer(
        optimizer,
        normalized=normalized,
        momentum=momentum,
        weight_decay=weight_decay,
        batch_size=batch_size,
        decoupled=defined.training.decoupled_decay,
    ).axes
