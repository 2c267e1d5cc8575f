"""A study as plain values, from which the figures are drawn."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from hptoolkit.axes import rounded
from hptoolkit.coordinates import Coordinates
from hptoolkit.errors import UserError
from hptoolkit.monomials import Factor
from hptoolkit.opening import SAMPLER
from hptoolkit.samplers._base import COORDINATES
from hptoolkit.samplers._history import INTERRUPTED
from hptoolkit.sections import Search
from hptoolkit.storage import PRUNED_REASON, SEED

_STATES = {
    TrialState.COMPLETE: "complete",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
    TrialState.RUNNING: "running",
}

# How the reason of a pruned trial begins whose training went wrong (objective.py, runner.py).
_DIVERGED = ("diverged", "the objective returned")


@dataclass(frozen=True)
class Run:
    """A trial that ran.

    Attributes:
        number: Its number in the study.
        state: "complete", "pruned", "diverged", "failed" or "running".
        params: Raw parameters.
        coordinates: Values by axis; empty where they are not defined.
        value: What it was judged by, None unless complete.
        seed: Of the training, where it is known.
        curve: (epoch, metric) after each epoch.
        epochs: Epochs that it trained.
        seconds: How long it took.
        reason: Why it was pruned.
    """

    number: int
    state: str
    params: Mapping[str, Any]
    coordinates: Mapping[str, float]
    value: float | None
    seed: int | None = None
    curve: tuple[tuple[int, float], ...] = ()
    epochs: int = 0
    seconds: float | None = None
    reason: str = ""

    @property
    def point(self) -> tuple[Any, ...]:
        """What tells one configuration from another."""
        return tuple(
            rounded(v) if isinstance(v, float) else v for _, v in sorted(self.params.items())
        )


@dataclass(frozen=True)
class Point:
    """A configuration that was judged, its repeats pooled.

    Attributes:
        runs: Its complete runs.
        value: Their mean.
    """

    runs: tuple[Run, ...]
    value: float

    @property
    def params(self) -> Mapping[str, Any]:
        return self.runs[0].params

    @property
    def coordinates(self) -> Mapping[str, float]:
        return self.runs[0].coordinates


@dataclass(frozen=True)
class Step:
    """A configuration that was the best when it was found; `along`: the axis searched, if one."""

    run: Run
    value: float
    along: str | None = None


@dataclass(frozen=True)
class StudyView:
    """A study as plain values.

    Attributes:
        name: The study's.
        metric: Name of what is judged; `maximize`: which way.
        space: Raw parameters' distributions.
        coordinates: Theory's coordinates over some of them; without axes where there are none.
        searched: Whether they are the axes that the study searched.
        runs: In order.
        steps: The start, and what improved on it.
        box: Bounds on coordinates.
        slice_of: The two parameters of a slice.
        drawn: How many runs a figure draws at most.
    """

    name: str
    metric: str
    maximize: bool
    space: Mapping[str, BaseDistribution]
    coordinates: Coordinates
    searched: bool
    runs: tuple[Run, ...]
    steps: tuple[Step, ...] = ()
    box: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    slice_of: tuple[str, str] | None = None
    drawn: int = 400

    @cached_property
    def points(self) -> tuple[Point, ...]:
        """The configurations with a complete run, in order."""
        found: defaultdict[tuple[Any, ...], list[Run]] = defaultdict(list)
        for run in self.runs:
            if run.value is not None:
                found[run.point].append(run)
        return tuple(
            Point(tuple(runs), math.fsum(r.value for r in runs if r.value is not None) / len(runs))
            for runs in found.values()
        )

    @cached_property
    def best(self) -> Point | None:
        """The configuration with the best mean, the earliest of equals."""
        sign = 1.0 if self.maximize else -1.0
        return max(self.points, key=lambda p: sign * p.value, default=None)

    @property
    def scale(self) -> float:
        """What a value is multiplied by where it is shown: accuracies are shown in per cent."""
        return 100.0 if self.metric.endswith("accuracy") else 1.0

    @cached_property
    def factors(self) -> dict[str, Factor]:
        """The parameters that have a logarithmic axis, and what stands on it: 1−ρ for ρ."""
        known = {factor.name: factor for factor in self.coordinates.factors}
        for name, distribution in self.space.items():
            if name in known or isinstance(distribution, CategoricalDistribution):
                continue
            if getattr(distribution, "log", False):
                known[name] = Factor(name)
        return known

    @cached_property
    def factors_by_axis(self) -> dict[str, Factor]:
        """The same by what stands on the axis: `1-momentum`."""
        return {str(factor): factor for factor in self.factors.values()}

    def place(self, run: Run | Point, axis: str) -> float:
        """The value on an axis: a coordinate, a factor such as 1-momentum, or a parameter."""
        if axis in self.coordinates.axes and axis in run.coordinates:
            return float(run.coordinates[axis])
        if axis in self.factors_by_axis:
            factor = self.factors_by_axis[axis]
            return factor.value(float(run.params[factor.name]))
        return float(run.params[axis])

    def varies(self, axis: str) -> bool:
        """Whether the runs lie at more than one place of an axis."""
        places = {rounded(self.place(run, axis)) for run in self.runs}
        return len(places) > 1

    def to_draw(self) -> list[Run]:
        """The runs that a figure draws: all, or the steps, the best and some of the others."""
        if len(self.runs) <= self.drawn:
            return list(self.runs)
        sign = 1.0 if self.maximize else -1.0
        ranked = sorted(
            (r for r in self.runs if r.value is not None), key=lambda r: -sign * (r.value or 0.0)
        )
        chosen = {r.number for r in ranked[: self.drawn // 4]} | {s.run.number for s in self.steps}
        others = [r for r in self.runs if r.number not in chosen]
        even = np.linspace(0, len(others) - 1, max(self.drawn - len(chosen), 1)).astype(int)
        chosen |= {others[i].number for i in even} if others else set()
        return [r for r in self.runs if r.number in chosen]


def read(study: Study, definition: Search | None) -> StudyView:
    """The view of a stored study; `definition` None for one that hptoolkit did not make."""
    trials = study.get_trials(deepcopy=False)
    space = _space(trials, definition)
    coordinates, searched = _coordinates(study, definition, space)
    maximize = study.direction.name == "MAXIMIZE"
    metric = definition.goal.name if definition else "value"
    runs = [_run(t, coordinates, metric) for t in trials if _ran(t, space)]
    kept = study.user_attrs.get("slice")
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
        slice_of=tuple(kept["names"]) if isinstance(kept, dict) else None,
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
    study: Study, definition: Search | None, space: Mapping[str, BaseDistribution]
) -> tuple[Coordinates, bool]:
    """The axes searched if they mix parameters, else theory's; and whether they were searched."""
    axes = definition.coordinates.axes if definition else ()
    if not axes:
        told = (t.user_attrs.get(COORDINATES) for t in study.get_trials(deepcopy=False))
        axes = tuple(next((c for c in told if isinstance(c, dict) and c), ()))
    try:
        searched = Coordinates(*axes)
    except UserError:
        searched = Coordinates()
    mixed = any(np.count_nonzero(row) > 1 for row in searched.matrix)
    if mixed and all(name in space for name in searched.names):
        return searched, True
    known = theory(definition, space)
    return (known, False) if known.axes else (Coordinates(), bool(axes))


def _ran(trial: FrozenTrial, space: Mapping[str, BaseDistribution]) -> bool:
    known = trial.state in _STATES and all(name in trial.params for name in space)
    return known and not trial.user_attrs.get(INTERRUPTED, False)


def _run(trial: FrozenTrial, coordinates: Coordinates, metric: str) -> Run:
    reason = str(trial.user_attrs.get(PRUNED_REASON, ""))
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
        seed=trial.user_attrs.get(SEED),
        curve=curve,
        epochs=max([step for step, _ in curve], default=0),
        seconds=trial.duration.total_seconds() if trial.duration else None,
        reason=reason,
    )


def _curve(trial: FrozenTrial, metric: str) -> tuple[tuple[int, float], ...]:
    history = trial.user_attrs.get("history")
    if isinstance(history, list):
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
    by_number = {run.number: run for run in runs}
    if definition is not None and study.user_attrs.get(SAMPLER) == "coord":
        from hptoolkit import assembly
        from hptoolkit.samplers import CoordinateDescentSampler

        sampler = assembly.sampler("coord", definition)
        if isinstance(sampler, CoordinateDescentSampler):
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
