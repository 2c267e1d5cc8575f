"""Preparing a study of the built-in objective: data, device, start and axes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hptoolkit import default_study, definition
from hptoolkit.coordinates.theory import OPTIMIZERS
from hptoolkit.definition import StudyDefinition
from hptoolkit.notation import symbol
from hptoolkit.objective import Objective, check_batch
from hptoolkit.task import Task
from hptoolkit.training import data, set_up_device
from hptoolkit.training.config import DataConfig
from hptoolkit.training.data import Split

if TYPE_CHECKING:
    from optuna.trial import Trial

    from hptoolkit.coordinates.symmetry import Symmetry

# Images on which the network's symmetry is tested.
_BATCH = 64


@dataclass(frozen=True)
class MakeTraining:
    """Makes the objective of a definition, with the data loaded once a process.

    Attributes:
        defined: The definition.
        data_dir: Where data sets are kept.
        checkpoints: See `Objective`.
    """

    defined: StudyDefinition
    data_dir: str | None
    checkpoints: Path | None

    def __call__(self, device: str, on_epoch: Callable[[Trial, Any], None]) -> Objective:
        split = _load(self.defined.data, self.data_dir)
        chosen = set_up_device(device)
        return Objective(self.defined, split, chosen, on_epoch, self.checkpoints, keep_weights=True)


def prepare(
    name: str | None,
    overrides: Iterable[str],
    changes: Mapping[str, Any],
    coordinates: str | None,
    start: str,
    data_dir: str | None,
    device: str,
    checkpoints: Path | None = None,
) -> Task:
    """A task for a definition, everything checked and loaded. Raises UserError for bad input.

    `checkpoints`: see `Objective`.
    """
    why = ""
    if name is None:
        name, reason = default_study.choose(data_dir)
        why = f" ({reason})"
    defined = definition.load(name, overrides, **changes)
    if coordinates not in (None, "auto"):
        defined = defined.over(definition.split_axes(str(coordinates)))
        defined.region()
    split = _load(defined.data, data_dir)
    check_batch(defined, split)
    chosen = set_up_device(device)
    symmetry = symmetry_of(defined, split)
    if coordinates == "auto":
        defined = defined.over(axes_for(defined, normalized=symmetry.normalized))
        defined.region()
    notes = [_note(defined, symmetry)]
    if start == "lr-range":
        from hptoolkit.lr_range import begin_at, measure

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
    )


def symmetry_of(defined: StudyDefinition, split: Split) -> Symmetry:
    """Which of the network's weights are scale-invariant, on a batch of the training images."""
    import torch

    from hptoolkit.coordinates.symmetry import scale_invariance
    from hptoolkit.training import model as networks

    with torch.random.fork_rng():
        torch.manual_seed(defined.seed)
        network = networks.build(defined.model, split.image_shape, split.classes)
        images = torch.from_numpy(split.train.images[:_BATCH]).permute(0, 3, 1, 2)
        labels = torch.from_numpy(split.train.labels[:_BATCH])
        return scale_invariance(network, (images.double() / 255, labels), seed=defined.seed)


def axes_for(defined: StudyDefinition, *, normalized: bool) -> tuple[str, ...]:
    """Theory's axes for the definition's optimizer and what it searches."""
    from hptoolkit.coordinates import Coordinates
    from hptoolkit.errors import UserError

    optimizer = defined.training.optimizer
    if optimizer not in OPTIMIZERS or "lr" not in defined.search_space:
        raise UserError(
            f"--coordinates auto knows no axes for the optimizer {optimizer!r} with "
            f"{', '.join(defined.search_space)} searched: give them, comma-separated."
        )
    momentum, weight_decay, batch_size = (
        role if role in defined.search_space else None
        for role in ("momentum", "weight_decay", "batch_size")
    )
    return Coordinates.for_optimizer(
        optimizer,
        normalized=normalized,
        momentum=momentum,
        weight_decay=weight_decay,
        batch_size=batch_size,
    ).axes


def describe(defined: StudyDefinition, split: Split, symmetry: Symmetry) -> str:
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


@cache
def _load(config: DataConfig, data_dir: str | None) -> Split:
    return data.split(data.load(config.name, data_dir), config)


def _note(defined: StudyDefinition, symmetry: Symmetry) -> str:
    axes = ", ".join(map(symbol, defined.coordinates.axes)) or "every parameter its own"
    return f"Axes: {axes}; {symmetry}."


def _range(distribution: Any) -> str:
    if hasattr(distribution, "choices"):
        return f"one of {', '.join(map(str, distribution.choices))}"
    scale = "logarithmic" if distribution.log else "linear"
    return f"from {distribution.low:g} to {distribution.high:g}, {scale}"
