"""Coordinate descent with several workers: what it evaluates ahead, and that it pays."""

from __future__ import annotations

import heapq

import optuna
import pytest
from optuna.trial import TrialState

import hptoolkit as hpt
from hptoolkit.samplers.coordinate_descent.forecast import forecast
from hptoolkit.samplers.history import History, Observation
from tests import page

EPOCHS = 10


def sampler() -> hpt.CoordinateDescentSampler:
    return hpt.CoordinateDescentSampler(
        page.COORDINATES, start=page.START, search_space=page.SEARCH_SPACE
    )


def simulate(workers: int, *, reports: bool = True) -> tuple[float, optuna.Study]:
    """A study on a clock of its own: every trial takes one hour and reports a tenth every tenth.

    The workers begin a little apart. Returns how long it took, in hours, and the study.
    """
    study = optuna.create_study(sampler=sampler(), direction="maximize")
    events: list[tuple[float, int, int, optuna.Trial, float]] = []
    now, idle = 0.0, workers
    while True:
        while idle and study.sampler.why_finished(study) is None:  # type: ignore[attr-defined]
            trial = study.ask()
            value, idle = page.objective(trial), idle - 1
            begun = now + 0.01 * len(events) / EPOCHS
            for epoch in range(1, EPOCHS + 1):
                heapq.heappush(events, (begun + epoch / EPOCHS, trial.number, epoch, trial, value))
        if study.sampler.why_finished(study) is not None:  # type: ignore[attr-defined]
            return now, study
        now, _, epoch, trial, value = heapq.heappop(events)
        if reports:
            trial.report(value - 5 * (EPOCHS - epoch), epoch)
        if epoch == EPOCHS:
            study.tell(trial, value)
            idle += 1


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_decisions_are_those_of_one_worker(workers: int) -> None:
    _, alone = simulate(1)
    _, together = simulate(workers)
    moves = [
        [(row.axis, row.params) for row in sampler().improvements(study)]
        for study in (alone, together)
    ]
    assert moves[0] == moves[1]


def test_reports_make_the_second_worker_worth_more() -> None:
    alone, _ = simulate(1)
    blind, _ = simulate(2, reports=False)
    seeing, study = simulate(2)
    assert alone / seeing > 1.5
    assert seeing < blind
    points = [tuple(t.params.values()) for t in study.trials if t.state == TrialState.COMPLETE]
    assert len(set(points)) == len(points)


def observed(values: list[tuple[float, float]], running: dict[int, float]) -> float | None:
    """The forecast for a trial with these reports, after others of (report at step 3, value)."""
    study = optuna.create_study(direction="maximize")
    space = {"x": optuna.distributions.FloatDistribution(0.0, 1.0)}
    for report, value in values:
        trial = optuna.trial.create_trial(
            params={"x": 0.1}, distributions=space, value=value, intermediate_values={3: report}
        )
        study.add_trial(trial)
    history = History(study.get_trials(), space, study.direction, len(values))
    trial = optuna.trial.create_trial(
        state=TrialState.RUNNING, params={"x": 0.2}, distributions=space,
        intermediate_values=running,
    )  # fmt: skip
    return forecast(Observation(trial, trial.params, (0.2,), None), history)


def test_forecasts_by_hand() -> None:
    line = [(0.1, 0.5), (0.3, 0.7), (0.5, 0.9)]  # value = report + 0.4
    assert observed(line, {1: 9.0, 3: 0.2}) == pytest.approx(0.6)
    assert observed(line, {3: 0.7}) == pytest.approx(1.1)  # beyond the best: better still
    assert observed([(2.0, 0.5), (1.0, 0.9)], {3: 1.5}) == pytest.approx(0.7)  # a loss
    assert observed(line, {}) is None
    assert observed(line, {2: 0.2}) is None  # nobody reported step 2
    assert observed(line[:1], {3: 0.2}) is None
    assert observed([(0.1, 0.5), (0.1, 0.7)], {3: 0.1}) is None
