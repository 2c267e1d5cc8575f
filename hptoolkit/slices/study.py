"""Running a slice: an ordinary study whose points are a lattice around a configuration."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from optuna.distributions import BaseDistribution
from optuna.pruners import NopPruner
from optuna.study import Study
from optuna.trial import FrozenTrial, Trial

from hptoolkit import definition, stored
from hptoolkit import storage as storages
from hptoolkit.attributes import SLICE
from hptoolkit.coordinates import Coordinates
from hptoolkit.definition import OwnObjective, StudyDefinition
from hptoolkit.errors import UserError, nearest
from hptoolkit.opening import open_study
from hptoolkit.samplers import DesignSampler
from hptoolkit.samplers.history import MAX_CRASHES
from hptoolkit.sections import Search
from hptoolkit.slices import lattice, options
from hptoolkit.slices.lattice import Slice
from hptoolkit.slices.options import Asked
from hptoolkit.summary import best_trial

if TYPE_CHECKING:
    from rich.console import Console

    from hptoolkit.progress import Progress
    from hptoolkit.runner import Ending


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
    objective: Callable[[Progress], Callable[[Trial], float]]


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
    best = best_trial(source) if source else None
    space = _space(defined, best)
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


def check_mlflow(mlflow: str | None) -> None:
    """Raise UserError for a tracking URI at which nothing can be logged."""
    from hptoolkit.storage.urls import database_file
    from hptoolkit.tracking.location import check_uri

    if mlflow != "off" and (file := database_file(check_uri(mlflow))) is not None:
        storages.check_writable(file, "--mlflow")


def run_slice(
    study: Study,
    plan: Plan,
    address: str,
    mlflow: str | None,
    console: Console,
    trials: int | None,
) -> Ending:
    """Run what is missing of a slice, `trials` in total at most, and log it."""
    from hptoolkit import summary
    from hptoolkit.progress import Progress
    from hptoolkit.publishing import publish
    from hptoolkit.runner import run
    from hptoolkit.storage import put_back_orphans
    from hptoolkit.tracking import Tracker

    put_back_orphans(study)
    for note in plan.notes:
        console.print(note, markup=False, soft_wrap=True)
    goal, best = plan.defined.goal, summary.best_trial(study)
    tracker = None if mlflow == "off" else Tracker(mlflow, study, on_problem=console.print)
    if tracker:
        tracker.sync()
    progress = Progress(
        console,
        names=list(plan.space),
        axes=[axis for axis in plan.defined.coordinates.axes if "*" in axis or "/" in axis],
        metric_name=goal.name,
        maximize=goal.direction == "maximize",
        best=best.value if best else None,
        on_end=tracker.log if tracker else None,
    )
    with progress:
        budget = trials or plan.defined.trials
        over = run(study, plan.objective(progress), trials=budget, listener=progress)
    outcome = summary.as_json(study, address, over.reason)
    stopped = over.exit_code > 128
    for line in publish(study, plan.defined, outcome, tracker, interrupted=stopped):
        console.print(line, markup=False, soft_wrap=True)
    if tracker:
        tracker.close()
    return over


def _source(
    name: str, fields: tuple[str, ...], address: str
) -> tuple[StudyDefinition | OwnObjective, Study | None]:
    """The definition to run, and the study whose best configuration is the centre."""
    there = stored.names(address)
    if name in there:
        study = stored.load(address, name)
        defined = stored.definition_of(study)
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
    if not name.endswith(".toml") and name not in definition.names():
        known = [*there, *definition.names()]
        raise UserError(f"Neither a stored study nor a definition is {name!r}: "
                        f"{nearest(name, known)}.")  # fmt: skip
    defined = definition.load(name, fields)
    return defined, stored.newest(address, defined.name)


def _space(defined: Search, best: FrozenTrial | None) -> dict[str, BaseDistribution]:
    if defined.distributions is not None:
        return dict(defined.distributions)
    if best is None:
        raise UserError(
            "The objective's search space is not known before one of its trials is complete: run "
            "the study first."
        )
    return dict(best.distributions)


def _kind(pair: tuple[str, str]) -> str:
    return f"slice-{pair[0]}-{pair[1]}"


def _kept(defined: Search, pair: tuple[str, str], address: str) -> Slice | None:
    """The lattice of the slice that is stored already."""
    found = storages.latest(f"{defined.name}-{_kind(pair)}", stored.names(address))
    if found is None:
        return None
    kept = stored.load(address, found).user_attrs.get(SLICE)
    if not isinstance(kept, dict):
        return None
    levels = (int(kept["levels"][0]), int(kept["levels"][1]))
    return Slice(pair, dict(kept["centre"]), levels, kept["factor"], kept["repeats"])


def _objective(
    defined: StudyDefinition | OwnObjective, address: str, data_dir: str | None, device: str
) -> Callable[[Progress], Callable[[Trial], float]]:
    if isinstance(defined, OwnObjective):
        from hptoolkit.own_objective import resolve

        function = resolve(defined.objective)
        return lambda progress: function
    from hptoolkit.objective import Objective, check_batch
    from hptoolkit.training import data, set_up_device

    split = data.split(data.load(defined.data.name, data_dir), defined.data)
    check_batch(defined, split)
    chosen = set_up_device(device)
    kept = storages.checkpoint_folder(address)
    return lambda progress: Objective(
        defined, split, chosen, progress.epoch_ended, kept, keep_weights=True
    )
