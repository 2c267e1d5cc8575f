from __future__ import annotations

import math
from typing import Any

import optuna
import pytest
from optuna.distributions import BaseDistribution, FloatDistribution
from optuna.trial import TrialState

import hptoolkit as hpt
from tests import page


def _sampler(**kwargs: Any) -> hpt.CoordinateDescentSampler:
    return hpt.CoordinateDescentSampler(page.COORDINATES, start=page.START, **kwargs)


def doubling(start: dict[str, float], **kwargs: Any) -> hpt.CoordinateDescentSampler:
    """A search along one axis whose steps can be told by hand."""
    return hpt.CoordinateDescentSampler(
        hpt.Coordinates("x"), start=start, line_search="doubling", **kwargs
    )


def _raw(trial: optuna.trial.FrozenTrial) -> tuple[float, float, float]:
    return (trial.params["lr"], trial.params["momentum"], trial.params["weight_decay"])


@pytest.mark.parametrize("search_space", [None, page.SEARCH_SPACE])
@pytest.mark.parametrize("directions", [{}, {"1-momentum": "down", "weight_decay": "down"}])
@pytest.mark.parametrize("line_search", ["doubling", "accelerated"])
def test_takes_the_decisions_of_pages_table(
    search_space: dict[str, optuna.distributions.BaseDistribution] | None,
    directions: dict[str, str],
    line_search: str,
) -> None:
    sampler = _sampler(search_space=search_space, directions=directions, line_search=line_search)
    study = optuna.create_study(sampler=sampler, direction="maximize")
    study.optimize(page.objective, n_trials=100)

    rows = [i.params for i in sampler.improvements(study)]
    table = [dict(zip(("lr", "momentum", "weight_decay"), r, strict=True)) for r in page.TABLE]
    assert rows == [pytest.approx(row, rel=1e-9) for row in table]
    last = next(t.number for t in study.trials if _raw(t) == pytest.approx(page.TABLE[-1]))
    assert last + 1 <= 23
    assert len(study.trials) <= 28
    assert len({_raw(t) for t in study.trials}) == len(study.trials)
    assert sampler.why_finished(study) is not None


def test_page_runs_are_counted_as_he_did() -> None:
    """Page halves 1−ρ and α first: the run at which each of his line searches is over."""
    directions = {"1-momentum": "down", "weight_decay": "down"}
    sampler = _sampler(directions=directions, line_search="doubling")
    study = optuna.create_study(sampler=sampler, direction="maximize")
    study.optimize(page.objective)
    assert [i.trainings for i in sampler.improvements(study)] == [1, 10, 12, 16, 19, 21]
    assert [i.axis for i in sampler.improvements(study)] == [
        None,
        "lr*weight_decay/(1-momentum)",
        "1-momentum",
        "weight_decay",
        "lr*weight_decay/(1-momentum)",
        "1-momentum",
    ]


def test_minimising_is_maximising_the_negative() -> None:
    studies = []
    for direction, sign in (("maximize", 1.0), ("minimize", -1.0)):
        study = optuna.create_study(sampler=_sampler(), direction=direction)
        study.optimize(lambda t, sign=sign: sign * page.objective(t))
        studies.append([_raw(t) for t in study.trials])
    assert studies[0] == studies[1]


def test_resumed_at_every_trial_it_goes_on_as_if_uninterrupted() -> None:
    straight = optuna.create_study(sampler=_sampler(), direction="maximize")
    straight.optimize(page.objective)
    storage = optuna.storages.InMemoryStorage()
    optuna.create_study(storage=storage, study_name="s", direction="maximize")
    for _ in range(len(straight.trials)):
        resumed = optuna.load_study(storage=storage, study_name="s", sampler=_sampler())
        resumed.optimize(page.objective, n_trials=1)
    assert [_raw(t) for t in resumed.trials] == [_raw(t) for t in straight.trials]


def test_ask_and_tell_ends_with_study_exhausted() -> None:
    sampler = _sampler()
    study = optuna.create_study(sampler=sampler, direction="maximize")

    def run() -> None:
        for _ in range(100):
            trial = study.ask()
            study.tell(trial, page.objective(trial))

    with pytest.raises(hpt.StudyExhausted, match="no step by a factor of 2"):
        run()
    assert sampler.why_finished(study) is not None
    states = [t.state for t in study.trials]
    assert states.count(TrialState.RUNNING) == 0
    assert states.count(TrialState.COMPLETE) <= 28


def test_coordinates_are_kept_with_every_trial() -> None:
    study = optuna.create_study(sampler=_sampler(), direction="maximize")
    study.optimize(page.objective, n_trials=3)
    for trial in study.trials:
        assert trial.user_attrs["hptoolkit:coordinates"] == page.COORDINATES.from_raw(trial.params)


