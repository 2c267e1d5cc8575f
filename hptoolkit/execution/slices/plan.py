"""A slice, planned: an ordinary study whose points are a lattice around a configuration."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace

from optuna.distributions import BaseDistribution
from optuna.study import Study

from hptoolkit import storage as storages
from hptoolkit.attributes import SLICE, read
from hptoolkit.config.definition import OwnObjective, StudyDefinition
from hptoolkit.config.load import load_study, study_names
from hptoolkit.config.schema import Search
from hptoolkit.errors import UserError, nearest
from hptoolkit.execution import studies
from hptoolkit.execution.problem import Problem
from hptoolkit.execution.slices import lattice
from hptoolkit.execution.slices.lattice import Slice
from hptoolkit.execution.slices.request import SliceRequest, continued_slice, new_slice, pair
from hptoolkit.samplers import DesignSampler
from hptoolkit.samplers.history import MAX_CRASHES
from hptoolkit.samplers.incumbent import Incumbent, incumbent


@dataclass(frozen=True)
class Plan:
    """A slice that is ready to be run.

    Attributes:
        problem: What is tuned, its start the slice's centre.
        slice: The lattice, which its study keeps.
        sampler: Evaluates the lattice's points, in order.
    """

    problem: Problem
    slice: Slice
    sampler: DesignSampler

    @property
    def kind(self) -> str:
        """What stands for the sampler's name."""
        return _kind(self.slice.names)


def prepare(
    name: str,
    request: SliceRequest,
    fields: Iterable[str],
    address: str,
    data_dir: str | None,
    device: str,
    trials: int | None,
    *,
    fresh: bool,
) -> Plan:
    """A slice of a stored study or of a definition, everything checked. Raises UserError.

    Args:
        name: The study's or the definition's.
        request: The slice that is requested.
        fields: Of the definition, see `load_study`.
        address: The storage.
        data_dir, device: See `builtin_study.prepare`.
        trials: The budget in total; None for the whole lattice.
        fresh: Whether to begin a new slice where one is stored.
    """
    defined, source = _source(name, tuple(fields), address, data_dir)
    best = incumbent(source) if source else None
    space = _space(defined, source, best)
    coordinates = defined.system
    names = pair(request)
    lattice.factors(names, coordinates, space)
    stored = None if fresh else _stored(defined, names, address)
    if stored is None:
        centre = dict(defined.start) | (dict(best.params) if best else {})
        chosen = new_slice(request, centre, space)
    else:
        chosen = continued_slice(request, stored)
    points, notes = lattice.points(chosen, coordinates, space)
    whole = len(points) * (chosen.repeats + MAX_CRASHES)
    changes = {"start": chosen.centre, "pruner": "none", "trials": trials or whole}
    problem = _problem(defined.model_copy(update=changes), address, data_dir, device)
    sampler = DesignSampler(
        coordinates,
        search_space=space,
        points=points,
        seed=defined.seed,
        repeats=chosen.repeats,
    )
    return Plan(replace(problem, notes=tuple(notes)), chosen, sampler)


def remember(chosen: Slice, study: Study) -> None:
    """Keep a slice with its study, for whoever continues or draws it."""
    study.set_user_attr(SLICE, json.loads(json.dumps(asdict(chosen))))


def _source(
    name: str, fields: tuple[str, ...], address: str, data_dir: str | None
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
    from hptoolkit.execution.builtin_study import with_default_start

    defined = with_default_start(load_study(name, fields), data_dir)
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


def _kind(names: tuple[str, str]) -> str:
    return f"slice-{names[0]}-{names[1]}"


def _stored(defined: Search, names: tuple[str, str], address: str) -> Slice | None:
    """The lattice of the slice that is stored already."""
    name = storages.latest(f"{defined.name}-{_kind(names)}", studies.names(address))
    if name is None:
        return None
    fields = read(studies.load(address, name).user_attrs, SLICE, dict)
    if fields is None:
        return None
    levels = (int(fields["levels"][0]), int(fields["levels"][1]))
    return Slice(names, dict(fields["centre"]), levels, fields["factor"], fields["repeats"])


def _problem(
    defined: StudyDefinition | OwnObjective, address: str, data_dir: str | None, device: str
) -> Problem:
    if isinstance(defined, OwnObjective):
        from hptoolkit.execution import user_function

        return user_function.of_definition(defined)
    from hptoolkit.execution import builtin_study

    checkpoints = storages.checkpoint_folder(address)
    return builtin_study.of_definition(defined, data_dir, device, checkpoints)
