"""The built-in problem, the training of a network on images: prepared, described and sent."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hptoolkit.attributes import SYMMETRY
from hptoolkit.config import default_study
from hptoolkit.config.axes import axes_for, decay_acts, warning
from hptoolkit.config.definition import StudyDefinition
from hptoolkit.config.load import load_study, split_axes
from hptoolkit.config.start import default_kind, from_theory
from hptoolkit.coordinates import Coordinates
from hptoolkit.coordinates.symbols import symbol
from hptoolkit.coordinates.theory import FACTS, OPTIMIZERS, state_floats
from hptoolkit.execution import known_symmetry
from hptoolkit.execution.objective import Objective, check_fits
from hptoolkit.execution.problem import Problem
from hptoolkit.execution.start import begin
from hptoolkit.storage import DEFAULT
from hptoolkit.training import data, set_up_device
from hptoolkit.training.config import DataConfig
from hptoolkit.training.data import Split

if TYPE_CHECKING:
    from optuna.trial import Trial

    from hptoolkit.coordinates.symmetry import Symmetry

# Images on which the network's symmetry is tested.
_BATCH = 64


@dataclass(frozen=True)
class TrainingProblem(Problem):
    """A definition's training; its data are read once a process.

    Attributes:
        defined, notes: See `Problem`.
        data_dir: Where data sets are kept.
        checkpoints: See `Objective`.
        why: Why this definition, if none was named.
    """

    defined: StudyDefinition
    data_dir: str | None
    checkpoints: Path | None
    why: str = ""

    def headline(self, study: str) -> str:
        split, why = self._split, f" ({self.why})" if self.why else ""
        return (
            f"Study {study}{why}: {len(split.train)} images of {self.defined.data.name} to train "
            f"on and {len(split.validation)} to validate"
        )

    def describe(self) -> str:
        from hptoolkit.training import model as networks

        defined, split, training = self.defined, self._split, self.defined.training
        network = networks.build(defined.model, split.image_shape, split.classes)
        shapes = [tuple(p.shape) for p in network.parameters()]
        parameters = sum(p.numel() for p in network.parameters())
        floats = state_floats(
            training.optimizer,
            shapes,
            momentum=training.momentum,
            history=training.history,
            muon_rest=training.muon_rest,
        )
        lines = [
            f"{defined.name}: {defined.description}",
            f"data: {defined.data.name}, {len(split.train)} images to train on, "
            f"{len(split.validation)} to validate, {split.classes} classes",
            f"network: Page's, width {defined.model.width}, {parameters:,} parameters",
            f"optimizer: {training.optimizer}, invariant {symbol(_invariant(training.optimizer))} "
            f"({FACTS[training.optimizer].source})",
            f"optimizer's memory: {4 * floats / parameters:.3g} bytes a parameter in float32",
            f"schedule: {training.schedule}, {training.epochs} epochs of batch "
            f"{training.batch_size}",
            self.notes[0],
            *(f"search: {symbol(n)} {_range(d)}" for n, d in defined.distributions.items()),
            f"start: {_values(defined.start) or 'the middle of the region'}",
        ]
        return "\n".join(lines)

    def objective(self, device: str, on_epoch: Callable[[Trial, Any], None]) -> Objective:
        chosen = set_up_device(device)
        return Objective(
            self.defined, self._split, chosen, on_epoch, self.checkpoints, keep_weights=True
        )

    @property
    def _split(self) -> Split:
        return load_split(self.defined.data, self.data_dir)


def prepare(
    name: str | None,
    overrides: Iterable[str],
    changes: Mapping[str, Any],
    coordinates: str | None,
    start: str | None,
    data_dir: str | None,
    device: str,
    checkpoints: Path | None = None,
    address: str = DEFAULT,
    stored: Callable[[StudyDefinition], Mapping[str, Any] | None] = lambda defined: None,
) -> TrainingProblem:
    """The training of the definition that a command line names. Raises UserError for bad input.

    Args:
        name: The definition's; None for the one that suits this machine.
        overrides, changes: Fields of it, see `load_study`.
        coordinates: Its axes, comma-separated; "auto" for theory's; None for its own.
        start: One of `config.start.KINDS`; None for its own, or theory's where it names none.
        data_dir, checkpoints: See `TrainingProblem`.
        device: As for `--device`.
        address: The storage, which may know the network's symmetry.
        stored: See `hptoolkit.execution.start.begin`.
    """
    why = ""
    if name is None:
        name, why = default_study.choose(data_dir)
    defined = load_study(name, overrides, **changes)
    if coordinates not in (None, "auto"):
        defined = defined.over(split_axes(str(coordinates)))
    split = load_split(defined.data, data_dir)
    chosen = set_up_device(device)
    check_fits(defined, split, chosen)
    symmetry, attributes, acts = None, {}, True
    if coordinates == "auto":
        symmetry = known_symmetry.recall(defined, split, address) or symmetry_of(defined, split)
        attributes = {SYMMETRY: known_symmetry.as_attribute(symmetry, defined, split)}
        acts = decay_acts(defined, len(split.train))
        defined = defined.over(axes_for(defined, normalized=symmetry.normalized and acts))
    defined = defined.with_constants(len(split.train))
    axes = ", ".join(map(symbol, defined.coordinates.axes)) or "every parameter its own"
    notes = [f"Axes: {axes}; {symmetry}." if symmetry else f"Axes: {axes}."]
    if not acts:
        notes.append("Weight decay has no time to act in so short a run: α is an axis alone.")
    if wrong := warning(defined):
        notes.append(wrong)
    defined, begins = begin(defined, start, split, chosen, stored=stored)
    notes += begins
    defined.region()
    return TrainingProblem(defined, tuple(notes), data_dir, checkpoints, why, attributes=attributes)


def of_definition(
    defined: StudyDefinition, data_dir: str | None, device: str, checkpoints: Path | None
) -> TrainingProblem:
    """The training of a definition as it is. Raises UserError if this machine cannot run it."""
    check_fits(defined, load_split(defined.data, data_dir), set_up_device(device))
    return TrainingProblem(defined, (), data_dir, checkpoints)


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


def with_default_start(defined: StudyDefinition, data_dir: str | None) -> StudyDefinition:
    """The definition with its constants, and theory's start where it names none."""
    images = len(load_split(defined.data, data_dir).train)
    defined = defined.with_constants(images)
    if default_kind(defined) == "theory":
        defined, _ = from_theory(defined, images)
    return defined


@cache
def load_split(config: DataConfig, data_dir: str | None) -> Split:
    """A data set, split as a definition says; read once a process."""
    return data.split(data.load(config.name, data_dir), config)


def _invariant(optimizer: str) -> str:
    """What the symmetry leaves alone."""
    if optimizer not in OPTIMIZERS:
        return "lr"
    return Coordinates.for_optimizer(optimizer, momentum=None).axes[0]


def _values(params: Mapping[str, Any]) -> str:
    return ", ".join(f"{symbol(name)} = {value}" for name, value in params.items())


def _range(distribution: Any) -> str:
    if hasattr(distribution, "choices"):
        return f"one of {', '.join(map(str, distribution.choices))}"
    scale = "logarithmic" if distribution.log else "linear"
    return f"from {distribution.low:g} to {distribution.high:g}, {scale}"
