from __future__ import annotations

import itertools
import math
import time
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.trial import TrialState

import hptoolkit as hpt
from hptoolkit.samplers.grid.plan import GridPlan
from tests import page

X = {"x": FloatDistribution(1.0, 256.0, log=True)}
XY: dict[str, BaseDistribution] = {
    "x": FloatDistribution(1.0, 100.0, log=True),
    "y": FloatDistribution(-1.0, 1.0),
}
PRODUCT = "lr*weight_decay/(1-momentum)"


def _run(sampler: hpt.GridSampler, objective: Any, **arguments: Any) -> optuna.Study:
    study = optuna.create_study(sampler=sampler, direction="maximize")
    study.optimize(objective, **arguments)
    return study


def _log_x(study: optuna.Study) -> list[float]:
    return [math.log2(t.params["x"]) for t in study.trials]


def _peak_at(place: float) -> Any:
    def objective(trial: optuna.Trial) -> float:
        return -abs(math.log2(trial.suggest_float("x", 1.0, 256.0, log=True)) - place)

    return objective


def _two(trial: optuna.Trial) -> float:
    x = trial.suggest_float("x", 1.0, 100.0, log=True)
    return -((math.log10(x) - 0.7) ** 2) - (trial.suggest_float("y", -1.0, 1.0) - 0.3) ** 2


def test_without_coordinates_it_is_the_plain_grid() -> None:
    sampler = hpt.GridSampler(search_space=XY, levels=3, zooms=0)
    study = _run(sampler, _two)
    points = [(t.params["x"], t.params["y"]) for t in study.trials]
    assert points[0] == pytest.approx((10.0, 0.0))
    expected = sorted(itertools.product((1.0, 10.0, 100.0), (-1.0, 0.0, 1.0)))
    assert sorted(points) == [pytest.approx(point) for point in expected]
    assert sampler.why_finished(study) == "all 9 points of the grid are evaluated"


def test_zooms_by_hand() -> None:
    """Levels 0, 4, 8 of log2 x; the best is 4, then 6 = 4 + 2, then 5 = 6 − 1 beats 7."""
    sampler = hpt.GridSampler(search_space=X, levels=3, zooms=2)
    study = _run(sampler, _peak_at(5.2))
    assert _log_x(study) == pytest.approx([4, 0, 8, 2, 6, 5, 7])
    assert sampler.why_finished(study) == "all 7 points of the grid and its 2 zooms are evaluated"


def test_a_zoom_of_two_axes_has_eight_points() -> None:
    sampler = hpt.GridSampler(search_space=XY, levels=3, zooms=1)
    assert sampler.count(XY) == 9 + 8
    study = _run(sampler, _two)
    assert len(study.trials) == 17
    logs = {(round(math.log10(t.params["x"]), 6), t.params["y"]) for t in study.trials[9:]}
    assert logs == set(itertools.product((0.5, 1.0, 1.5), (-0.5, 0.0, 0.5))) - {(1.0, 0.0)}


def _inside(levels: int, flat: int) -> int:
    """Points of the lattice in coordinates that lie in Page's raw box, counted without it."""
    low, high = np.log([1e-5, 0.01, 1e-6]), np.log([100, 1.0, 1.0])
    products = np.linspace(low[0] - high[1] + low[2], high[0] - low[1] + high[2], levels)
    count = 0
    for product, complement, decay in itertools.product(
        products, np.linspace(low[1], high[1], flat), np.linspace(low[2], high[2], flat)
    ):
        count += low[0] - 1e-9 <= product + complement - decay <= high[0] + 1e-9
    return count


def test_the_lattice_is_cut_to_the_polytope_and_counted_beforehand() -> None:
    sampler = hpt.GridSampler(
        page.COORDINATES, search_space=page.SEARCH_SPACE, levels={PRODUCT: 9}, zooms=0
    )
    count = sampler.count(page.SEARCH_SPACE)
    assert count == _inside(9, 3)
    study = _run(sampler, page.objective)
    assert len(study.trials) == count
    assert len({tuple(t.params.values()) for t in study.trials}) == count


