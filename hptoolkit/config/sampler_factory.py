"""Samplers and pruners by the names that the command line and study files use."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from hptoolkit.config.schema import Search
from hptoolkit.coordinates import Coordinates
from hptoolkit.coordinates.monomial import parse
from hptoolkit.errors import UserError, nearest

if TYPE_CHECKING:
    from optuna.pruners import BasePruner
    from optuna.samplers import BaseSampler

    from hptoolkit.samplers import CoordinateSampler


def check_sampler(name: str) -> None:
    """Raise UserError for an unknown sampler."""
    if name not in SAMPLERS:
        raise UserError(f"Unknown sampler {name!r}: {nearest(name, SAMPLERS)}.")


def sampler(name: str, definition: Search) -> CoordinateSampler:
    """A definition's sampler. Raises UserError for an unknown name."""
    check_sampler(name)
    return SAMPLERS[name](definition)


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


def notes(made: CoordinateSampler, definition: Search) -> list[str]:
    """What to know of a sampler before it starts."""
    from hptoolkit.samplers import GridSampler

    if isinstance(made, GridSampler) and definition.distributions is not None:
        runs = made.count(definition.distributions)
        return [f"The grid takes {runs} runs at most, the budget is {definition.trials}."]
    return []


def _common(definition: Search) -> dict[str, Any]:
    return {
        "search_space": definition.distributions,
        "box": definition.coordinates.box,
        "start": definition.start,
        "seed": definition.seed,
    }


def _coord(definition: Search) -> CoordinateSampler:
    from hptoolkit.samplers import CoordinateDescentSampler

    rules = definition.coord.model_dump()
    rules["minimum_improvement"] = definition.goal.minimum_improvement
    return CoordinateDescentSampler(_coordinates(definition), **rules, **_common(definition))


def _grid(definition: Search) -> CoordinateSampler:
    from hptoolkit.samplers import GridSampler

    rules = definition.grid.model_dump()
    # A lattice laid through a deliberately bad start would be as bad: it has its own middle.
    return GridSampler(_coordinates(definition), **rules, **(_common(definition) | {"start": None}))


def _random(definition: Search) -> CoordinateSampler:
    from hptoolkit.samplers import RandomSampler

    rules = definition.random.model_dump()
    return RandomSampler(_coordinates(definition), **rules, **_common(definition))


def _gp(definition: Search) -> CoordinateSampler:
    from hptoolkit.samplers import GPSampler

    # Over raw axes, plain: the exponents of a first axis are what coordinates bring.
    mixed = any(len(parse(axis)) > 1 for axis in definition.coordinates.axes)
    return GPSampler(_coordinates(definition), learn=mixed, **_common(definition))


def _wrapped(make: Callable[[int], BaseSampler]) -> Callable[[Search], CoordinateSampler]:
    def build(definition: Search) -> CoordinateSampler:
        from optuna.exceptions import ExperimentalWarning

        from hptoolkit.samplers import Reparameterized

        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            inner = make(definition.seed)
        return Reparameterized(inner, _coordinates(definition), **_common(definition))

    return build


def _tpe(seed: int) -> BaseSampler:
    from optuna.samplers import TPESampler

    return TPESampler(seed=seed)


def _cmaes(seed: int) -> BaseSampler:
    from optuna.samplers import CmaEsSampler

    return CmaEsSampler(seed=seed)


def _qmc(seed: int) -> BaseSampler:
    from optuna.samplers import QMCSampler

    return QMCSampler(scramble=True, seed=seed)


def _optuna_gp(seed: int) -> BaseSampler:
    from optuna.samplers import GPSampler

    return GPSampler(seed=seed)


def _coordinates(definition: Search) -> Coordinates:
    return Coordinates(*definition.coordinates.axes)


SAMPLERS: dict[str, Callable[[Search], CoordinateSampler]] = {
    "coord": _coord,
    "grid": _grid,
    "random": _random,
    "gp": _gp,
    "tpe": _wrapped(_tpe),
    "cmaes": _wrapped(_cmaes),
    "qmc": _wrapped(_qmc),
    "optuna-gp": _wrapped(_optuna_gp),
}
