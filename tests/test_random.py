from __future__ import annotations

import math
from collections import Counter
from typing import Any

import numpy as np
import numpy.typing as npt
import optuna
import pytest
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.study import StudyDirection
from scipy import stats

import hptoolkit as hpt
from hptoolkit.samplers.history import History

Array = npt.NDArray[np.float64]

PRODUCT = "lr*weight_decay/(1-momentum)"
COORDINATES = hpt.Coordinates(PRODUCT, "1-momentum", "weight_decay")
SPACE: dict[str, BaseDistribution] = {
    "lr": FloatDistribution(1e-3, 10, log=True),
    "momentum": FloatDistribution(0.0, 0.99),
    "weight_decay": FloatDistribution(1e-5, 1e-2, log=True),
}


def _points(n: int, space: dict[str, BaseDistribution], **arguments: Any) -> list[dict[str, Any]]:
    """What the sampler proposes for trials 0 to n − 1."""
    arguments = {"coordinates": COORDINATES, "seed": 0} | arguments
    sampler = hpt.RandomSampler(search_space=space, **arguments)
    region = sampler.region(space)
    points = []
    for number in range(n):
        history = History([], space, StudyDirection.MINIMIZE, number)
        history.number = number
        points.append(region.decode(sampler.propose(region, history)))
    return points


def _logs(points: list[dict[str, Any]]) -> Array:
    """Logarithms (n, 3) of λ, 1 − ρ and α."""
    return np.array(
        [
            (math.log(p["lr"]), math.log1p(-p["momentum"]), math.log(p["weight_decay"]))
            for p in points
        ]
    )


def _rejection(n: int, boxes: dict[str, tuple[float, float]]) -> Array:
    """Plain rejection from the raw box, written without the package: logarithms (n, 3)."""
    rng = np.random.default_rng(1)
    low, high = np.log([1e-3, 0.01, 1e-5]), np.log([10, 1.0, 1e-2])
    axes = {PRODUCT: [1.0, -1.0, 1.0], "1-momentum": [0.0, 1.0, 0.0]}
    kept: list[Array] = []
    while sum(map(len, kept)) < n:
        logs = rng.uniform(low, high, size=(1 << 16, 3))
        for axis, bounds in boxes.items():
            place = logs @ np.array(axes[axis])
            logs = logs[(place >= math.log(bounds[0])) & (place <= math.log(bounds[1]))]
        kept.append(logs)
    return np.concatenate(kept)[:n]


def _same_distribution(a: Array, b: Array) -> float:
    """The least of 12 Kolmogorov-Smirnov p-values on random projections, times 12."""
    directions = np.random.default_rng(2).normal(size=(12, a.shape[1]))
    return 12 * min(stats.ks_2samp(a @ d, b @ d).pvalue for d in directions)


BOXES = {
    "raw box": {},
    "slice": {PRODUCT: (1e-4, 4e-4)},
    "corner": {PRODUCT: (1.0, 10.0)},
    "two": {PRODUCT: (1e-4, 1e-3), "1-momentum": (0.1, 0.2)},
}


@pytest.mark.parametrize("method", ["uniform", "sobol"])
@pytest.mark.parametrize("name", BOXES)
def test_uniform_in_the_polytope(name: str, method: str) -> None:
    points = _logs(_points(1500, SPACE, box=BOXES[name], method=method))
    assert _same_distribution(points, _rejection(20_000, BOXES[name])) > 0.05


def test_the_two_sample_test_sees_a_wrong_distribution() -> None:
    """Uniform in the coordinates' box, projected: what a careless sampler would do."""
    reference = _rejection(20_000, {})
    shifted = _rejection(1500, {}) * [1.0, 1.0, 0.9]
    assert _same_distribution(shifted, reference) < 1e-3


def test_a_linear_map_leaves_uniform_points_alone() -> None:
    """Over one region the distribution is the same in all coordinates (DESIGN, section 2)."""
    raw = hpt.Coordinates("lr", "1-momentum", "weight_decay")
    other = hpt.Coordinates("lr/(1-momentum)", "lr**2*weight_decay/(1-momentum)", "weight_decay")
    reference = _logs(_points(1500, SPACE, coordinates=raw))
    for seed, coordinates in enumerate((COORDINATES, other), 1):
        points = _logs(_points(1500, SPACE, coordinates=coordinates, seed=seed))
        assert _same_distribution(points, reference) > 0.05