def test_quadratic_along_one_axis_by_hand() -> None:
    """−(log2 x − 3)² from 1: 1 2 4 8 | 16 worse. Five runs, and nothing else is left to try."""
    sampler = doubling({"x": 1.0})
    study = optuna.create_study(sampler=sampler, direction="maximize")
    study.optimize(lambda t: -((math.log2(t.suggest_float("x", 1e-3, 1e3, log=True)) - 3) ** 2))
    assert [t.params["x"] for t in study.trials] == [1, 2, 4, 8, 16]


def test_other_direction_when_the_first_is_worse() -> None:
    """−(log2 x + 1)² from 1: 2 is worse, then ½ better, ¼ worse."""
    sampler = doubling({"x": 1.0})
    study = optuna.create_study(sampler=sampler, direction="maximize")
    study.optimize(lambda t: -((math.log2(t.suggest_float("x", 1e-3, 1e3, log=True)) + 1) ** 2))
    assert [t.params["x"] for t in study.trials] == [1, 2, 0.5, 0.25]


def test_refinement_takes_the_root_of_the_step() -> None:
    """−(log2 x − 3.5)² from 4: 8 is better, 16 no better than 8; half the step finds 8√2."""
    sampler = doubling({"x": 4.0}, refine=1)
    study = optuna.create_study(sampler=sampler, direction="maximize")
    study.optimize(lambda t: -((math.log2(t.suggest_float("x", 1e-3, 1e3, log=True)) - 3.5) ** 2))
    logs = [math.log2(t.params["x"]) for t in study.trials]
    assert logs == pytest.approx([2, 3, 4, 3.5])
    assert math.log2(study.best_params["x"]) == pytest.approx(3.5)


def test_a_wall_is_not_crossed_and_nothing_is_clipped() -> None:
    """The optimum lies beyond the box: the search stops at the last doubling inside."""
    space = {"x": optuna.distributions.FloatDistribution(0.1, 10.0, log=True)}
    sampler = doubling({"x": 1.0}, search_space=space)
    study = optuna.create_study(sampler=sampler, direction="maximize")
    study.optimize(lambda t: t.suggest_float("x", 0.1, 10.0, log=True))
    assert [t.params["x"] for t in study.trials] == [1, 2, 4, 8]


def test_a_box_in_coordinates_is_a_wall_too() -> None:
    axis = "lr*weight_decay/(1-momentum)"
    sampler = _sampler(box={axis: (1e-5, 1e-3)})
    study = optuna.create_study(sampler=sampler, direction="maximize")
    study.optimize(page.objective)
    reached = [t.user_attrs["hptoolkit:coordinates"][axis] for t in study.trials]
    # The last doubling inside, 0.00064, got better: the border is looked at, and not crossed.
    assert max(reached) == pytest.approx(0.001, rel=1e-9)
    assert any(r == pytest.approx(0.00064, rel=1e-9) for r in reached)


def test_minimum_improvement_stops_at_the_noise() -> None:
    def objective(trial: optuna.Trial) -> float:
        x = math.log2(trial.suggest_float("x", 1e-3, 1e3, log=True))
        return {0: 0.0, 1: 1.0, 2: 1.05}.get(round(x), -1.0)

    def best(minimum: float) -> float:
        sampler = doubling({"x": 1.0}, minimum_improvement=minimum)
        study = optuna.create_study(sampler=sampler, direction="maximize")
        study.optimize(objective)
        return float(sampler.improvements(study)[-1].params["x"])

    assert best(0.0) == 4.0
    assert best(0.1) == 2.0


def test_a_flat_axis_costs_two_runs_until_the_others_rest() -> None:
    """y does nothing; x needs three rounds because z moves its optimum. y: 2 runs, then 2 more."""

    def objective(trial: optuna.Trial) -> float:
        x, y, z = (math.log2(trial.suggest_float(n, 1e-4, 1e4, log=True)) for n in "xyz")
        return -((x - z) ** 2) - 0.4 * (z - 4) ** 2 + 1e-3 * y

    sampler = hpt.CoordinateDescentSampler(
        hpt.Coordinates("x", "y", "z"), start=dict.fromkeys("xyz", 1.0), minimum_improvement=0.01
    )
    study = optuna.create_study(sampler=sampler, direction="maximize")
    study.optimize(objective)
    moved = [t.number for t in study.trials if t.params["y"] != 1.0]
    assert len(moved) == 4
    assert moved[-1] >= len(study.trials) - 3


