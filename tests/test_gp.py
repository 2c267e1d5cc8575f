"""The GP sampler against closed forms, scikit-learn, and what a user may rely on."""

from __future__ import annotations

import json
import math
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import optuna
import pytest
import torch
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.study import StudyDirection
from optuna.trial import TrialState
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel, Matern
from threadpoolctl import threadpool_info

import hptoolkit as hpt
from hptoolkit.errors import UserError
from hptoolkit.samplers.gp import model
from hptoolkit.samplers.gp.acquisition import best_first, candidates, expected_improvement
from hptoolkit.samplers.gp.evidence import Evidence, gather
from hptoolkit.samplers.gp.features import Columns
from hptoolkit.samplers.gp.model import LearnedAxesGP, Parameters
from hptoolkit.samplers.history import History
from hptoolkit.search_space.region import Region
from tests import page

NOISE = 0.15


def sampler(seed: int = 0) -> hpt.GPSampler:
    return hpt.GPSampler(
        page.COORDINATES, search_space=page.SEARCH_SPACE, start=page.START, seed=seed
    )


def study_of(
    trials: list[tuple[dict[str, float], float | TrialState]],
    direction: str = "maximize",
    space: dict[str, BaseDistribution] = page.SEARCH_SPACE,
) -> optuna.Study:
    study = optuna.create_study(direction=direction)
    for params, outcome in trials:
        known = {"state": outcome} if isinstance(outcome, TrialState) else {"value": outcome}
        study.add_trial(optuna.create_trial(params=params, distributions=space, **known))
    return study


def history_of(study: optuna.Study) -> History:
    return History(study.trials, page.SEARCH_SPACE, study.direction, len(study.trials))


def evidence_of(study: optuna.Study) -> tuple[Region, Columns, Evidence]:
    region = Region(page.COORDINATES, page.SEARCH_SPACE)
    columns = Columns(region)
    return region, columns, gather(region, columns, history_of(study))


def random_params(count: int, seed: int) -> list[dict[str, float]]:
    rng = np.random.default_rng(seed)
    return [
        {
            "lr": float(10 ** rng.uniform(-3, 1)),
            "momentum": float(1 - 10 ** rng.uniform(-2, 0)),
            "weight_decay": float(10 ** rng.uniform(-5, -1)),
        }
        for _ in range(count)
    ]


def noisy_page(count: int, seed: int = 0) -> list[tuple[dict[str, float], float | TrialState]]:
    noise = np.random.default_rng(seed)
    return [
        (p, page.accuracy(**p) + NOISE * noise.standard_normal())
        for p in random_params(count, seed)
    ]


def by_hand(params: dict[str, float], a: float, b: float) -> list[float]:
    """log λ + a·log(1−ρ) + b·log α, log(1−ρ) and log α over the spans of page.SEARCH_SPACE."""
    lr, rho, alpha = params["lr"], params["momentum"], params["weight_decay"]
    spans = [math.log(1e7) + math.log(1e6) + math.log(100), math.log(100), math.log(1e6)]
    first = math.log(lr) + a * math.log(1 - rho) + b * math.log(alpha)
    return [first / spans[0], math.log(1 - rho) / spans[1], math.log(alpha) / spans[2]]


