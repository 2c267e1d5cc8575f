"""Preparing a study of the built-in objective: data, device, start and axes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hptoolkit.attributes import SYMMETRY
from hptoolkit.cli.task import Task
from hptoolkit.config import default_study
from hptoolkit.config.definition import StudyDefinition
from hptoolkit.config.load import load_study, split_axes
from hptoolkit.execution import known_symmetry
from hptoolkit.execution.builtin_study import MakeTraining, axes_for, load_split, symmetry_of
from hptoolkit.execution.objective import check_fits
from hptoolkit.reporting.formatting import symbol
from hptoolkit.storage import DEFAULT
from hptoolkit.training import set_up_device
from hptoolkit.training.data import Split

if TYPE_CHECKING:
    from hptoolkit.coordinates.symmetry import Symmetry


def prepare(
    name: str | None,
    overrides: Iterable[str],
    changes: Mapping[str, Any],
    coordinates: str | None,
    start: str,
    data_dir: str | None,
    device: str,
    checkpoints: Path | None = None,
    address: str = DEFAULT,
) -> Task:
    """A task for a definition, everything checked and loaded. Raises UserError for bad input.

    `checkpoints`: see `Objective`. `address`: the storage, which may know the network's symmetry.
    """
    why = ""
    if name is None:
        name, reason = default_study.choose(data_dir)
        why = f" ({reason})"
    defined = load_study(name, overrides, **changes)
    if coordinates not in (None, "auto"):
        defined = defined.over(split_axes(str(coordinates)))
        defined.region()
    split = load_split(defined.data, data_dir)
    chosen = set_up_device(device)
    check_fits(defined, split, chosen)
    symmetry, attributes = None, {}
    if coordinates == "auto":
        symmetry = known_symmetry.recall(defined, split, address) or symmetry_of(defined, split)
        attributes = {SYMMETRY: known_symmetry.as_attribute(symmetry, defined, split)}
        defined = defined.over(axes_for(defined, normalized=symmetry.normalized))
        defined.region()
    notes = [_note(defined, symmetry)]
    if start == "lr-range":
        from hptoolkit.execution.range_test import begin_at, measure

        suggestion = measure(defined, split, chosen).suggestion
        defined = begin_at(defined, suggestion)
        notes.append(
            f"Range test: λ from {suggestion.low:.2g} to {suggestion.high:.2g} suggested; the "
            f"search starts at λ = {defined.start['lr']:g}."
        )
    return Task(
        defined=defined,
        objective=MakeTraining(defined, data_dir, checkpoints),
        what=f"{len(split.train)} images of {defined.data.name} to train on and "
        f"{len(split.validation)} to validate",
        why=why,
        notes=tuple(notes),
        epochs=None if "epochs" in defined.search_space else defined.training.epochs,
        description=lambda: describe(defined, split, symmetry),
        attributes=attributes,
    )


def describe(defined: StudyDefinition, split: Split, symmetry: Symmetry | None) -> str:
    """What the study would train and search, in a few lines."""
    from hptoolkit.training import model as networks
    from hptoolkit.training.optimizer_table import OPTIMIZER_TABLE, state_floats

    training = defined.training
    network = networks.build(defined.model, split.image_shape, split.classes)
    parameters = sum(p.numel() for p in network.parameters())
    facts = OPTIMIZER_TABLE[training.optimizer]
    floats = state_floats(training, [tuple(p.shape) for p in network.parameters()])
    lines = [
        f"{defined.name}: {defined.description}",
        f"data: {defined.data.name}, {len(split.train)} images to train on, "
        f"{len(split.validation)} to validate, {split.classes} classes",
        f"network: Page's, width {defined.model.width}, {parameters:,} parameters",
        f"optimizer: {training.optimizer}, invariant {symbol(facts.invariant)} ({facts.source})",
        f"optimizer's memory: {4 * floats / parameters:.3g} bytes a parameter in float32",
        f"schedule: {training.schedule}, {training.epochs} epochs of batch {training.batch_size}",
        _note(defined, symmetry),
        *(f"search: {symbol(n)} {_range(d)}" for n, d in defined.distributions.items()),
        f"start: {', '.join(f'{symbol(n)} = {v}' for n, v in defined.start.items())}",
    ]
    return "\n".join(lines)


def _note(defined: StudyDefinition, symmetry: Symmetry | None) -> str:
    axes = ", ".join(map(symbol, defined.coordinates.axes)) or "every parameter its own"
    return f"Axes: {axes}; {symmetry}." if symmetry else f"Axes: {axes}."


def _range(distribution: Any) -> str:
    if hasattr(distribution, "choices"):
        return f"one of {', '.join(map(str, distribution.choices))}"
    scale = "logarithmic" if distribution.log else "linear"
    return f"from {distribution.low:g} to {distribution.high:g}, {scale}"
