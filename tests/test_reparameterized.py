from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
import optuna
import pytest
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.samplers import BaseSampler
from optuna.trial import TrialState
from scipy.optimize import minimize

import hptoolkit as hpt
from hptoolkit.search_space.polytope import bounding_box, project
from hptoolkit.search_space.region import Region
from tests import page

pytestmark = pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")

PRODUCT = "lr*weight_decay/(1-momentum)"


def _cmaes() -> BaseSampler:
    pytest.importorskip("cmaes")
    return optuna.samplers.CmaEsSampler()


INNER: dict[str, Callable[[], BaseSampler]] = {
    "tpe": lambda: optuna.samplers.TPESampler(n_startup_trials=5),
    "tpe-univariate": lambda: optuna.samplers.TPESampler(n_startup_trials=5, multivariate=False),
    "cmaes": _cmaes,
    "qmc": lambda: optuna.samplers.QMCSampler(scramble=True, seed=7),
    "random": lambda: optuna.samplers.RandomSampler(),
}


def _sampler(inner: BaseSampler, **arguments: Any) -> hpt.Reparameterized:
    arguments = {"search_space": page.SEARCH_SPACE, "seed": 1} | arguments
    return hpt.Reparameterized(inner, page.COORDINATES, **arguments)


def _objective(trial: optuna.Trial) -> float:
    """Page's response, pruned where it is bad and failing now and then."""
    value = page.objective(trial)
    for step in range(3):
        trial.report(value - 2 + step, step)
    if trial.number % 7 == 3:
        raise RuntimeError("a bad moment")
    if value < 40:
        raise optuna.TrialPruned
    return value


def _resumed(make: Callable[[], BaseSampler], n: int) -> list[dict[str, Any]]:
    storage = optuna.storages.InMemoryStorage()
    optuna.create_study(storage=storage, study_name="s", direction="maximize")
    for _ in range(n):
        study = optuna.load_study(storage=storage, study_name="s", sampler=make())
        study.optimize(_objective, n_trials=1, catch=(RuntimeError,))
    return [t.params for t in study.trials]


@pytest.mark.parametrize("name", INNER)
@pytest.mark.parametrize("search_space", [None, page.SEARCH_SPACE])
def test_resumed_at_every_trial_it_goes_on_as_if_uninterrupted(
    name: str, search_space: dict[str, BaseDistribution] | None
) -> None:
    def make() -> hpt.Reparameterized:
        return _sampler(INNER[name](), search_space=search_space)

    straight = optuna.create_study(sampler=make(), direction="maximize")
    straight.optimize(_objective, n_trials=30, catch=(RuntimeError,))
    params = [t.params for t in straight.trials]
    assert _resumed(make, 30) == params
    assert len({p["lr"] for p in params}) == 30