def test_raw_axes_and_coordinates_are_compared_over_the_same_region() -> None:
    box = {PRODUCT: (1e-4, 1e-3)}
    raw = hpt.Coordinates("lr", "1-momentum", "weight_decay")
    points = _logs(_points(1500, SPACE, coordinates=raw, box=box))
    assert _same_distribution(points, _rejection(20_000, box)) > 0.05


def test_sobol_is_more_even_than_chance_along_each_coordinate() -> None:
    """With the coordinates' own box inside the raw one nothing is rejected: a (0,m,1)-net."""
    box = {PRODUCT: (1e-4, 1e-3), "1-momentum": (0.1, 0.3), "weight_decay": (1e-4, 1e-3)}
    points = _points(256, SPACE, box=box, method="sobol")
    for axis, (low, high) in box.items():
        place = [
            math.log(COORDINATES.from_raw(p)[axis] / low) / math.log(high / low) for p in points
        ]
        assert set(Counter(int(256 * u) for u in place).values()) == {1}


@pytest.mark.parametrize("method", ["uniform", "sobol"])
def test_discrete_values_have_equal_cells(method: str) -> None:
    space: dict[str, BaseDistribution] = {
        "lr": FloatDistribution(1e-3, 1, log=True),
        "batch_size": CategoricalDistribution([128, 256, 512, 1024]),
        "layers": IntDistribution(1, 4),
        "dropout": FloatDistribution(0.0, 0.4, step=0.1),
        "optimizer": CategoricalDistribution(["sgd", "adam", "muon"]),
    }
    coordinates = hpt.Coordinates("lr/batch_size", "batch_size")
    points = _points(1200, space, coordinates=coordinates, method=method)
    for name in ("batch_size", "layers", "dropout", "optimizer"):
        counts = list(Counter(p[name] for p in points).values())
        assert len(counts) == {"batch_size": 4, "layers": 4, "dropout": 5, "optimizer": 3}[name]
        assert stats.chisquare(counts).pvalue > 1e-3
    # The batch size is independent of λ in the raw box, though one coordinate mixes them.
    small = [math.log(p["lr"]) for p in points if p["batch_size"] == 128]
    assert stats.kstest(small, "uniform", (math.log(1e-3), math.log(1e3))).pvalue > 1e-3


def test_rounded_values_stay_within_the_box() -> None:
    """Each batch size is as likely as its slice is long: of [0.001, 0.002] · N cut by λ ≤ 1."""
    space: dict[str, BaseDistribution] = {
        "lr": FloatDistribution(1e-3, 1, log=True),
        "batch_size": CategoricalDistribution([256, 512, 1024]),
    }
    coordinates = hpt.Coordinates("lr/batch_size", "batch_size")
    points = _points(1500, space, coordinates=coordinates, box={"lr/batch_size": (1e-3, 2e-3)})
    assert all(1e-3 <= p["lr"] / p["batch_size"] <= 2e-3 for p in points)
    lengths = [math.log(2), math.log(1 / 0.512), 0.0]
    counts = Counter(p["batch_size"] for p in points)
    expected = [1500 * length / sum(lengths) for length in lengths[:2]]
    assert stats.chisquare([counts[256], counts[512]], expected).pvalue > 1e-3


def test_directions_without_width() -> None:
    space = SPACE | {"momentum": FloatDistribution(0.9, 0.9)}
    points = _points(200, space, box={PRODUCT: (1e-4, 1e-4)})
    assert {p["momentum"] for p in points} == {0.9}
    products = [COORDINATES.from_raw(p)[PRODUCT] for p in points]
    assert products == pytest.approx([1e-4] * 200, rel=1e-9)
    # λα is held at 1e-5: λ runs from 1e-3 to 1.
    lrs = [math.log(p["lr"]) for p in points]
    assert stats.kstest(lrs, "uniform", (math.log(1e-3), math.log(1e3))).pvalue > 1e-3


@pytest.mark.parametrize("method", ["uniform", "sobol"])
def test_a_box_without_an_allowed_value_is_refused(method: Any) -> None:
    sampler = hpt.RandomSampler(hpt.Coordinates("n"), box={"n": (3.2, 3.6)}, method=method)
    study = optuna.create_study(sampler=sampler)
    study.optimize(lambda t: t.suggest_int("n", 1, 10), n_trials=1)
    with pytest.raises(hpt.UserError, match="No value that the parameters can take"):
        study.ask()