def test_posterior_and_likelihood_are_those_of_scikit_learn() -> None:
    lengths, a, b, signal, noise = [0.3, 0.8, 1.7], -0.9, 0.4, 1.6, 0.02
    told, asked = random_params(15, seed=1), random_params(10, seed=2)
    rng = np.random.default_rng(3)
    region, columns, evidence = evidence_of(
        study_of([(p, v) for p, v in zip(told, rng.standard_normal(15).tolist(), strict=True)])
    )
    kernel = ConstantKernel(1.0) + ConstantKernel(signal) * Matern(lengths, nu=2.5)
    reference = GaussianProcessRegressor(kernel, alpha=noise, optimizer=None)
    reference.fit([by_hand(p, a, b) for p in told], evidence.values)
    mean, deviation = reference.predict([by_hand(p, a, b) for p in asked], return_std=True)

    logs = [math.log(x) for x in (*lengths, signal, noise - 1e-6)]
    vector = torch.tensor([*logs[:3], a, b, *logs[3:]], dtype=torch.float64)
    ours = LearnedAxesGP(Parameters(vector, columns.layout), evidence)
    points = np.array([columns.encode(region.encode(p)) for p in asked])
    posterior = ours.posterior(torch.from_numpy(points).unsqueeze(1))
    np.testing.assert_allclose(posterior.mean.numpy().ravel(), mean, atol=1e-6)
    np.testing.assert_allclose(posterior.variance.numpy().ravel(), deviation**2, atol=1e-6)
    for point, m, d in zip(points, mean, deviation, strict=True):
        assert ours.moments(point) == pytest.approx((m, d), abs=1e-6)

    center, spread = model.prior(columns.layout)
    penalty = 0.5 * float((((vector - center) / spread) ** 2).sum())
    likelihood = penalty - float(model.loss(vector, columns.layout, evidence))
    expected = reference.log_marginal_likelihood() + 0.5 * 15 * math.log(2 * math.pi)
    assert likelihood == pytest.approx(expected, abs=1e-6)


def test_the_prior_is_centred_at_theory_and_flat_axes_are_long() -> None:
    layout = Columns(Region(page.COORDINATES, page.SEARCH_SPACE)).layout
    mean, _ = model.prior(layout)
    assert mean[3:5].tolist() == pytest.approx([-1.0, 1.0])
    assert mean[1] == mean[2] > mean[0]


@pytest.mark.parametrize(("a", "b"), [(-0.97, 0.25), (-0.5, 0.0), (-1.0, 1.0)])
def test_recovers_exponents_that_differ_from_theory(a: float, b: float) -> None:
    rng = np.random.default_rng(0)

    def response(lr: float, momentum: float, weight_decay: float) -> float:
        u = math.log(lr) + a * math.log(1 - momentum) + b * math.log(weight_decay / 1e-3)
        return -((u + 1.0) ** 2) + 0.1 * rng.standard_normal()

    told = [(p, response(**p)) for p in random_params(40, seed=5)]
    report = sampler().report(study_of(told))
    fitted = report.exponents
    assert report.anchor == "lr"
    for name, truth in (("1-momentum", a), ("weight_decay", b)):
        assert fitted[name].value == pytest.approx(truth, abs=0.05)
        assert abs(fitted[name].value - truth) < 4 * fitted[name].error < 0.2
    assert (fitted["1-momentum"].theory, fitted["weight_decay"].theory) == (-1.0, 1.0)


def test_without_learning_the_axes_are_alike_and_stay() -> None:
    layout = Columns(Region(page.COORDINATES, page.SEARCH_SPACE), learn=False).layout
    mean, _ = model.prior(layout)
    assert len(mean) == 3 + 2
    assert mean[0] == mean[1] == mean[2]
    own = hpt.GPSampler(page.COORDINATES, search_space=page.SEARCH_SPACE, learn=False)
    report = own.report(study_of(noisy_page(10)))
    assert (report.coordinate, report.anchor, report.exponents) == (None, None, {})


def test_exponents_of_an_anchor_that_is_squared() -> None:
    """λ²α, the invariant of Adam with L2 decay: exponents are those beside lr**2."""
    coordinates = hpt.Coordinates("lr**2*weight_decay", "weight_decay")
    space = {name: page.SEARCH_SPACE[name] for name in ("lr", "weight_decay")}
    rng = np.random.default_rng(0)
    told: list[tuple[dict[str, float], float | TrialState]] = []
    for p in random_params(30, seed=1):
        u = 2 * math.log(p["lr"]) + 0.6 * math.log(p["weight_decay"] / 1e-3)
        params = {name: p[name] for name in space}
        told.append((params, -(u**2) + 0.1 * rng.standard_normal()))
    own = hpt.GPSampler(coordinates, search_space=space, seed=0)
    report = own.report(study_of(told, space=space))
    assert report.anchor == "lr**2"
    assert report.exponents["weight_decay"].value == pytest.approx(0.6, abs=0.05)
    assert report.exponents["weight_decay"].theory == 1.0