def test_a_pruned_trial_is_worse() -> None:
    def objective(trial: optuna.Trial) -> float:
        x = trial.suggest_float("x", 1e-3, 1e3, log=True)
        if x > 4:
            raise optuna.TrialPruned
        return x

    sampler = doubling({"x": 1.0})
    study = optuna.create_study(sampler=sampler, direction="maximize")
    study.optimize(objective)
    assert [t.params["x"] for t in study.trials] == [1, 2, 4, 8]


def test_a_crash_is_tried_three_times_and_then_is_worse() -> None:
    def objective(trial: optuna.Trial) -> float:
        x = trial.suggest_float("x", 1e-3, 1e3, log=True)
        if x == 4:
            raise RuntimeError("out of memory")
        return x

    sampler = doubling({"x": 1.0})
    study = optuna.create_study(sampler=sampler, direction="maximize")
    study.optimize(objective, catch=(RuntimeError,))
    assert [t.params["x"] for t in study.trials] == [1, 2, 4, 4, 4]


def test_a_crash_that_passes_is_not_judged() -> None:
    crashes = iter([True])

    def objective(trial: optuna.Trial) -> float:
        x = trial.suggest_float("x", 1e-3, 1e3, log=True)
        if x == 4 and next(crashes, False):
            raise RuntimeError("a bad moment")
        return -abs(math.log2(x) - 3)

    sampler = doubling({"x": 1.0})
    study = optuna.create_study(sampler=sampler, direction="maximize")
    study.optimize(objective, catch=(RuntimeError,))
    assert [t.params["x"] for t in study.trials] == [1, 2, 4, 4, 8, 16]


