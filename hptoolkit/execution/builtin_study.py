"""The built-in objective of a study: its data, and the axes that its network suggests."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hptoolkit.config.definition import StudyDefinition
from hptoolkit.coordinates.theory import OPTIMIZERS
from hptoolkit.execution.objective import Objective
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
        split = load_split(self.defined.data, self.data_dir)
        chosen = set_up_device(device)
        return Objective(self.defined, split, chosen, on_epoch, self.checkpoints, keep_weights=True)


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
        decoupled=defined.training.decoupled_decay,
    ).axes


@cache
def load_split(config: DataConfig, data_dir: str | None) -> Split:
    """A data set, split as a definition says; read once a process."""
    return data.split(data.load(config.name, data_dir), config)
