"""Running a slice: an ordinary study whose points are a lattice around a configuration."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.pruners import NopPruner
from optuna.study import Study
from optuna.trial import Trial

from hptoolkit import storage as storages
from hptoolkit.attributes import SLICE, read
from hptoolkit.config.definition import OwnObjective, StudyDefinition
from hptoolkit.config.load import load_study, study_names
from hptoolkit.config.schema import Search
from hptoolkit.coordinates import Coordinates
from hptoolkit.errors import UserError, nearest
from hptoolkit.execution import studies
from hptoolkit.execution.engines.engine import Display
from hptoolkit.execution.open_study import open_study
from hptoolkit.execution.slices import lattice, options
from hptoolkit.execution.slices.lattice import Slice
from hptoolkit.execution.slices.options import Asked
from hptoolkit.samplers import DesignSampler
from hptoolkit.samplers.history import MAX_CRASHES
from hptoolkit.samplers.incumbent import Incumbent, incumbent


@dataclass(frozen=True)
class Plan:
    """A slice that is ready to be run.

    Attributes:
        defined: The definition, its start the slice's centre.
        chosen: Its lattice.
        space: Raw parameters' distributions.
        points: The lattice's points, in order.
        notes: What to tell about it.
        objective: Makes the objective, given who shows the epochs.
    """

    defined: Search
    chosen: Slice
    space: dict[str, BaseDistribution]
    points: list[dict[str, Any]]
    notes: list[str]
    objective: Callable[[Display], Callable[[Trial], float]]


def prepare(
    name: str,
    asked: Asked,
    fields: Iterable[str],
    address: str,
    data_dir: str | None,
    device: str,
    *,
    fresh: bool,
) -> Plan:
    """A slice of a stored study or of a definition, everything checked. Raises UserError."""
    defined, source = _source(name, tuple(fields), address)
    best = incumbent(source) if source else None
    space = _space(defined, source, best)
    coordinates = Coordinates(*defined.coordinates.axes)
    lattice.factors(options.pair(asked), coordinates, space)
    kept = None if fresh else _kept(defined, options.pair(asked), address)
    if kept is None:
        centre = dict(defined.start) | (dict(best.params) if best else {})
        chosen = options.begun(asked, centre, space)
    else:
        chosen = options.continued(asked, kept)
    points, notes = lattice.points(chosen, coordinates, space)
    budget = len(points) * (chosen.repeats + MAX_CRASHES)
    changes = {"start": chosen.centre, "pruner": "none", "trials": budget}
    defined = defined.model_copy(update=changes)
    objective = _objective(defined, address, data_dir, device)
    return Plan(defined, chosen, space, points, notes, objective)


def open_slice(plan: Plan, address: str, *, fresh: bool) -> Study:
    """The stored study of the slice, or a new one."""
    sampler = DesignSampler(
        Coordinates(*plan.defined.coordinates.axes),
        search_space=plan.space,
        points=plan.points,
        seed=plan.defined.seed,
        repeats=plan.chosen.repeats,
    )
    kind = _kind(plan.chosen.names)
    study = open_study(plan.defined, kind, sampler, NopPruner(), address, fresh=fresh, raw=False)
    study.set_user_attr(SLICE, json.loads(json.dumps(asdict(plan.chosen))))
    return study


def _source(
    name: str, fields: tuple[str, ...], address: str
) -> tuple[StudyDefinition | OwnObjective, Study | None]:
    """The definition to run, and the study whose best configuration is the centre."""
    there = studies.names(address)
    if name in there:
        study = studies.load(address, name)
        defined = studies.definition_of(study)
        if defined is None:
            raise UserError(
                f"The study {name} keeps no definition of hptoolkit: there is no objective that "
                "--slice could run. Give a definition's name instead."
            )
        if fields:
            raise UserError(
                f"--set changes a definition, and {name} is a stored study: give the "
                f"definition's name, {defined.name}."
            )
        return defined, study
    if not name.endswith(".toml") and name not in study_names():
        known = [*there, *study_names()]
        raise UserError(f"Neither a stored study nor a definition is {name!r}: "
                        f"{nearest(name, known)}.")  # fmt: skip
    defined = load_study(name, fields)
    return defined, studies.newest(address, defined.name)


def _space(
    defined: Search, source: Study | None, best: Incumbent | None
) -> dict[str, BaseDistribution]:
    if defined.distributions is not None:
        return dict(defined.distributions)
    if source is None or best is None:
        raise UserError(
            "The objective's search space is not known before one of its trials is complete: run "
            "the study first."
        )
    return dict(source.get_trials(deepcopy=False)[best.numbers[0]].distributions)


def _kind(pair: tuple[str, str]) -> str:
    return f"slice-{pair[0]}-{pair[1]}"


def _kept(defined: Search, pair: tuple[str, str], address: str) -> Slice | None:
    """The lattice of the slice that is stored already."""
    found = storages.latest(f"{defined.name}-{_kind(pair)}", studies.names(address))
    if found is None:
        return None
    kept = read(studies.load(address, found).user_attrs, SLICE, dict)
    if kept is None:
        return None
    levels = (int(kept["levels"][0]), int(kept["levels"][1]))
    return Slice(pair, dict(kept["centre"]), levels, kept["factor"], kept["repeats"])


def _objective(
    defined: StudyDefinition | OwnObjective, address: str, data_dir: str | None, device: str
) -> Callable[[Display], Callable[[Trial], float]]:
    if isinstance(defined, OwnObjective):
        from hptoolkit.execution.user_function import resolve

        function = resolve(defined.objective)
        return lambda progress: function
    from hptoolkit.execution.objective import Objective, check_fits
    from hptoolkit.training import data, set_up_device

    split = data.split(data.load(defined.data.name, data_dir), defined.data)
    chosen = set_up_device(device)
    check_fits(defined, split, chosen)
    kept = storages.checkpoint_folder(address)
    return lambda progress: Objective(
        defined, split, chosen, progress.epoch_ended, kept, keep_weights=True
    )