def test_the_sensitive_axis_has_the_finest_step_by_default() -> None:
    """1 − ρ spans log 100 in 2 steps; λα/(1−ρ) spans 34.5 and needs 15 to be as fine."""
    sampler = hpt.GridSampler(page.COORDINATES, search_space=page.SEARCH_SPACE, zooms=0)
    assert sampler.count(page.SEARCH_SPACE) == _inside(16, 3)
    space = {"a": FloatDistribution(1, 10, log=True), "b": FloatDistribution(1, 10, log=True)}
    assert hpt.GridSampler(search_space=space, zooms=0).count(space) == 7 * 3


def test_a_start_is_the_first_point_and_the_lattice_passes_through_it() -> None:
    sampler = hpt.GridSampler(search_space=X, levels=5, zooms=0, start={"x": 8.0})
    assert _log_x(_run(sampler, _peak_at(3.0))) == pytest.approx([3, 1, 5, 7])


@pytest.mark.parametrize("search_space", [None, page.SEARCH_SPACE])
def test_resumed_at_every_trial_it_goes_on_as_if_uninterrupted(
    search_space: dict[str, BaseDistribution] | None,
) -> None:
    def sampler() -> hpt.GridSampler:
        return hpt.GridSampler(
            page.COORDINATES, search_space=search_space, start=page.START, levels=4, zooms=1
        )

    straight = _run(sampler(), page.objective)
    assert straight.trials[0].params == page.START
    storage = optuna.storages.InMemoryStorage()
    optuna.create_study(storage=storage, study_name="s", direction="maximize")
    for _ in range(len(straight.trials)):
        resumed = optuna.load_study(storage=storage, study_name="s", sampler=sampler())
        resumed.optimize(page.objective, n_trials=1)
    assert [t.params for t in resumed.trials] == [t.params for t in straight.trials]


@pytest.mark.parametrize("workers", [2, 5])
def test_several_workers_evaluate_every_point_once(workers: int) -> None:
    """They ask together and tell together, and take at least the points that one worker takes."""
    alone = _run(hpt.GridSampler(search_space=XY, levels=3), _two)
    sampler = hpt.GridSampler(search_space=XY, levels=3)
    study = optuna.create_study(sampler=sampler, direction="maximize")
    while sampler.why_finished(study) is None:
        trials = [study.ask() for _ in range(workers)]
        values = [_two(trial) for trial in trials]
        for trial, value in zip(trials, values, strict=True):
            study.tell(trial, value)
    points = [tuple(t.params.values()) for t in study.trials]
    assert len(set(points)) == len(points)
    assert set(points) >= {tuple(t.params.values()) for t in alone.trials}
    assert study.best_params == alone.best_params


def test_threads_share_the_grid() -> None:
    study = _run(hpt.GridSampler(search_space=XY, levels=5, zooms=0), _two, n_jobs=4)
    points = [tuple(t.params.values()) for t in study.trials]
    lattice = {tuple(t.params.values()) for t in study.trials[:25]}
    assert len(lattice) == 25
    # Threads that find all points taken while some still run look ahead, into the 3² − 1 cells of
    # the next round: how many do depends on the machine's load (34 were seen, in 1 of 12 runs).
    assert len(points) <= 25 + 9


def test_ask_and_tell_ends_with_study_exhausted() -> None:
    sampler = hpt.GridSampler(search_space=X, levels=3, zooms=0)
    study = optuna.create_study(sampler=sampler)
    for _ in range(3):
        study.tell(study.ask(X), 0.0)
    with pytest.raises(hpt.StudyExhausted, match="all 3 points"):
        study.ask()


def test_rounding_makes_points_one() -> None:
    space: dict[str, BaseDistribution] = {
        "layers": IntDistribution(1, 3),
        "dropout": FloatDistribution(0.0, 0.2, step=0.1),
        "optimizer": CategoricalDistribution(["sgd", "adam"]),
    }
    sampler = hpt.GridSampler(search_space=space, levels=9, zooms=2)
    assert sampler.count(space) >= 18
    study = _run(
        sampler,
        lambda t: (
            t.suggest_int("layers", 1, 3)
            + t.suggest_float("dropout", 0.0, 0.2, step=0.1)
            + len(t.suggest_categorical("optimizer", ["sgd", "adam"]))
        ),
    )
    assert len({tuple(t.params.values()) for t in study.trials}) == len(study.trials) == 18