def test_standard_errors_follow_from_the_loss_by_finite_differences() -> None:
    _, columns, evidence = evidence_of(study_of(noisy_page(20)))
    fitted = model.fit(columns.layout, evidence)
    x, step = fitted.vector.numpy(), 1e-4

    def loss(offset: np.ndarray) -> float:
        return float(model.loss(torch.from_numpy(x + offset), columns.layout, evidence))

    steps = step * np.eye(len(x))
    hessian = [
        [(loss(i + j) - loss(i - j) - loss(j - i) + loss(-i - j)) / (4 * step**2) for j in steps]
        for i in steps
    ]
    errors = model.standard_errors(fitted, evidence)
    np.testing.assert_allclose(errors, np.sqrt(np.diag(np.linalg.inv(hessian))), rtol=1e-2)


def test_the_fit_is_a_minimum() -> None:
    _, columns, evidence = evidence_of(study_of(noisy_page(20)))
    fitted = model.fit(columns.layout, evidence).vector
    least = float(model.loss(fitted, columns.layout, evidence))
    rng = np.random.default_rng(0)
    for _ in range(50):
        other = fitted + 0.3 * torch.from_numpy(rng.standard_normal(len(fitted)))
        assert float(model.loss(other, columns.layout, evidence)) > least


def test_values_are_winsorised_and_pruned_ones_no_better_than_the_median() -> None:
    params = random_params(9, seed=0)
    outcomes: list[float | TrialState] = [1.0, 2.0, 3.0, 10.0, -1e30, -math.inf]
    study = study_of(list(zip(params, outcomes, strict=False)))
    for p, last in zip(params[6:8], (9.0, 0.5), strict=True):
        study.add_trial(
            optuna.create_trial(
                params=p, distributions=page.SEARCH_SPACE, value=last, state=TrialState.PRUNED
            )
        )
    study.add_trial(
        optuna.create_trial(
            params=params[8], distributions=page.SEARCH_SPACE, state=TrialState.FAIL
        )
    )
    _, _, evidence = evidence_of(study)
    # Of the finite values −1e30, 1, 2, 3, 10 the median is 2: nothing counts below 2 − 2 · 8.
    values = evidence.location + evidence.scale * evidence.values
    np.testing.assert_allclose(values, [1.0, 2.0, 3.0, 10.0, -14.0, -14.0, 2.0, 0.5, 2.0])
    assert np.mean(evidence.values) == pytest.approx(0.0, abs=1e-12)
    assert np.std(evidence.values) == pytest.approx(1.0)


def test_repeats_are_pooled_and_carry_their_own_noise() -> None:
    first, second = random_params(2, seed=0)
    study = study_of([(first, 1.0), (second, 4.0), (first, 3.0), (first, 2.0)])
    _, _, evidence = evidence_of(study)
    assert (evidence.location, evidence.scale) == (3.0, 1.0)
    np.testing.assert_allclose(evidence.values, [-1.0, 1.0])
    np.testing.assert_allclose(evidence.repeats, [3.0, 1.0])
    np.testing.assert_allclose(evidence.scatter, [2.0, 0.0])
    noise = model.row_noise(torch.tensor(0.5), torch.tensor([3.0, 1.0]), torch.tensor([2.0, 0.0]))
    # Four times 0.5 and a scatter of 2, over six degrees of freedom and three repeats.
    np.testing.assert_allclose(noise.numpy(), [4.0 / 18.0, 0.5], rtol=1e-6)


def test_a_failure_at_a_point_that_also_succeeded_says_nothing() -> None:
    first, second = random_params(2, seed=0)
    study = study_of(
        [(first, TrialState.FAIL), (first, 1.0), (second, 3.0), (first, TrialState.FAIL)]
    )
    _, _, evidence = evidence_of(study)
    np.testing.assert_allclose(evidence.values, [-1.0, 1.0])
    np.testing.assert_allclose(evidence.repeats, [1.0, 1.0])