def test_integers_steps_and_choices_are_respected() -> None:
    """Batch size as an integer in a coordinate; a choice and a linear step on axes of their own."""

    def objective(trial: optuna.Trial) -> float:
        lr = trial.suggest_float("lr", 1e-4, 10, log=True)
        n = trial.suggest_int("batch_size", 30, 1000, log=True)
        dropout = trial.suggest_float("dropout", 0.0, 0.5, step=0.1)
        name = trial.suggest_categorical("optimizer", ["sgd", "nesterov", "muon"])
        assert dropout == pytest.approx(round(dropout, 1))
        return -(
            math.log2(lr / n / 1e-3) ** 2
            + 0.1 * math.log2(n / 90) ** 2
            + (dropout - 0.2) ** 2
            + {"sgd": 0.1, "nesterov": 0.0, "muon": 0.2}[name]
        )

    sampler = hpt.CoordinateDescentSampler(
        hpt.Coordinates("lr/batch_size", "batch_size"),
        start={"lr": 0.09, "batch_size": 45, "dropout": 0.0, "optimizer": "sgd"},
    )
    study = optuna.create_study(sampler=sampler, direction="maximize")
    study.optimize(objective, n_trials=100)
    assert len(study.trials) < 40
    assert study.best_params["batch_size"] == 90
    assert study.best_params["optimizer"] == "nesterov"
    assert study.best_params["dropout"] == pytest.approx(0.2)
    for trial in study.trials:
        point = trial.user_attrs["hptoolkit:coordinates"]
        exact = trial.params["lr"] / trial.params["batch_size"]
        assert point["lr/batch_size"] == pytest.approx(exact, rel=1e-14)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"start": {"lr": 1000.0}}, "lr = 1000.0 there, allowed is a number from 1e-05 to 100"),
        ({"start": {"learning_rate": 0.1}}, "'learning_rate', which the search space lacks"),
        ({"start": {"lr": 0.0}}, "outside the region"),
        ({"factor": 1.0}, "step factor is 1.0"),
        ({"factor": math.inf}, "step factor is inf"),
        ({"refine": -1}, "refine is -1"),
        ({"refine": 3000}, "refine is 3000: a number of halvings from 0 to 20"),
        ({"minimum_improvement": math.inf}, "minimum_improvement is inf"),
        ({"minimum_improvement": math.nan}, "minimum_improvement is nan"),
        ({"seed": -1}, "The seed is -1: a whole number from 0"),
        ({"seed": 2**64}, "The seed is 18446744073709551616: a whole number from 0"),
        ({"order": ["1-momentum", "1-momentum"]}, "names '1-momentum' more than once"),
        ({"minimum_improvement": -0.1}, "minimum_improvement is -0.1"),
        ({"order": ["momentum"]}, "'momentum' is no axis of the search: did you mean '1-momentum'"),
        ({"directions": {"1-momentum": "left"}}, "'up' or 'down'"),
        ({"directions": {"lr": "up"}}, "'lr' is no axis"),
        ({"box": {"dropout": (0.1, 1.0)}}, "'dropout', which is no axis"),
        ({"box": {"weight_decay": (1.0, 0.1)}}, "rising order"),
        ({"box": {"weight_decay": (2.0, 4.0)}}, "region is empty"),
    ],
)
def test_bad_arguments(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(hpt.UserError, match=message):
        hpt.CoordinateDescentSampler(
            page.COORDINATES, search_space=page.SEARCH_SPACE, **({"start": page.START} | arguments)
        )


def test_bad_search_spaces() -> None:
    float_ = optuna.distributions.FloatDistribution
    spaces: list[tuple[dict[str, optuna.distributions.BaseDistribution], str]] = [
        ({"lr": float_(1e-3, 1)}, "need momentum, weight_decay"),
        (page.SEARCH_SPACE | {"momentum": float_(0, 1)}, "'momentum' ranges from 0 to 1"),
        (page.SEARCH_SPACE | {"lr": float_(0, 1)}, "'lr' ranges from 0 to 1.*start above 0"),
        (
            page.SEARCH_SPACE | {"lr": optuna.distributions.CategoricalDistribution(["a", "b"])},
            "'lr', whose distribution .* is not numeric",
        ),
    ]
    for space, message in spaces:
        with pytest.raises(hpt.UserError, match=message):
            hpt.CoordinateDescentSampler(page.COORDINATES, search_space=space)


def test_an_objective_with_another_range_is_told_so() -> None:
    space = {"x": optuna.distributions.FloatDistribution(0.1, 100.0, log=True)}
    sampler = hpt.CoordinateDescentSampler(
        hpt.Coordinates("x"), start={"x": 50.0}, search_space=space
    )
    study = optuna.create_study(sampler=sampler)
    with pytest.raises(hpt.UserError, match=r"'x' from .* Give both the same range"):
        study.optimize(lambda t: t.suggest_float("x", 0.1, 10.0, log=True), n_trials=1)


@pytest.mark.parametrize("workers", [2, 3])
def test_several_workers_take_the_same_decisions(workers: int) -> None:
    """Workers that ask together and tell together accept the points that one worker accepts."""
    alone = optuna.create_study(sampler=_sampler(), direction="maximize")
    alone.optimize(page.objective)
    expected = [i.params for i in alone.sampler.improvements(alone)]  # type: ignore[attr-defined]

    sampler = _sampler(search_space=page.SEARCH_SPACE)
    study = optuna.create_study(sampler=sampler, direction="maximize")
    rounds = 0
    while sampler.why_finished(study) is None:
        trials = [study.ask() for _ in range(workers)]
        values = [page.objective(trial) for trial in trials]
        for trial, value in zip(trials, values, strict=True):
            study.tell(trial, value)
        rounds += 1
    assert [i.params for i in sampler.improvements(study)] == expected
    assert len({_raw(t) for t in study.trials}) == len(study.trials)
    assert rounds < 0.75 * len(alone.trials)


def test_a_dead_workers_trial_does_not_keep_the_search_from_ending() -> None:
    """Left running for ever in the storage, its point is run again once nothing else is left."""
    undisturbed = optuna.create_study(
        sampler=_sampler(search_space=page.SEARCH_SPACE), direction="maximize"
    )
    undisturbed.optimize(page.objective)
    expected = [i.params for i in undisturbed.sampler.improvements(undisturbed)]  # type: ignore[attr-defined]

    sampler = _sampler(search_space=page.SEARCH_SPACE)
    study = optuna.create_study(sampler=sampler, direction="maximize")
    study.optimize(page.objective, n_trials=5)
    study.ask()
    study.optimize(page.objective, n_trials=200)
    assert sampler.why_finished(study) is not None
    assert len(study.trials) < 100
    assert [i.params for i in sampler.improvements(study)] == expected


@pytest.mark.parametrize("direction", ["minimize", "maximize"])
def test_a_start_that_crashed_has_a_row(direction: str) -> None:
    """Three crashes: the point is given up, and the search goes on from it."""
    space: dict[str, BaseDistribution] = {"lr": FloatDistribution(1e-3, 1.0, log=True)}
    own = hpt.CoordinateDescentSampler(search_space=space, start={"lr": 0.1}, seed=0)
    study = optuna.create_study(sampler=own, direction=direction)

    def objective(trial: optuna.Trial) -> float:
        lr = trial.suggest_float("lr", 1e-3, 1.0, log=True)
        if lr == 0.1:
            raise RuntimeError
        return abs(math.log(lr / 0.2))

    study.optimize(objective, n_trials=3, catch=(RuntimeError,))
    worst = math.inf if direction == "minimize" else -math.inf
    assert [(r.trial, r.value) for r in own.improvements(study)] == [(0, worst)]
    study.optimize(objective, n_trials=8)
    start, found, *_ = own.improvements(study)
    assert start.value == worst
    assert found.axis == "lr"
    assert math.isfinite(found.value)
