"""Samplers and pruners by the names that the command line and study files use."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

from hptoolkit.config.schema import Search
from hptoolkit.errors import UserError, nearest

if TYPE_CHECKING:
    from optuna.pruners import BasePruner
    from optuna.samplers import BaseSampler

    from hptoolkit.samplers import CoordinateSampler


SAMPLERS = ("coord", "grid", "random", "gp", "tpe", "cmaes", "qmc", "optuna-gp")


def check_sampler(name: str) -> None:
    """Raise UserError for an unknown sampler."""
    if name not in SAMPLERS:
        raise UserError(f"Unknown sampler {name!r}: {nearest(name, SAMPLERS)}.")


def sampler(name: str, definition: Search) -> CoordinateSampler:
    """A definition's sampler; its section's fields are the sampler's keywords.

    Raises UserError for an unknown name.
    """
    from hptoolkit import samplers

    check_sampler(name)
    coordinates = definition.system
    common: dict[str, Any] = {
        "search_space": definition.distributions,
        "box": definition.coordinates.box,
        "start": definition.start,
        "seed": definition.seed,
    }
    match name:
        case "coord":
            common["minimum_improvement"] = definition.goal.minimum_improvement
            options = definition.coord.model_dump()
            return samplers.CoordinateDescentSampler(coordinates, **common, **options)
        case "grid":
            # A lattice laid through a deliberately bad start is as bad: it has its own middle.
            del common["start"]
            return samplers.GridSampler(coordinates, **common, **definition.grid.model_dump())
        case "random":
            return samplers.RandomSampler(coordinates, **common, **definition.random.model_dump())
        case "gp":
            # Over raw axes, plain: the exponents of a first axis are what coordinates bring.
            mixed = any(len(coordinates.reduce(axis)[0]) > 1 for axis in coordinates.axes)
            return samplers.GPSampler(coordinates, **common, learn=mixed)
        case _:
            return samplers.Reparameterized(_optunas(name, definition.seed), coordinates, **common)


def _optunas(name: str, seed: int) -> BaseSampler:
    """One of Optuna's samplers."""
    from optuna import samplers
    from optuna.exceptions import ExperimentalWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        match name:
            case "tpe":
                return samplers.TPESampler(seed=seed)
            case "cmaes":
                return samplers.CmaEsSampler(seed=seed)
            case "qmc":
                return samplers.QMCSampler(scramble=True, seed=seed)
            case _:
                return samplers.GPSampler(seed=seed)


def pruner(definition: Search) -> BasePruner:
    """A definition's pruner, one of Optuna's, set up for the epochs of its trials."""
    from optuna import pruners

    epochs = definition.epochs or 100
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


def notes(chosen: CoordinateSampler, definition: Search) -> list[str]:
    """What to know of a sampler before it starts."""
    from hptoolkit.samplers import GridSampler

    if isinstance(chosen, GridSampler) and definition.distributions is not None:
        runs = chosen.count(definition.distributions)
        return [f"The grid takes {runs} runs at most, the budget is {definition.trials}."]
    return []