@pytest.mark.parametrize("method", ["uniform", "sobol"])
@pytest.mark.parametrize("search_space", [None, SPACE])
def test_resumed_at_every_trial_it_draws_the_same_points(
    method: Any, search_space: dict[str, BaseDistribution] | None
) -> None:
    def sampler() -> hpt.RandomSampler:
        return hpt.RandomSampler(COORDINATES, search_space=search_space, seed=3, method=method)

    def objective(trial: optuna.Trial) -> float:
        return trial.suggest_float("lr", 1e-3, 10, log=True) * (
            trial.suggest_float("momentum", 0.0, 0.99)
            + trial.suggest_float("weight_decay", 1e-5, 1e-2, log=True)
        )

    straight = optuna.create_study(sampler=sampler())
    straight.optimize(objective, n_trials=20)
    storage = optuna.storages.InMemoryStorage()
    optuna.create_study(storage=storage, study_name="s")
    for _ in range(20):
        resumed = optuna.load_study(storage=storage, study_name="s", sampler=sampler())
        resumed.optimize(objective, n_trials=1)
    assert [t.params for t in resumed.trials] == [t.params for t in straight.trials]
    assert len({t.params["lr"] for t in resumed.trials}) == 20


def test_workers_that_share_a_seed_draw_different_points() -> None:
    study = optuna.create_study(sampler=hpt.RandomSampler(COORDINATES, search_space=SPACE, seed=0))
    trials = [study.ask() for _ in range(8)]
    drawn = {trial.suggest_float("lr", 1e-3, 10, log=True) for trial in trials}
    assert len(drawn) == 8


def test_the_start_comes_first() -> None:
    start = {"lr": 0.1, "momentum": 0.5, "weight_decay": 1e-3}
    for method in ("uniform", "sobol"):
        points = _points(3, SPACE, start=start, method=method)
        assert points[0] == pytest.approx(start)
        assert points[1] != pytest.approx(start)


def test_an_unknown_method_is_refused() -> None:
    with pytest.raises(hpt.UserError, match="Unknown method 'sobl': did you mean 'sobol'"):
        hpt.RandomSampler(COORDINATES, method="sobl")  # type: ignore[arg-type]


def test_a_choice_that_only_the_complement_can_take_the_logarithm_of() -> None:
    space = SPACE | {"momentum": CategoricalDistribution([0.0, 0.9, 0.99])}
    counts = Counter(p["momentum"] for p in _points(600, space))
    # On the axis log(1 − ρ) the cells of 1, 0.1 and 0.01 are equally long.
    assert stats.chisquare([counts[0.0], counts[0.9], counts[0.99]]).pvalue > 1e-3


@pytest.mark.parametrize("space", [SPACE, None], ids=["told", "learned"])
@pytest.mark.parametrize("kind", ["uniform", "sobol", "tpe"])
def test_the_start_follows_enqueued_trials(kind: str, space: Any) -> None:
    start = {"lr": 0.1, "momentum": 0.5, "weight_decay": 1e-3}
    given: dict[str, Any] = {"search_space": space, "start": start, "seed": 0}
    if kind == "tpe":
        inner = optuna.samplers.TPESampler(seed=0)
        sampler: Any = hpt.Reparameterized(inner, COORDINATES, **given)
    else:
        sampler = hpt.RandomSampler(COORDINATES, method=kind, **given)
    study = optuna.create_study(sampler=sampler)
    study.enqueue_trial({"lr": 1.0, "momentum": 0.0, "weight_decay": 1e-4})
    study.enqueue_trial({"lr": 2.0, "momentum": 0.0, "weight_decay": 1e-4})

    def objective(trial: optuna.Trial) -> float:
        momentum = trial.suggest_float("momentum", 0.0, 0.99)
        rate = trial.suggest_float("lr", 1e-3, 10, log=True)
        return rate + momentum + trial.suggest_float("weight_decay", 1e-5, 1e-2, log=True)

    study.optimize(objective, n_trials=6)
    assert [t.params["lr"] for t in study.trials[:2]] == [1.0, 2.0]
    assert study.trials[2].params == pytest.approx(start)
    assert all(t.params["lr"] != 0.1 for t in study.trials[3:])
