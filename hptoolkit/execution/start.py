"""Where the command's search begins, and the line that says so."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from hptoolkit.config import start as starts
from hptoolkit.config.definition import StudyDefinition
from hptoolkit.coordinates import theory
from hptoolkit.coordinates.start import Beginning
from hptoolkit.coordinates.symbols import symbol

if TYPE_CHECKING:
    import torch

    from hptoolkit.training.data import Split


def begin(
    defined: StudyDefinition,
    kind: str | None,
    split: Split,
    device: torch.device,
    *,
    stored: Callable[[StudyDefinition], Mapping[str, Any] | None] = lambda defined: None,
) -> tuple[StudyDefinition, list[str]]:
    """The definition with its start, and what to say of it. Raises UserError where there is none.

    Args:
        defined: The definition.
        kind: One of `config.start.KINDS`; None for the file's, or theory's where it names none.
        split, device: The data, and where a range test runs.
        stored: Tells where the study began that is to go on, which stays its start unless another
            is asked for.
    """
    chosen = kind or starts.default_kind(defined)
    if kind is None and chosen == "theory" and (kept := stored(defined)):
        values = ", ".join(f"{symbol(name)} = {value}" for name, value in kept.items())
        return defined.model_copy(update={"start": dict(kept)}), [f"Start, as stored: {values}."]
    if chosen == "page":
        return starts.from_page(defined), ["Start: Page's, which is deliberately bad."]
    if chosen == "theory":
        begun, place = starts.from_theory(defined, len(split.train))
        return begun, [theory_line(begun.training.optimizer, place)]
    if chosen == "lr-range":
        return _from_range_test(defined, split, device)
    return defined, []


def theory_line(optimizer: str, place: Beginning) -> str:
    """A start from theory, and whether ranges moved it."""
    params = ", ".join(f"{symbol(name)} = {value:g}" for name, value in place.params.items())
    line = f"Start from theory: {params}; {_place(optimizer, place.push, place.horizon)}."
    if place.moved:
        wanted = _place(optimizer, place.wanted_push, place.wanted_horizon)
        line += f" The ranges keep out what theory asks for, {wanted}: this is the nearest place."
    return line


def _place(optimizer: str, push: float, horizon: float | None) -> str:
    """The two numbers that theory sets, in the notation of the literature."""
    uses = theory.FACTS[optimizer].hyperparameters
    momentum = "momentum" if "momentum" in uses else None
    text = f"{symbol(theory.push(optimizer, momentum=momentum))} = {push:.2g}"
    return text if horizon is None else f"{text} and H = {horizon:.2g}"


def _from_range_test(
    defined: StudyDefinition, split: Split, device: torch.device
) -> tuple[StudyDefinition, list[str]]:
    """The definition from a range test, taken at its start, or at theory's ρ and α without one."""
    from hptoolkit.execution.range_test import begin_at, measure, push_of

    at = defined
    if not defined.start and starts.theory_knows(defined):
        at, _ = starts.from_theory(defined, len(split.train))
    test = measure(at, split, device)
    if not defined.start and starts.theory_knows(defined):
        # α follows the rate that was measured: the same H.
        at, _ = starts.from_theory(defined, len(split.train), measured=push_of(at, test))
    begun = begin_at(at, test.suggestion)
    suggestion = test.suggestion
    return begun, [
        f"Range test ({len(test.highs)} ramps, {test.steps} steps): λ from {suggestion.low:.2g} to "
        f"{suggestion.high:.2g} suggested, to within a factor of {suggestion.uncertainty:.2g}; the "
        f"search starts at λ = {begun.start['lr']:g}."
    ]