def test_a_resumed_cmaes_does_not_read_all_search_spaces_anew_for_each_generation(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is asked again once a generation: that grew with the square of the trials."""
    compared = 0
    equal = BaseDistribution.__eq__

    def counting(self: BaseDistribution, other: Any) -> bool:
        nonlocal compared
        compared += 1
        return equal(self, other)

    study = optuna.create_study(sampler=_sampler(_cmaes()), direction="maximize")
    counts = []
    for n in (100, 200):
        study.optimize(page.objective, n_trials=n - len(study.trials))
        study.sampler = _sampler(_cmaes())
        with monkeypatch.context() as patch:
            patch.setattr(BaseDistribution, "__eq__", counting)
            compared = 0
            study.optimize(page.objective, n_trials=1)
        counts.append(compared)
    assert counts[1] < 2.5 * counts[0]


@pytest.mark.slow
def test_optunas_gp_is_resumed_too() -> None:
    def make() -> hpt.Reparameterized:
        return _sampler(optuna.samplers.GPSampler(n_startup_trials=4))

    straight = optuna.create_study(sampler=make(), direction="maximize")
    straight.optimize(_objective, n_trials=12, catch=(RuntimeError,))
    params = [t.params for t in straight.trials]
    assert _resumed(make, 12) == params
    assert len({p["lr"] for p in params}) == 12


def test_two_workers_in_turn_go_on_as_one() -> None:
    """Each has to learn from the storage what the other has asked and told."""
    storage = optuna.storages.InMemoryStorage()
    optuna.create_study(storage=storage, study_name="s", direction="maximize")
    workers = [
        optuna.load_study(storage=storage, study_name="s", sampler=_sampler(INNER["tpe"]()))
        for _ in range(2)
    ]
    for i in range(24):
        workers[i % 2].optimize(_objective, n_trials=1, catch=(RuntimeError,))
    expected = _resumed(lambda: _sampler(INNER["tpe"]()), 24)
    assert [t.params for t in workers[0].trials] == expected


class _Spy(BaseSampler):
    """Notes what it is shown, and proposes what it is told to."""

    shown: ClassVar[list[list[optuna.trial.FrozenTrial]]] = []
    proposals: ClassVar[list[dict[str, float]]] = []

    def infer_relative_search_space(self, study: Any, trial: Any) -> dict[str, BaseDistribution]:
        return {}

    def sample_relative(self, study: Any, trial: Any, search_space: Any) -> dict[str, Any]:
        return {}

    def before_trial(self, study: optuna.Study, trial: optuna.trial.FrozenTrial) -> None:
        self.shown.append([t for t in study.trials if t.number != trial.number])

    def sample_independent(self, study: Any, trial: Any, param_name: str, distribution: Any) -> Any:
        proposal = self.proposals[min(len(self.shown), len(self.proposals)) - 1]
        return proposal[param_name]


def _spy(*proposals: dict[str, float]) -> _Spy:
    _Spy.shown, _Spy.proposals = [], list(proposals)
    return _Spy()


def _logs(params: dict[str, float]) -> dict[str, float]:
    return {axis: math.log(v) for axis, v in page.COORDINATES.from_raw(params).items()}


INSIDE = _logs({"lr": 0.1, "momentum": 0.9, "weight_decay": 1e-3})
# λ = 10000 there.
OUTSIDE = INSIDE | {PRODUCT: math.log(100.0)}


@pytest.mark.filterwarnings("ignore:Fixed parameter momentum")
def test_the_sampler_is_shown_positions_values_and_states() -> None:
    study = optuna.create_study(sampler=_sampler(_spy(INSIDE)), direction="maximize")
    start = {"lr": 1.0, "momentum": 0.5, "weight_decay": 0.01}
    study.enqueue_trial(start)
    study.enqueue_trial(start | {"weight_decay": 1e-5})
    study.enqueue_trial(start | {"weight_decay": 1e-4})
    study.enqueue_trial(start | {"momentum": 0.9999})
    complete, pruned, failed, beyond = (study.ask(page.SEARCH_SPACE) for _ in range(4))
    study.tell(complete, 93.0)
    pruned.report(12.0, 3)
    study.tell(pruned, state=TrialState.PRUNED)
    study.tell(failed, state=TrialState.FAIL)
    study.tell(beyond, 10.0)
    running = study.ask(page.SEARCH_SPACE)
    study.ask(page.SEARCH_SPACE)

    a, b, c, d, e = _Spy.shown[-1]
    assert (a.state, a.value) == (TrialState.COMPLETE, 93.0)
    assert a.params == pytest.approx(_logs(start))
    assert (b.state, b.intermediate_values) == (TrialState.PRUNED, {3: 12.0})
    assert b.params["weight_decay"] == pytest.approx(math.log(1e-5))
    assert c.state == d.state == TrialState.FAIL
    assert e.state == TrialState.RUNNING
    assert e.params == pytest.approx(_logs(running.params))
    assert all(t.distributions == a.distributions for t in (b, e))


def test_a_point_outside_is_pruned_in_the_shadow_and_asked_for_again() -> None:
    study = optuna.create_study(sampler=_sampler(_spy(OUTSIDE, INSIDE)), direction="maximize")
    trial = study.ask(page.SEARCH_SPACE)
    assert trial.params == pytest.approx({"lr": 0.1, "momentum": 0.9, "weight_decay": 1e-3})
    assert len(study.trials) == 1
    (seen,) = _Spy.shown[-1]
    assert (seen.state, seen.params) == (TrialState.PRUNED, pytest.approx(OUTSIDE))


def test_a_sampler_that_insists_is_told_the_worst_value() -> None:
    spy = _spy(INSIDE, INSIDE, OUTSIDE, OUTSIDE, INSIDE | {"weight_decay": math.log(1e-4)})
    study = optuna.create_study(sampler=_sampler(spy), direction="minimize")
    for value in (3.0, 5.0):
        study.tell(study.ask(page.SEARCH_SPACE), value)
    for make_anew in (False, True):
        if make_anew:
            study.sampler = _sampler(spy)
        study.ask(page.SEARCH_SPACE)
        seen = [(t.state, t.value) for t in _Spy.shown[-1]][2:4]
        assert seen == [(TrialState.PRUNED, None), (TrialState.COMPLETE, 5.0)]


def test_after_twenty_points_outside_the_nearest_inside_is_taken() -> None:
    study = optuna.create_study(sampler=_sampler(_spy(OUTSIDE)), direction="maximize")
    trial = study.ask(page.SEARCH_SPACE)
    assert len(_Spy.shown) == 20
    assert trial.params["lr"] == pytest.approx(100.0)


@pytest.mark.parametrize("seed", range(8))
def test_the_projection_is_the_nearest_point(seed: int) -> None:
    """Against a general solver, over regions cut by coordinates' bounds."""
    box = {} if seed % 2 else {PRODUCT: (1e-5, 1e-3)}
    region = Region(page.COORDINATES, page.SEARCH_SPACE, box)
    rng = np.random.default_rng(seed)
    lengths = region.high - region.low
    position = region.low + rng.uniform(-0.5, 1.5, 3) * lengths
    found = project(region, position)
    assert region.contains(found)
    solution = minimize(
        lambda z: np.sum(((z - position) / lengths) ** 2),
        region.middle(),
        jac=lambda z: 2 * (z - position) / lengths**2,
        constraints={"type": "ineq", "fun": lambda z: region.offsets - region.inequalities @ z},
        options={"ftol": 1e-14, "maxiter": 500},
    )
    assert found == pytest.approx(solution.x, abs=1e-5)


def test_the_box_of_the_shadow_is_drawn_tight() -> None:
    """With λα/(1−ρ) at most 1e-7 and λ at least 1e-5, α cannot exceed 0.01."""
    region = Region(page.COORDINATES, page.SEARCH_SPACE, {PRODUCT: (1e-9, 1e-7)})
    box = np.exp(bounding_box(region))
    assert box[0] == pytest.approx([1e-9, 1e-7])
    assert box[1] == pytest.approx([0.01, 1.0])
    assert box[2] == pytest.approx([1e-6, 0.01])


@pytest.mark.parametrize("name", INNER)
def test_every_parameter_is_searched_within_the_region(name: str) -> None:
    space: dict[str, BaseDistribution] = {
        "lr": FloatDistribution(1e-4, 10, log=True),
        "batch_size": IntDistribution(16, 1024, log=True),
        "dropout": FloatDistribution(0.0, 0.5, step=0.1),
        "optimizer": CategoricalDistribution(["sgd", "adam"]),
    }

    def objective(trial: optuna.Trial) -> float:
        lr = trial.suggest_float("lr", 1e-4, 10, log=True)
        n = trial.suggest_int("batch_size", 16, 1024, log=True)
        adam = trial.suggest_categorical("optimizer", ["sgd", "adam"]) == "adam"
        dropout = trial.suggest_float("dropout", 0.0, 0.5, step=0.1)
        return math.log(lr / n / 1e-4) ** 2 + (dropout - 0.2) ** 2 + adam

    coordinates = hpt.Coordinates("lr/batch_size", "batch_size")
    sampler = hpt.Reparameterized(
        INNER[name](), coordinates, search_space=space, seed=0, box={"lr/batch_size": (1e-5, 1e-3)}
    )
    study = optuna.create_study(sampler=sampler)
    study.optimize(objective, n_trials=40)
    region = sampler.region(space)
    for trial in study.trials:
        low, high = 1e-5, 1e-3
        # Rounding the batch size may move the point by half an image.
        assert low * 0.96 <= trial.params["lr"] / trial.params["batch_size"] <= high * 1.04
        assert set(trial.params) == set(space)
    assert {t.params["optimizer"] for t in study.trials} == {"sgd", "adam"}
    assert len({t.params["dropout"] for t in study.trials}) > 3
    assert region.axes[2].name == "dropout"


def test_raw_names_and_coordinates_search_the_same_region() -> None:
    for coordinates in (hpt.Coordinates(), page.COORDINATES):
        sampler = hpt.Reparameterized(
            INNER["tpe"](), coordinates, search_space=page.SEARCH_SPACE, seed=0
        )
        study = optuna.create_study(sampler=sampler, direction="maximize")
        study.optimize(page.objective, n_trials=15)
        assert len({t.params["lr"] for t in study.trials}) == 15


def test_the_start_comes_first() -> None:
    study = optuna.create_study(sampler=_sampler(INNER["tpe"](), start=page.START))
    study.optimize(page.objective, n_trials=2)
    assert study.trials[0].params == pytest.approx(page.START)
    assert study.trials[1].params != pytest.approx(page.START)


@pytest.mark.parametrize("inner", [optuna.samplers.TPESampler, hpt.RandomSampler(), None])
def test_what_cannot_be_wrapped_is_refused(inner: Any) -> None:
    with pytest.raises(hpt.UserError, match=r"one of Optuna's is needed"):
        hpt.Reparameterized(inner)


@pytest.mark.parametrize("inner", [optuna.samplers.TPESampler, optuna.samplers.RandomSampler])
def test_a_learned_space_that_shrinks_does_not_break_it(
    inner: type[optuna.samplers.BaseSampler],
) -> None:
    """What was rejected in a larger space says nothing about the smaller one."""

    def objective(trial: optuna.Trial, shrunk: bool) -> float:
        lr = trial.suggest_float("lr", 1e-4, 1 if shrunk else 100, log=True)
        decay = trial.suggest_float("weight_decay", 1e-6, 1, log=True)
        if not shrunk:
            trial.suggest_int("k", 1, 5)
        return lr * decay

    for seed in range(3):
        sampler = hpt.Reparameterized(
            inner(), hpt.Coordinates("lr*weight_decay", "weight_decay"), seed=seed
        )
        study = optuna.create_study(sampler=sampler)
        study.optimize(lambda t: objective(t, False), n_trials=8)
        study.optimize(lambda t: objective(t, True), n_trials=5)
        assert len(study.trials) == 13


@pytest.mark.parametrize(("high", "step", "levels"), [(0.9, 0.3, 4), (0.7, 0.1, 8), (0.6, 0.2, 4)])
def test_a_stepped_range_is_proposed_to_its_last_level(
    high: float, step: float, levels: int
) -> None:
    """0 + 3·0.3 is just below 0.9: Optuna would then drop the last level."""
    space: dict[str, BaseDistribution] = {"x": FloatDistribution(0.0, high, step=step)}
    inner = optuna.samplers.RandomSampler(seed=0)
    study = optuna.create_study(sampler=hpt.Reparameterized(inner, search_space=space, seed=0))
    study.optimize(lambda t: t.suggest_float("x", 0.0, high, step=step), n_trials=60)
    proposed = sorted({round(t.params["x"], 9) for t in study.trials})
    assert proposed == pytest.approx([i * step for i in range(levels)])