@pytest.mark.parametrize("outcome", [-1e30, -math.inf, TrialState.PRUNED])
def test_a_diverged_run_does_not_move_the_neighbourhood_of_the_best(
    outcome: float | TrialState,
) -> None:
    told = noisy_page(25)
    diverged = {"lr": 90.0, "momentum": 0.985, "weight_decay": 0.9}
    before = sampler().report(study_of(told))
    after = sampler().report(study_of([*told, (diverged, outcome)]))
    assert after.value == pytest.approx(before.value, abs=1.0)
    p, q = (Region(page.COORDINATES, page.SEARCH_SPACE).encode(r.best) for r in (before, after))
    # Less than a doubling on the sensitive axis, little on the others.
    assert abs(p[0] - q[0]) < math.log(2)
    assert np.max(np.abs(p - q)) < math.log(3)


def noisy_objective(seed: int) -> Callable[[optuna.Trial], float]:
    def objective(trial: optuna.Trial) -> float:
        noise = np.random.default_rng([seed, trial.number]).standard_normal()
        value = page.objective(trial) + NOISE * noise
        if trial.number == 2:
            return math.nan
        trial.report(value, 0)
        if trial.number == 3:
            raise optuna.TrialPruned
        return value

    return objective


def test_stopped_and_resumed_at_every_trial_it_is_the_same() -> None:
    straight = optuna.create_study(direction="maximize", sampler=sampler(seed=4))
    straight.optimize(noisy_objective(0), n_trials=9)
    storage = optuna.storages.InMemoryStorage()
    for _ in range(9):
        resumed = optuna.create_study(
            study_name="s",
            storage=storage,
            load_if_exists=True,
            direction="maximize",
            sampler=sampler(seed=4),
        )
        resumed.optimize(noisy_objective(0), n_trials=1)
    assert [t.params for t in resumed.trials] == [t.params for t in straight.trials]
    assert len({tuple(t.params.values()) for t in resumed.trials}) == 9
    other = optuna.create_study(direction="maximize", sampler=sampler(seed=5))
    other.optimize(noisy_objective(0), n_trials=9)
    assert [t.params for t in other.trials][1:] != [t.params for t in straight.trials][1:]


def test_begins_at_the_start_and_with_few_points_all_over_the_region() -> None:
    study = optuna.create_study(sampler=sampler())
    trials = [study.ask(page.SEARCH_SPACE) for _ in range(4)]
    assert trials[0].params == pytest.approx(page.START)
    region = Region(page.COORDINATES, page.SEARCH_SPACE)
    places = np.array([region.encode(t.params) for t in trials[1:]])
    assert np.all(np.ptp(places, axis=0) > 0.3 * (region.high - region.low))
    assert "hptoolkit:gp" not in study.user_attrs


def test_the_start_is_evaluated_after_an_enqueued_trial() -> None:
    study = optuna.create_study(sampler=sampler())
    study.enqueue_trial({"lr": 0.1, "momentum": 0.9, "weight_decay": 1e-4})
    trials = [study.ask(page.SEARCH_SPACE) for _ in range(2)]
    assert trials[0].params["lr"] == 0.1
    assert trials[1].params == pytest.approx(page.START)


def test_running_trials_are_not_asked_for_again() -> None:
    study = optuna.create_study(direction="maximize", sampler=sampler())
    study.add_trials(study_of(noisy_page(12)).trials)
    asked = [study.ask(page.SEARCH_SPACE) for _ in range(4)]
    region = Region(page.COORDINATES, page.SEARCH_SPACE)
    places = [region.encode(t.params) for t in asked]
    apart = [np.max(np.abs(a - b)) for i, a in enumerate(places) for b in places[:i]]
    assert min(apart) > 0.05


def test_a_running_trial_lowers_the_variance_and_leaves_the_mean() -> None:
    region, columns, evidence = evidence_of(study_of(noisy_page(12)))
    fitted = model.fit(columns.layout, evidence)
    pending, elsewhere = (columns.encode(region.encode(p)) for p in random_params(2, seed=9))
    before = LearnedAxesGP(fitted, evidence)
    after = LearnedAxesGP(fitted, evidence, pending[None])
    assert after.moments(pending)[0] == pytest.approx(before.moments(pending)[0], abs=1e-6)
    assert after.moments(elsewhere)[0] == pytest.approx(before.moments(elsewhere)[0], abs=1e-6)
    assert after.moments(pending)[1] < 0.5 * before.moments(pending)[1]