def test_a_batch_size_in_a_coordinate_is_rounded_and_its_coordinate_recomputed() -> None:
    space: dict[str, BaseDistribution] = {
        "lr": FloatDistribution(1e-3, 1, log=True),
        "batch_size": IntDistribution(30, 1000, log=True),
    }

    def objective(trial: optuna.Trial) -> float:
        lr = trial.suggest_float("lr", 1e-3, 1, log=True)
        return -abs(math.log(lr / trial.suggest_int("batch_size", 30, 1000, log=True) / 1e-3))

    sampler = hpt.GridSampler(
        hpt.Coordinates("lr/batch_size", "batch_size"), search_space=space, levels=4, zooms=1
    )
    study = _run(sampler, objective)
    for trial in study.trials:
        exact = trial.params["lr"] / trial.params["batch_size"]
        assert trial.user_attrs["hptoolkit:coordinates"]["lr/batch_size"] == pytest.approx(
            exact, rel=1e-14
        )
    assert len(study.trials) <= sampler.count(space)


def test_a_crash_is_tried_three_times_and_a_pruned_point_is_never_the_centre() -> None:
    def objective(trial: optuna.Trial) -> float:
        place = round(math.log2(trial.suggest_float("x", 1.0, 256.0, log=True)))
        if place == 0:
            raise RuntimeError("out of memory")
        if place == 8:
            trial.report(100.0, 0)
            raise optuna.TrialPruned
        return -abs(place - 8)

    sampler = hpt.GridSampler(search_space=X, levels=3, zooms=1)
    study = _run(sampler, objective, catch=(RuntimeError,))
    assert _log_x(study) == pytest.approx([4, 0, 0, 0, 8, 2, 6])
    assert [t.state for t in study.trials].count(TrialState.FAIL) == 3


def test_told_nothing_it_goes_on_zooming() -> None:
    study = _run(hpt.GridSampler(), _two, n_trials=60)
    points = {tuple(t.params.values()) for t in study.trials}
    assert len(points) == 60
    assert study.best_value > -1e-2


def test_the_count_needs_a_search_space() -> None:
    sampler = hpt.GridSampler(levels=3, zooms=0, start={"x": 16.0})
    study = optuna.create_study(sampler=sampler)
    with pytest.raises(hpt.UserError, match="give the sampler a search_space"):
        sampler.count(study)
    study.optimize(_peak_at(3.0), n_trials=1)
    assert sampler.count(study) == 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"zooms": -1}, "zooms is -1"),
        ({"zooms": 3000}, "zooms is 3000: a number of refinements from 0 to 20"),
        ({"levels": 0}, "has 0 levels"),
        ({"levels": {"momentum": 3}}, "'momentum': did you mean '1-momentum'"),
        ({"levels": 99}, "970299 points before it is cut"),
        ({"start": {"lr": 1000.0}}, "lr = 1000.0 there"),
    ],
)
def test_bad_arguments(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(hpt.UserError, match=message):
        hpt.GridSampler(page.COORDINATES, search_space=page.SEARCH_SPACE, **arguments)


@pytest.mark.parametrize(("axes", "around"), [(5, 3**5 - 1), (12, 2 * 12**2), (16, 2 * 16**2)])
def test_the_cells_of_many_axes_are_those_along_one_axis_or_two(axes: int, around: int) -> None:
    """All cells of 12 axes would be half a million points, of 16 axes 43 million."""
    names = [f"x{i}" for i in range(axes)]
    space: dict[str, BaseDistribution] = {n: FloatDistribution(0.0, 4.0) for n in names}
    start = dict.fromkeys(names, 2.0)
    own = hpt.GridSampler(search_space=space, start=start, levels=2, zooms=1)
    began = time.perf_counter()
    assert own.count(space) == 1 + around  # two levels through the middle lie outside
    region = own.region(space)
    plan = GridPlan(region, 2, region.check_start(start))
    (key,) = plan.coarse
    cells = np.array(list(plan.cells(key, plan.coarse[key], 1).values()))
    assert time.perf_counter() - began < 5.0
    assert len(cells) == 1 + around
    moved = np.count_nonzero(cells != 2.0, axis=1)
    assert max(moved) == (5 if axes == 5 else 2)
    assert list(moved) == sorted(moved)  # nearest first
    assert np.all(np.isin(cells, (0.0, 2.0, 4.0)))
