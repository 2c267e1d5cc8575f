"""Reading a stored study into plain values."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

import numpy as np
from optuna.distributions import BaseDistribution
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from hptoolkit.attributes import (
    AT_CHANCE,
    COORDINATES,
    HISTORY,
    PRUNED_REASON,
    SAMPLER,
    SEED,
    SLICE,
)
from hptoolkit.attributes import read as read_attribute
from hptoolkit.config.schema import Search
from hptoolkit.coordinates import Coordinates
from hptoolkit.coordinates.monomial import Factor
from hptoolkit.errors import UserError
from hptoolkit.reporting.figures.view import Run, Step, StudyView

_STATES = {
    TrialState.COMPLETE: "complete",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
    TrialState.RUNNING: "running",
}

# How the reason of a pruned trial begins whose training went wrong (objective.py, runner.py).
_DIVERGED = ("diverged", "the objective returned")


def read(study: Study, definition: Search | None) -> StudyView:
    """The view of a stored study; `definition` None for one that hptoolkit did not make."""
    trials = study.get_trials(deepcopy=False)
    space = _space(trials, definition)
    coordinates, searched = _coordinates(trials, definition, space)
    maximize = study.direction.name == "MAXIMIZE"
    metric = definition.goal.name if definition else "value"
    runs = [_run(t, coordinates, metric) for t in trials if _ran(t, space)]
    kept = read_attribute(study.user_attrs, SLICE, dict)
    return StudyView(
        name=study.study_name,
        metric=metric,
        maximize=maximize,
        space=space,
        coordinates=coordinates,
        searched=searched,
        runs=tuple(runs),
        steps=tuple(_steps(study, definition, runs, maximize)),
        box=definition.coordinates.box if definition else {},
        slice_of=tuple(kept["names"]) if kept and "names" in kept else None,
        by_option=definition is not None and definition.distributions is not None,
    )


def theory(definition: Search | None, names: Iterable[str]) -> Coordinates:
    """Theory's coordinates for the parameters searched; without axes where none are known."""
    training = getattr(definition, "training", None)
    optimizer = getattr(training, "optimizer", "sgd")
    names = set(names)
    if "lr" not in names or len(names & {"momentum", "weight_decay", "batch_size"}) == 0:
        return Coordinates()
    roles = {r: r if r in names else None for r in ("momentum", "weight_decay", "batch_size")}
    try:
        return Coordinates.for_optimizer(optimizer, **roles)  # type: ignore[arg-type]
    except UserError:
        return Coordinates()


def _space(trials: list[FrozenTrial], definition: Search | None) -> dict[str, BaseDistribution]:
    """What the definition says, or what all complete trials suggested."""
    if definition is not None and definition.distributions is not None:
        return dict(definition.distributions)
    told = [t for t in trials if t.state == TrialState.COMPLETE] or trials
    if not told:
        return {}
    common = set.intersection(*(set(t.distributions) for t in told))
    return {name: d for name, d in told[-1].distributions.items() if name in common}


def _coordinates(
    trials: list[FrozenTrial], definition: Search | None, space: Mapping[str, BaseDistribution]
) -> tuple[Coordinates, bool]:
    """The axes searched if they mix parameters, else theory's; and whether they were searched."""
    axes = definition.coordinates.axes if definition else ()
    if not axes:
        told = (read_attribute(t.user_attrs, COORDINATES, dict) for t in trials)
        axes = tuple(next((c for c in told if c), ()))
    constants = definition.constants if definition else {}
    try:
        searched = Coordinates(*axes, constants=constants)
    except UserError:
        searched = Coordinates()
    mixed = any(np.count_nonzero(row) > 1 for row in searched.matrix)
    if mixed and all(name in space for name in searched.names):
        return searched, True
    known = theory(definition, space)
    ran = [trial for trial in trials if _ran(trial, space)]
    # A weight decay of 0 has no place on a logarithmic axis.
    placed = [f.name for f in known.factors if all(_has_place(f, t.params[f.name]) for t in ran)]
    known = theory(definition, placed)
    return (known, False) if known.axes else (Coordinates(), bool(axes))


def _has_place(factor: Factor, value: object) -> bool:
    return isinstance(value, int | float) and factor.value(float(value)) > 0


def _ran(trial: FrozenTrial, space: Mapping[str, BaseDistribution]) -> bool:
    return trial.state in _STATES and all(name in trial.params for name in space)


def _run(trial: FrozenTrial, coordinates: Coordinates, metric: str) -> Run:
    reason = read_attribute(trial.user_attrs, PRUNED_REASON, str)
    reason = reason or read_attribute(trial.user_attrs, AT_CHANCE, str) or ""
    state = _STATES[trial.state]
    if state == "pruned" and reason.startswith(_DIVERGED):
        state = "diverged"
    curve = _curve(trial, metric)
    complete = trial.state == TrialState.COMPLETE and trial.value is not None
    value = trial.value if complete and math.isfinite(trial.value or 0.0) else None
    try:
        place = coordinates.from_raw({n: float(trial.params[n]) for n in coordinates.names})
    except (UserError, ValueError):
        place = {}
    return Run(
        number=trial.number,
        state=state if value is not None or state != "complete" else "diverged",
        params=dict(trial.params),
        coordinates=place,
        value=value,
        seed=read_attribute(trial.user_attrs, SEED, int),
        curve=curve,
        # Steps count from 0 or from 1, and may be some epochs apart.
        epochs=max([len(curve), *(step for step, _ in curve)]),
        seconds=trial.duration.total_seconds() if trial.duration else None,
        reason=reason,
    )


def _curve(trial: FrozenTrial, metric: str) -> tuple[tuple[int, float], ...]:
    history = read_attribute(trial.user_attrs, HISTORY, list)
    if history is not None:
        return tuple(
            (int(e["epoch"]), float(e[metric]))
            for e in history
            if isinstance(e, dict) and "epoch" in e and metric in e
        )
    steps = sorted(trial.intermediate_values.items())
    return tuple((step, value) for step, value in steps if math.isfinite(value))


def _steps(
    study: Study, definition: Search | None, runs: list[Run], maximize: bool
) -> Iterable[Step]:
    """The line searches that improved, of coordinate descent; else each best so far."""
    from hptoolkit.samplers import CoordinateDescentSampler

    sampler = study.sampler
    if definition is not None and read_attribute(study.user_attrs, SAMPLER, str) == "coord":
        from hptoolkit.config import sampler_factory

        sampler = sampler_factory.sampler("coord", definition)
    if isinstance(sampler, CoordinateDescentSampler):
        by_number = {run.number: run for run in runs}
        rows = sampler.improvements(study)
        return [
            Step(by_number[row.trial], row.value, row.axis)
            for row in rows
            if row.trial in by_number
        ]
    steps: list[Step] = []
    sign = 1.0 if maximize else -1.0
    for run in runs:
        if run.value is not None and (not steps or sign * run.value > sign * steps[-1].value):
            steps.append(Step(run, run.value))
    return steps