@pytest.mark.parametrize("cut", [False, True])
def test_the_search_finds_the_maximum_of_the_criterion_in_the_region(cut: bool) -> None:
    name = "lr*weight_decay/(1-momentum)"
    box = {name: (1e-4, 1e-3), "lr/(1-momentum)": (0.01, 10.0)} if cut else None
    region = Region(page.COORDINATES, page.SEARCH_SPACE, box)
    columns = Columns(region)
    evidence = gather(region, columns, history_of(study_of(noisy_page(15))))
    fitted = model.fit(columns.layout, evidence)
    criterion = expected_improvement(LearnedAxesGP(fitted, evidence), evidence)

    rng = np.random.default_rng(0)
    dense = columns.low + rng.random((40_000, 3)) * (columns.high - columns.low)
    dense = np.array([c for c in dense if region.contains(columns.decode(c))])
    points = candidates(columns, dense[:256], dense[:1], rng)
    found = next(best_first(criterion, region, columns, points))
    assert region.contains(found)

    def values(points: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            return criterion(torch.from_numpy(points).unsqueeze(1)).numpy()

    assert values(columns.encode(found)[None])[0] >= np.max(values(dense)) - 1e-3


def mixed_space() -> dict[str, BaseDistribution]:
    return {
        **page.SEARCH_SPACE,
        "batch_size": CategoricalDistribution([64, 128, 256, 512]),
        "epochs": IntDistribution(2, 20, log=True),
        "dropout": FloatDistribution(0.0, 0.5, step=0.1),
        "optimizer": CategoricalDistribution(["sgd", "lars"]),
    }


def test_discrete_values_own_axes_and_a_box_are_respected() -> None:
    name = "lr*weight_decay/((1-momentum)*batch_size)"
    coordinates = hpt.Coordinates(name, "1-momentum", "weight_decay", "batch_size")
    space, box = mixed_space(), {name: (1e-7, 1e-4)}
    own = hpt.GPSampler(coordinates, search_space=space, box=box, seed=0)
    study = optuna.create_study(sampler=own)
    region = Region(coordinates, space, box)
    for _ in range(10):
        trial = study.ask(space)
        params = trial.params
        assert region.contains(region.encode(params))
        assert all(d._contains(d.to_internal_repr(params[n])) for n, d in space.items())
        noise = 0.1 * params["dropout"] + (params["optimizer"] == "lars")
        study.tell(trial, abs(math.log(params["lr"] / 0.1)) + noise)
    assert set(own.report(study).exponents) == {"1-momentum", "weight_decay", "batch_size"}


def test_a_clearly_better_choice_is_found() -> None:
    space: dict[str, BaseDistribution] = {
        "optimizer": CategoricalDistribution(["a", "b", "c"]),
        "x": FloatDistribution(0.0, 1.0),
    }
    own = hpt.GPSampler(search_space=space, seed=1)
    study = optuna.create_study(sampler=own)
    for _ in range(14):
        trial = study.ask(space)
        worse = 0.0 if trial.params["optimizer"] == "b" else 1.0
        study.tell(trial, worse + (trial.params["x"] - 0.7) ** 2)
    assert study.best_params["optimizer"] == "b"
    assert study.best_params["x"] == pytest.approx(0.7, abs=0.05)
    report = own.report(study)
    assert report.best["optimizer"] == "b"
    assert report.exponents == {}


def test_discrete_points_are_not_repeated_before_all_are_known() -> None:
    space: dict[str, BaseDistribution] = {
        "n": IntDistribution(1, 3),
        "c": CategoricalDistribution(["a", "b", "c"]),
    }
    study = optuna.create_study(sampler=hpt.GPSampler(search_space=space, seed=0))
    points = []
    for _ in range(11):
        trial = study.ask(space)
        points.append(tuple(trial.params.values()))
        study.tell(trial, trial.params["n"] + (trial.params["c"] == "a"))
    assert len(set(points[:9])) == 9
    assert len(points) == 11


def _single(trial: optuna.Trial) -> float:
    return trial.suggest_float("x", 1.0, 1.0) + trial.suggest_categorical("c", [1])


def _partly_single(trial: optuna.Trial) -> float:
    value = trial.suggest_float("lr", 1e-4, 1.0, log=True)
    return value * trial.suggest_float("weight_decay", 1e-3, 1e-3, log=True)


def _conditional(trial: optuna.Trial) -> float:
    lr = trial.suggest_float("lr", 1e-4, 1.0, log=True)
    if trial.number % 2:
        return lr * trial.suggest_float("weight_decay", 1e-4, 1e-2, log=True)
    return lr


def _equal(trial: optuna.Trial) -> float:
    return 0.0 * trial.suggest_float("lr", 1e-4, 1.0, log=True)


def _nan(trial: optuna.Trial) -> float:
    return math.nan * trial.suggest_float("lr", 1e-4, 1.0, log=True)


def _mostly_nan(trial: optuna.Trial) -> float:
    return 1.0 if trial.number in (0, 6) else _nan(trial)


def _infinite(trial: optuna.Trial) -> float:
    return math.inf if trial.number % 2 else -math.inf * (1 + _equal(trial))


def _huge(trial: optuna.Trial) -> float:
    return 1e308 * (trial.suggest_float("lr", 1e-4, 1.0, log=True) - 0.5)


def _pruned(trial: optuna.Trial) -> float:
    trial.report(trial.suggest_float("lr", 1e-4, 1.0, log=True), 0)
    raise optuna.TrialPruned


@pytest.mark.parametrize(
    "objective",
    [
        _single,
        _partly_single,
        _conditional,
        _equal,
        _nan,
        _mostly_nan,
        _infinite,
        _huge,
        _pruned,
    ],
)
@pytest.mark.parametrize("direction", ["minimize", "maximize"])
def test_degenerate_studies_go_on(
    objective: Callable[[optuna.Trial], float], direction: str
) -> None:
    own = hpt.GPSampler(seed=0)
    study = optuna.create_study(direction=direction, sampler=own)
    study.optimize(objective, n_trials=8)
    assert len(study.trials) == 8


def test_where_everything_fails_it_does_not_stay() -> None:
    """A study whose trials return NaN beyond a threshold finds the part where they do not."""
    space: dict[str, BaseDistribution] = {"lr": FloatDistribution(1e-4, 100.0, log=True)}
    own = hpt.GPSampler(search_space=space, start={"lr": 0.001}, seed=0)
    study = optuna.create_study(direction="maximize", sampler=own)
    study.optimize(
        lambda t: (
            x if (x := math.log10(t.suggest_float("lr", 1e-4, 100.0, log=True))) < -1 else math.nan
        ),
        n_trials=14,
    )
    lrs = [t.params["lr"] for t in study.trials]
    assert len(set(lrs)) == 14
    assert sum(lr < 0.1 for lr in lrs[4:]) >= 5
    assert study.best_value > -1.3


def test_reports_the_best_in_the_objectives_units_for_a_minimised_loss() -> None:
    told = [(p, -v) for p, v in noisy_page(30) if isinstance(v, float)]
    study = study_of(told, direction="minimize")
    report = sampler().report(study)
    low, high = report.interval
    assert low < report.value < high
    truth = -page.accuracy(**report.best)
    assert low - 1.0 < truth < high + 1.0
    assert study.direction == StudyDirection.MINIMIZE
    assert report.points == 30
    assert report.length_scales.keys() == set(page.COORDINATES.axes)


def test_the_study_holds_the_report_as_json_and_in_words() -> None:
    own = sampler()
    study = optuna.create_study(direction="maximize", sampler=own)
    study.add_trials(study_of(noisy_page(10)).trials)
    study.ask(page.SEARCH_SPACE)
    # A choice costs no report: somebody has to ask for it.
    assert study.user_attrs["hptoolkit:gp"].keys() == {"seconds"}
    report = own.keep_report(study)
    stored = study.user_attrs["hptoolkit:gp"]
    assert json.loads(json.dumps(stored)) == stored
    assert len(json.dumps(stored)) < 2045
    assert stored["points"] == 10
    assert stored["seconds"] > 0
    assert stored["exponents"]["1-momentum"]["value"] == report.exponents["1-momentum"].value
    sentence = report.sentence()
    fitted = report.exponents["weight_decay"]
    assert f"(weight_decay)^({fitted.value:.2f} ± {fitted.error:.2f}; theory 1)" in sentence
    assert "After 10 points the predicted best is lr = " in sentence


def test_without_two_values_there_is_nothing_to_report() -> None:
    study = optuna.create_study(sampler=sampler())
    with pytest.raises(UserError, match="0 trials"):
        sampler().report(study)


def test_a_negative_number_of_initial_points_is_refused() -> None:
    with pytest.raises(UserError, match="initial is -1"):
        hpt.GPSampler(initial=-1)


def test_importing_the_samplers_does_not_import_torch() -> None:
    code = "import sys, hptoolkit.samplers; print('torch' in sys.modules, 'botorch' in sys.modules)"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.split() == ["False", "False"]


def test_comes_within_noise_of_the_best_in_few_trials() -> None:
    counts = []
    for seed in range(3):
        study = optuna.create_study(direction="maximize", sampler=sampler(seed))
        for count in range(1, 25):
            trial = study.ask(page.SEARCH_SPACE)
            value = page.accuracy(**trial.params)
            if value > 94.2 - 2 * NOISE:
                break
            noise = np.random.default_rng([seed, count]).standard_normal()
            study.tell(trial, value + NOISE * noise)
        counts.append(count)
    assert statistics.median(counts) <= 16


@pytest.mark.slow
@pytest.mark.parametrize(("stored", "seconds"), [(100, 1.0), (300, 2.0)])
def test_ask_is_fast(stored: int, seconds: float) -> None:
    study = optuna.create_study(direction="maximize", sampler=sampler())
    study.add_trials(study_of(noisy_page(stored)).trials)
    taken = []
    for _ in range(6):
        began = time.process_time()
        trial = study.ask(page.SEARCH_SPACE)
        taken.append(time.process_time() - began)
        study.tell(trial, page.accuracy(**trial.params))
    # Seconds of one core; the first ask imports PyTorch.
    assert statistics.median(taken[1:]) < seconds


@pytest.mark.parametrize("how", ["raises", "is pruned", "is infinite"])
def test_of_failures_alone_there_is_nothing_to_report(how: str) -> None:
    space: dict[str, BaseDistribution] = {"lr": FloatDistribution(1e-3, 1.0, log=True)}
    own = hpt.GPSampler(search_space=space, seed=0)
    study = optuna.create_study(sampler=own)

    def objective(trial: optuna.Trial) -> float:
        trial.suggest_float("lr", 1e-3, 1.0, log=True)
        if how == "is infinite":
            return math.inf
        raise RuntimeError if how == "raises" else optuna.TrialPruned

    study.optimize(objective, n_trials=6, catch=(RuntimeError,))
    with pytest.raises(UserError, match="6 trials, of which fewer than 2 have told a value"):
        own.report(study)


def test_it_computes_with_one_thread_and_gives_the_others_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    own = sampler()
    study = optuna.create_study(direction="maximize", sampler=own)
    study.add_trials(study_of(noisy_page(10)).trials)
    before, meanwhile = torch.get_num_threads(), []
    fit, moments = model.fit, LearnedAxesGP.moments

    def seen(call: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*args: Any) -> Any:
            blas = [lib["num_threads"] for lib in threadpool_info() if lib["user_api"] == "blas"]
            meanwhile.extend([torch.get_num_threads(), *blas])
            return call(*args)

        return wrapped

    monkeypatch.setattr(model, "fit", seen(fit))
    monkeypatch.setattr(LearnedAxesGP, "moments", seen(moments))
    torch.set_num_threads(3)
    try:
        study.ask(page.SEARCH_SPACE)
        own.report(study)
        assert torch.get_num_threads() == 3
        monkeypatch.setattr(LearnedAxesGP, "moments", lambda *args: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            own.report(study)
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)
    assert set(meanwhile) == {1}
