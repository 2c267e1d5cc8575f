"""The accelerated line search against doubling or halving, which is the reference."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import hptoolkit as hpt
from tests import page

TABLE = json.loads((Path(__file__).parent / "data" / "digits_table.json").read_text())


def search(
    line_search: str, response: Callable[[float], float], *, low: float = -15, high: float = 15
) -> list[float]:
    """The values of log2 x tried from 0, in order, the last accepted one at the end."""
    space = {"x": optuna.distributions.FloatDistribution(2.0**low, 2.0**high, log=True)}
    sampler = hpt.CoordinateDescentSampler(
        hpt.Coordinates("x"), start={"x": 1.0}, search_space=space, line_search=line_search
    )
    study = optuna.create_study(sampler=sampler, direction="maximize")
    study.optimize(
        lambda t: response(math.log2(t.suggest_float("x", 2.0**low, 2.0**high, log=True)))
    )
    tried = [round(math.log2(t.params["x"]), 9) for t in study.trials]
    return [*tried, round(math.log2(sampler.improvements(study)[-1].params["x"]), 9)]


def test_by_hand() -> None:
    """−(x − 8)² from 0: steps 1, 2, 4, 8 lead past 8; the parabola's maximum is found at once."""
    tried = search("accelerated", lambda x: -((x - 8.0) ** 2))
    assert tried[:5] == [0, 1, 3, 7, 15]
    assert tried[5] == 8
    assert tried[-1] == 8
    assert len(tried) - 1 <= 8  # doubling: 0 to 9, ten trainings


def test_downwards_and_at_once() -> None:
    assert search("accelerated", lambda x: -((x + 1.1) ** 2)) == [0, 1, -1, -3, -1]
    assert search("accelerated", lambda x: -((x - 0.1) ** 2)) == [0, 1, -1, 0]


@settings(max_examples=200, deadline=None)
@given(st.floats(-12.0, 12.0), st.floats(0.1, 5.0), st.sampled_from([1.0, 2.0, 4.0]))
def test_finds_what_doubling_finds_on_any_hump(centre: float, width: float, power: float) -> None:
    """For a symmetric hump of any sharpness both end on the nearest whole power of two."""

    def response(x: float) -> float:
        return -((abs(x - centre) / width) ** power)

    accelerated, doubling = search("accelerated", response), search("doubling", response)
    best = abs(doubling[-1] - centre)
    assert abs(accelerated[-1] - centre) <= max(best, 0.5) + 0.5
    assert len(set(accelerated[:-1])) == len(accelerated) - 1


@settings(max_examples=100, deadline=None)
@given(st.lists(st.floats(-5, 5) | st.just(-math.inf), min_size=31, max_size=31))
def test_ends_on_any_response_and_never_asks_twice(values: list[float]) -> None:
    def response(x: float) -> float:
        if values[round(x) + 15] == -math.inf:
            raise optuna.TrialPruned
        return values[round(x) + 15]

    tried = search("accelerated", response)
    assert len(set(tried[:-1])) == len(tried) - 1
    assert all(-15 <= x <= 15 for x in tried)


def test_walls_are_kept() -> None:
    """The optimum lies beyond the wall at 5.5: the search looks at the border and ends there."""
    tried = search("accelerated", lambda x: x, low=-15, high=5.5)
    assert max(tried) == tried[-1] == 5.5


def test_a_cliff_behind_the_optimum_is_bisected() -> None:
    def response(x: float) -> float:
        if x > 9:
            raise optuna.TrialPruned
        return x

    tried = search("accelerated", response)
    assert tried[-1] == 9
    assert len(tried) - 1 < 11  # doubling: 0 to 10, eleven


