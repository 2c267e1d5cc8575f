"""Running a slice: an ordinary study whose points are a lattice around a configuration."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from optuna.distributions import BaseDistribution
from optuna.pruners import NopPruner
from optuna.study import Study
from optuna.trial import Trial

from hptoolkit import definition, slices, stored
from hptoolkit import storage as storages
from hptoolkit.coordinates import Coordinates
from hptoolkit.definition import OwnObjective, StudyDefinition
from hptoolkit.errors import UserError, nearest
from hptoolkit.opening import open_study
from hptoolkit.samplers import DesignSampler
from hptoolkit.samplers._history import MAX_CRASHES
from hptoolkit.sections import Search
from hptoolkit.slices import Slice
from hptoolkit.summary import best_trial

if TYPE_CHECKING:
    from rich.console import Console

    from hptoolkit.progress import Progress
    from hptoolkit.runner import Ending

LEVELS, FACTOR, REPEATS = (7, 7), 2.0, 1


@dataclass(frozen=True)
class Asked:
    """What the command line asks of a slice; None where it leaves the choice to us.

    Attributes:
        names: Two raw parameters, comma-separated.
        levels: `7`, or `11,7` for each of the two.
        factor, repeats: See `Slice`.
        at: `name=value` of the centre.
    """

    names: str
    levels: str | None = None
    factor: float | None = None
    repeats: int | None = None
    at: tuple[str, ...] = ()


@dataclass(frozen=True)
class Plan:
    """A slice that is ready to be run.

    Attributes:
        defined: The definition, its start the slice's centre.
        lattice: The slice.
        space: Raw parameters' distributions.
        points: The lattice's points, in order.
        notes: What to tell about it.
        objective: Makes the objective, given who shows the epochs.
    """

    defined: Search
    lattice: Slice
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
    space = _space(defined, source)
    coordinates = Coordinates(*defined.coordinates.axes)
    pair = _pair(asked.names)
    if asked.factor is not None and not 1.0 < asked.factor < math.inf:
        raise UserError(f"--factor {asked.factor:g}: a number above 1 is needed, such as 2.")
    slices.factors(pair, coordinates, space)
    kept = None if fresh else _kept(defined, pair, address)
    lattice = _lattice(pair, asked, kept) or Slice(
        pair,
        _centre(defined, source, asked, space),
        _levels(asked.levels),
        asked.factor or FACTOR,
        asked.repeats or REPEATS,
    )
    points, notes = slices.points(lattice, coordinates, space)
    budget = len(points) * (lattice.repeats + MAX_CRASHES)
    changes = {"start": lattice.centre, "pruner": "none", "trials": budget}
    defined = defined.model_copy(update=changes)
    objective = _objective(defined, data_dir, device)
    return Plan(defined, lattice, space, points, notes, objective)


def open_slice(plan: Plan, address: str, *, fresh: bool) -> Study:
    """The stored study of the slice, or a new one."""
    sampler = DesignSampler(
        Coordinates(*plan.defined.coordinates.axes),
        search_space=plan.space,
        points=plan.points,
        seed=plan.defined.seed,
        repeats=plan.lattice.repeats,
    )
    kind = _kind(plan.lattice.names)
    study = open_study(plan.defined, kind, sampler, NopPruner(), address, fresh=fresh, raw=False)
    study.set_user_attr(stored.SLICE, json.loads(json.dumps(asdict(plan.lattice))))
    return study


def check_mlflow(mlflow: str | None) -> None:
    """Raise UserError for a tracking URI at which nothing can be logged."""
    from hptoolkit.tracking.location import check_uri, database_file

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
    if tracker:
        outcome = summary.as_json(study, address, over.reason)
        tracker.finish(outcome, interrupted=over.exit_code > 128)
        tracker.close()
    return over


def _source(name: str, fields: tuple[str, ...], address: str) -> tuple[Search, Study | None]:
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


def _space(defined: Search, source: Study | None) -> dict[str, BaseDistribution]:
    if defined.distributions is not None:
        return dict(defined.distributions)
    best = source and best_trial(source)
    if not best:
        raise UserError(
            "The objective's search space is not known before one of its trials is complete: run "
            "the study first."
        )
    return dict(best.distributions)


def _pair(text: str) -> tuple[str, str]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    if len(names) != 2:
        raise UserError(
            f"--slice {text!r} names {len(names)} parameters: two, comma-separated, are needed, "
            "such as lr,momentum."
        )
    return names[0], names[1]


def _levels(text: str | None) -> tuple[int, int]:
    if text is None:
        return LEVELS
    parts = text.split(",")
    if len(parts) > 2 or not all(part.strip().isdecimal() and int(part) > 1 for part in parts):
        raise UserError(f"--levels {text!r}: a number above 1, or two as in 11,7, are needed.")
    return int(parts[0]), int(parts[-1])


def _kind(pair: tuple[str, str]) -> str:
    return f"slice-{pair[0]}-{pair[1]}"


def _kept(defined: Search, pair: tuple[str, str], address: str) -> Slice | None:
    """The lattice of the slice that is stored already."""
    found = storages.latest(f"{defined.name}-{_kind(pair)}", stored.names(address))
    if found is None:
        return None
    kept = stored.load(address, found).user_attrs.get(stored.SLICE)
    if not isinstance(kept, dict):
        return None
    levels = (int(kept["levels"][0]), int(kept["levels"][1]))
    return Slice(pair, dict(kept["centre"]), levels, kept["factor"], kept["repeats"])


def _lattice(pair: tuple[str, str], asked: Asked, kept: Slice | None) -> Slice | None:
    """The stored slice with what may be changed, which is to repeat it and to enlarge it."""
    if kept is None:
        return None
    for name, value in _assigned(asked.at).items():
        if str(kept.centre.get(name)) != value and not _equal(kept.centre.get(name), value):
            raise UserError(
                f"The stored slice has {name} = {kept.centre.get(name)} at its centre, and --at "
                f"asks for {value}: use --fresh to begin another."
            )
    if asked.factor not in (None, kept.factor):
        raise UserError(
            f"The stored slice steps by factors of {kept.factor:g}, and --factor asks for "
            f"{asked.factor:g}: use --fresh to begin another."
        )
    levels = _levels(asked.levels) if asked.levels else kept.levels
    return Slice(pair, kept.centre, levels, kept.factor, asked.repeats or kept.repeats)


def _equal(value: Any, text: str) -> bool:
    try:
        return float(value) == float(text)
    except (TypeError, ValueError):
        return False


def _centre(
    defined: Search, source: Study | None, asked: Asked, space: Mapping[str, BaseDistribution]
) -> dict[str, Any]:
    """The best configuration known, else the definition's start, changed by --at."""
    best = best_trial(source) if source else None
    centre = dict(best.params) if best else dict(defined.start)
    for name, text in _assigned(asked.at).items():
        if name not in space:
            raise UserError(
                f"--at names {name!r}, which the study does not search: {nearest(name, space)}."
            )
        centre[name] = _value(name, text, space[name])
    missing = [name for name in space if name not in centre]
    if missing:
        raise UserError(f"The slice's centre lacks {', '.join(missing)}: give it by --at.")
    return {name: centre[name] for name in space}


