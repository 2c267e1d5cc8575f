"""Trials until a configuration within noise of the best is found, on a recorded table of real runs.

    python -m benchmarks.table_trials [--methods coord gp …] [--start theory] [--table FILE]

The response is that of 340 trainings on the digits (benchmarks/record_table.py), interpolated
linearly between the powers of two; beyond the table's ends, where accuracy is at chance, the end
counts. Every method searches the same raw box and begins at the same start: Page's bad one, (λ, ρ,
α) = (0.001, 0.5, 0.01), or theory's. Noise of one validation split's binomial deviation is added to
what is told. `--table` takes one of benchmarks/record_regimes.py, too. "regimes": axes on both
sides of H = 1, λ/(1−ρ), λα/(1−ρ) and 1−ρ; "push": λ/(1−ρ), 1−ρ and α.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, FloatDistribution
from optuna.samplers import BaseSampler
from scipy.interpolate import RegularGridInterpolator

import hptoolkit as hpt

DIGITS = Path(__file__).parents[1] / "tests/data/digits_table.json"
IMAGES = 288  # of the validation split
CHANCE = 0.1
PAGE = {"lr": 0.001, "momentum": 0.5, "weight_decay": 0.01}
SYSTEMS = {
    "": ("lr*weight_decay/(1-momentum)", "1-momentum", "weight_decay"),
    " regimes": ("lr/(1-momentum)", "lr*weight_decay/(1-momentum)", "1-momentum"),
    " push": ("lr/(1-momentum)", "1-momentum", "weight_decay"),
    " raw": ("lr", "1-momentum", "weight_decay"),
}


@dataclass(frozen=True)
class Table:
    """A recorded table: its response, the raw box that all methods search, and where they begin."""

    accuracy: Callable[[dict[str, float]], float]
    space: dict[str, BaseDistribution]
    start: dict[str, float]
    best: float


def load(path: Path, start: str) -> Table:
    """A table of benchmarks/record_table.py or record_regimes.py; diverged training is chance."""
    table = json.loads(path.read_text())
    coordinates = hpt.Coordinates(*table["axes"])
    rows = {tuple(row["powers"]): row["accuracy"] for row in table["rows"]}
    ends = [sorted({powers[i] for powers in rows}) for i in range(3)]
    grid = np.array(
        [[[rows[a, b, c] or CHANCE for c in ends[2]] for b in ends[1]] for a in ends[0]]
    )
    interpolated = RegularGridInterpolator(ends, grid)

    def accuracy(params: dict[str, float]) -> float:
        point = coordinates.from_raw(params)
        powers = [math.log2(point[axis] / table["start"][axis]) for axis in table["axes"]]
        inside = [min(max(p, e[0]), e[-1]) for p, e in zip(powers, ends, strict=True)]
        return float(interpolated(inside)[0])

    def reach(axis: str) -> tuple[float, float]:
        powers = ends[table["axes"].index(axis)]
        return table["start"][axis] * 2.0 ** powers[0], table["start"][axis] * 2.0 ** powers[-1]

    space: dict[str, BaseDistribution] = {
        "lr": FloatDistribution(1e-3, 100.0, log=True),
        "momentum": FloatDistribution(0.0, 1 - reach("1-momentum")[0]),
        "weight_decay": FloatDistribution(*reach("weight_decay"), log=True),
    }
    first = dict(PAGE)
    if start == "theory":
        bounds = {name: (d.low, d.high) for name, d in space.items()}  # type: ignore[attr-defined]
        first = hpt.theory_start("nesterov", steps=table.get("steps", 170), bounds=bounds)
    return Table(accuracy, space, first, max(row["accuracy"] or 0.0 for row in table["rows"]))


def _ours(kind: Any, system: str = "", **kwargs: object) -> Callable[[Table, int], BaseSampler]:
    return lambda table, seed: kind(
        hpt.Coordinates(*SYSTEMS[system]),
        search_space=table.space, start=table.start, seed=seed, **kwargs,
    )  # fmt: skip


METHODS: dict[str, Callable[[Table, int], BaseSampler]] = {
    **{f"coord{system}": _ours(hpt.CoordinateDescentSampler, system) for system in SYSTEMS},
    "coord doubling": _ours(hpt.CoordinateDescentSampler, line_search="doubling"),
    **{f"gp{system}": _ours(hpt.GPSampler, system) for system in SYSTEMS if system != " raw"},
    "gp raw": _ours(hpt.GPSampler, " raw", learn=False),
    "random": _ours(hpt.RandomSampler),
    "tpe": lambda table, seed: hpt.Reparameterized(
        optuna.samplers.TPESampler(), hpt.Coordinates(*SYSTEMS[""]), search_space=table.space,
        start=table.start, seed=seed,
    ),
    "Optuna GP": lambda table, seed: optuna.samplers.GPSampler(seed=seed),
    "Optuna TPE": lambda table, seed: optuna.samplers.TPESampler(seed=seed),
}  # fmt: skip


def trials_to_target(
    table: Table, target: float, sampler: BaseSampler, seed: int, limit: int
) -> int:
    """The number of trials up to the first that reaches the target; limit + 1 if none does."""
    study = optuna.create_study(sampler=sampler, direction="maximize")
    study.enqueue_trial(table.start)
    rng = np.random.default_rng([seed, 7])
    for count in range(1, limit + 1):
        try:
            trial = study.ask(table.space)
        except hpt.StudyExhausted:
            return limit + 1
        value = table.accuracy(trial.params)
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
    parser.add_argument("--table", type=Path, default=DIGITS)
    parser.add_argument("--start", choices=("page", "theory"), default="page")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    table = load(arguments.table, arguments.start)
    best = table.best
    target = best - 2 * math.sqrt(best * (1 - best) / IMAGES)
    print(
        f"{arguments.table.name} from {arguments.start}: best {best:.4f}, target {target:.4f}, "
        f"n = {arguments.seeds}, limit {arguments.limit}, start {table.start}: "
        f"{table.accuracy(table.start):.4f}"
    )
    for method in arguments.methods:
        counts = [
            trials_to_target(table, target, METHODS[method](table, seed), seed, arguments.limit)
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