@pytest.mark.parametrize("off", [7, 8, 10, 12])
def test_clearly_fewer_runs_on_noisy_quadratics_from_afar(off: int) -> None:
    """40 quadratics with noise of 0.15 (a step off costs 0.5): runs, and the loss at the end."""
    runs: dict[str, list[int]] = {"doubling": [], "accelerated": []}
    losses: dict[str, list[float]] = {"doubling": [], "accelerated": []}
    for seed in range(40):
        centre = off + np.random.default_rng(seed).uniform(-0.5, 0.5)

        def response(x: float, seed: int = seed, centre: float = centre) -> float:
            noise = np.random.default_rng([seed, round(x) + 100]).normal(0.0, 0.15)
            return float(-0.5 * (x - centre) ** 2 + noise)

        for kind in runs:
            tried = search(kind, response)
            runs[kind].append(len(tried) - 1)
            losses[kind].append(0.5 * (tried[-1] - centre) ** 2)
    assert np.mean(runs["accelerated"]) < 0.8 * np.mean(runs["doubling"])
    assert np.mean(losses["accelerated"]) < np.mean(losses["doubling"]) + 0.05


def test_pages_response_takes_fewer_runs_and_ends_on_the_same_point() -> None:
    counts, ends = {}, {}
    for kind in ("doubling", "accelerated"):
        sampler = hpt.CoordinateDescentSampler(
            page.COORDINATES, start=page.START, line_search=kind, search_space=page.SEARCH_SPACE
        )
        study = optuna.create_study(sampler=sampler, direction="maximize")
        study.optimize(page.objective)
        counts[kind], ends[kind] = len(study.trials), study.best_params
    assert counts["accelerated"] < counts["doubling"]
    assert ends["accelerated"] == pytest.approx(ends["doubling"])


def _descend_table(kind: str, column: str, start: dict[str, float]) -> tuple[int, float]:
    """Trainings, and the best value of a descent on the recorded table of real runs."""
    axes = TABLE["axes"]
    rows = {tuple(row["powers"]): row[column] for row in TABLE["rows"]}
    origin = page.COORDINATES.from_raw(TABLE["start"] | _raw_start())
    low = [min(p[i] for p in rows) for i in range(3)]
    high = [max(p[i] for p in rows) for i in range(3)]
    box = {
        axis: (origin[axis] * 2.0 ** (a - 0.1), origin[axis] * 2.0 ** (b + 0.1))
        for axis, a, b in zip(axes, low, high, strict=True)
    }
    space = page.SEARCH_SPACE | {
        "lr": optuna.distributions.FloatDistribution(1e-9, 1e4, log=True),
        "momentum": optuna.distributions.FloatDistribution(0.0, 0.999),
        "weight_decay": optuna.distributions.FloatDistribution(1e-9, 10.0, log=True),
    }

    def objective(trial: optuna.Trial) -> float:
        raw = {name: trial.suggest_float(name, d.low, d.high, log=d.log)  # type: ignore[attr-defined]
               for name, d in space.items()}  # fmt: skip
        point = page.COORDINATES.from_raw(raw)
        powers = tuple(round(math.log2(point[axis] / origin[axis])) for axis in axes)
        value = rows[powers]
        if value is None:
            raise optuna.TrialPruned
        return -float(value) if column == "loss" else float(value)

    sampler = hpt.CoordinateDescentSampler(
        page.COORDINATES, start=start, line_search=kind, search_space=space, box=box
    )
    study = optuna.create_study(sampler=sampler, direction="maximize")
    study.optimize(objective)
    return len(study.trials), study.best_value


def _raw_start() -> dict[str, float]:
    return {"lr": 0.001, "momentum": 0.5, "weight_decay": 0.01}


def test_on_a_recorded_table_of_real_runs() -> None:
    """Digits, 340 real trainings: fewer runs from the bad start, the best within the noise."""
    for column, noise in (("accuracy", 0.01), ("loss", 0.03)):
        doubling, reference = _descend_table("doubling", column, _raw_start())
        accelerated, reached = _descend_table("accelerated", column, _raw_start())
        assert accelerated < doubling
        assert reached >= reference - noise
