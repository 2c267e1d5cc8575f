"""Trials until a configuration within noise of the best is found, on a recorded table of real runs.

    python -m benchmarks.table_trials [--seeds 20] [--limit 40] [--methods coord gp …]

The response is that of 340 trainings on the digits (benchmarks/record_table.py), interpolated
linearly between the powers of two; beyond the table's ends, where accuracy is at chance, the end
counts. Every method searches the same raw box and begins at the same bad start, (λ, ρ, α) =
(0.001, 0.5, 0.01); noise of one validation split's binomial deviation is added to what is told.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import warnings
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, FloatDistribution
from optuna.samplers import BaseSampler
from scipy.interpolate import RegularGridInterpolator

import hptoolkit as hpt

TABLE = json.loads((Path(__file__).parents[1] / "tests/data/digits_table.json").read_text())
COORDINATES = hpt.Coordinates(*TABLE["axes"])
RAW = hpt.Coordinates("lr", "1-momentum", "weight_decay")
START = {"lr": 0.001, "momentum": 0.5, "weight_decay": 0.01}
SPACE: dict[str, BaseDistribution] = {
    "lr": FloatDistribution(1e-3, 100.0, log=True),
    "momentum": FloatDistribution(0.0, 0.9375),
    "weight_decay": FloatDistribution(0.00125, 0.01, log=True),
}
IMAGES = 288  # of the validation split
CHANCE = 0.1


def response() -> Callable[[dict[str, float]], float]:
    """The table's accuracy as a function of raw parameters; diverged training counts as chance."""
    rows = {tuple(row["powers"]): row["accuracy"] for row in TABLE["rows"]}
    ends = [sorted({powers[i] for powers in rows}) for i in range(3)]
    grid = np.array(
        [[[rows[a, b, c] or CHANCE for c in ends[2]] for b in ends[1]] for a in ends[0]]
    )
    interpolated = RegularGridInterpolator(ends, grid)
    start = TABLE["start"]

    def accuracy(params: dict[str, float]) -> float:
        point = COORDINATES.from_raw(params)
        powers = [math.log2(point[axis] / start[axis]) for axis in TABLE["axes"]]
        inside = [min(max(p, e[0]), e[-1]) for p, e in zip(powers, ends, strict=True)]
        return float(interpolated(inside)[0])

    return accuracy


def _ours(kind: type[BaseSampler], axes: hpt.Coordinates, **kwargs: object):  # type: ignore[no-untyped-def]
    return lambda seed: kind(axes, search_space=SPACE, start=START, seed=seed, **kwargs)


METHODS: dict[str, Callable[[int], BaseSampler]] = {
    "coord": _ours(hpt.CoordinateDescentSampler, COORDINATES),
    "coord doubling": _ours(hpt.CoordinateDescentSampler, COORDINATES, line_search="doubling"),
    "coord raw": _ours(hpt.CoordinateDescentSampler, RAW),
    "gp": _ours(hpt.GPSampler, COORDINATES),
    "gp raw": _ours(hpt.GPSampler, RAW, learn=False),
    "random": _ours(hpt.RandomSampler, COORDINATES),
    "tpe": lambda seed: hpt.Reparameterized(
        optuna.samplers.TPESampler(), COORDINATES, search_space=SPACE, start=START, seed=seed
    ),
    "Optuna GP": lambda seed: optuna.samplers.GPSampler(seed=seed),
    "Optuna TPE": lambda seed: optuna.samplers.TPESampler(seed=seed),
}


def trials_to_target(
    accuracy: Callable[[dict[str, float]], float],
    target: float,
    sampler: BaseSampler,
    seed: int,
    limit: int,
) -> int:
    """The number of trials up to the first that reaches the target; limit + 1 if none does."""
    study = optuna.create_study(sampler=sampler, direction="maximize")
    study.enqueue_trial(START)
    rng = np.random.default_rng([seed, 7])
    for count in range(1, limit + 1):
        try:
            trial = study.ask(SPACE)
        except hpt.StudyExhausted:
            return limit + 1
        value = accuracy(trial.params)
        if value >= target:
            return count
        deviation = math.sqrt(value * (1 - value) / IMAGES)
        study.tell(trial, value + deviation * rng.standard_normal())
    return limit + 1


def main() -> None:
    """Print a row a method: the median number of trials, quartiles, and how many found it."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--limit", type=int, default=40)
    parser.add_argument("--methods", nargs="*", default=list(METHODS), choices=list(METHODS))
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    accuracy = response()
    best = max(row["accuracy"] or 0.0 for row in TABLE["rows"])
    target = best - 2 * math.sqrt(best * (1 - best) / IMAGES)
    print(f"best {best:.4f}, target {target:.4f}, n = {arguments.seeds}, limit {arguments.limit}")
    for method in arguments.methods:
        counts = [
            trials_to_target(accuracy, target, METHODS[method](seed), seed, arguments.limit)
            for seed in range(arguments.seeds)
        ]
        low, median, high = np.percentile(counts, [25, 50, 75])
        found = sum(count <= arguments.limit for count in counts)
        print(
            f"{method:15} median {median:5.1f} quartiles {low:5.1f} to {high:5.1f} "
            f"found {found}/{len(counts)}",
            flush=True,
        )


if __name__ == "__main__":
    main()
