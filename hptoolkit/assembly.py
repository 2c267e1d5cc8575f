"""Samplers and pruners by the names that the command line and study files use."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from hptoolkit.coordinates import Coordinates
from hptoolkit.definition import StudyDefinition
from hptoolkit.errors import UserError, nearest

if TYPE_CHECKING:
    from optuna.pruners import BasePruner

    from hptoolkit.samplers import CoordinateSampler


def sampler(name: str, definition: StudyDefinition) -> CoordinateSampler:
    """A definition's sampler. Raises UserError for an unknown name."""
    if name not in SAMPLERS:
        raise UserError(f"Unknown sampler {name!r}: {nearest(name, SAMPLERS)}.")
    return SAMPLERS[name](definition)


def pruner(definition: StudyDefinition) -> BasePruner:
    """A definition's pruner, one of Optuna's, set up for its number of epochs."""
    from optuna import pruners

    epochs = definition.training.epochs
    match definition.pruner:
        case "median":
            # An early epoch says little: the learning rate rises for the first fifth.
            return pruners.MedianPruner(n_startup_trials=4, n_warmup_steps=max(epochs // 4, 1))
        case "halving":
            return pruners.SuccessiveHalvingPruner(min_resource=max(epochs // 8, 1))
        case "hyperband":
            return pruners.HyperbandPruner(min_resource=1, max_resource=epochs)
        case "none":
            return pruners.NopPruner()


def _coord(definition: StudyDefinition) -> CoordinateSampler:
    from hptoolkit.samplers import CoordinateDescentSampler

    return CoordinateDescentSampler(
        Coordinates(*definition.coordinates.axes),
        search_space=definition.distributions,
        box=definition.coordinates.box,
        start=definition.start,
        seed=definition.seed,
        factor=definition.coord.factor,
        order=definition.coord.order,
        directions=definition.coord.directions,
        refine=definition.coord.refine,
        minimum_improvement=definition.metric.minimum_improvement,
    )


SAMPLERS: dict[str, Callable[[StudyDefinition], CoordinateSampler]] = {"coord": _coord}