def _assigned(assignments: Iterable[str]) -> dict[str, str]:
    pairs = {}
    for assignment in assignments:
        name, equals, text = assignment.partition("=")
        if not equals or not name.strip() or not text.strip():
            raise UserError(f"--at {assignment!r} is not NAME=VALUE, such as lr=0.5.")
        pairs[name.strip()] = text.strip()
    return pairs


def _value(name: str, text: str, distribution: BaseDistribution) -> Any:
    choices = getattr(distribution, "choices", None)
    if choices is not None:
        for choice in choices:
            if str(choice) == text:
                return choice
        raise UserError(f"--at {name}={text}: one of {', '.join(map(str, choices))} is needed.")
    low, high = distribution.low, distribution.high  # type: ignore[attr-defined]
    whole = type(low) is int
    try:
        value = int(text) if whole else float(text)
    except ValueError:
        value = None
    if value is None or not low <= value <= high:
        kind = "whole number" if whole else "number"
        raise UserError(f"--at {name}={text}: a {kind} from {low:g} to {high:g} is needed.")
    return value


def _objective(
    defined: Search, data_dir: str | None, device: str
) -> Callable[[Progress], Callable[[Trial], float]]:
    if isinstance(defined, OwnObjective):
        from hptoolkit.own_objective import resolve

        function = resolve(defined.objective)
        return lambda progress: function
    from hptoolkit.objective import Objective, check_batch
    from hptoolkit.training import data, set_up_device

    assert isinstance(defined, StudyDefinition)
    built_in = defined
    split = data.split(data.load(built_in.data.name, data_dir), built_in.data)
    check_batch(built_in, split)
    chosen = set_up_device(device)
    return lambda progress: Objective(built_in, split, chosen, progress.epoch_ended)
