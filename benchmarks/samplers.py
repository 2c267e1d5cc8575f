"""What does a sampler cost? Time of ask and tell against Optuna's own; see --help.

    python benchmarks/samplers.py [--trials 10 100 500 1000] [--samplers random coord tpe]

Each sampler runs a study of a function that costs nothing, over four parameters, in memory and on
a journal file (the default storage of the study command). An ask counts all four suggestions.
Shown are medians over the last nine trials before each number of stored trials, in milliseconds of
the process's own CPU time, so that a busy machine disturbs them little; time spent waiting for the
disk is not in them. The GPs are stopped at 100 trials unless --slow is given.
"""

from __future__ import annotations

import argparse
import math
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path

import optuna
from optuna.distributions import BaseDistribution, FloatDistribution
from optuna.samplers import BaseSampler
from optuna.storages import BaseStorage, InMemoryStorage, JournalStorage
from optuna.storages.journal import JournalFileBackend

import hptoolkit as hpt

# Ranges so wide that coordinate descent by small steps is busy for more than 1000 runs.
SPACE: dict[str, BaseDistribution] = {
    "lr": FloatDistribution(1e-9, 1e9, log=True),
    "momentum": FloatDistribution(0.0, 0.999),
    "weight_decay": FloatDistribution(1e-12, 1e3, log=True),
    "dropout": FloatDistribution(0.0, 0.5),
}
COORDINATES = hpt.Coordinates("lr*weight_decay/(1-momentum)", "1-momentum", "weight_decay")
START = {"lr": 1e-8, "momentum": 0.5, "weight_decay": 1e-3, "dropout": 0.1}
WINDOW = 9

Make = Callable[[], BaseSampler]


def _wrapped(inner: Make) -> Make:
    return lambda: hpt.Reparameterized(inner(), COORDINATES, search_space=SPACE, seed=0)


def _tpe() -> BaseSampler:
    return optuna.samplers.TPESampler(seed=0)


def _cmaes() -> BaseSampler:
    return optuna.samplers.CmaEsSampler(seed=0)


def _gp() -> BaseSampler:
    return optuna.samplers.GPSampler(seed=0)


def _grid() -> BaseSampler:
    return optuna.samplers.GridSampler(
        {name: [START[name] * (1 + k / 10) for k in range(6)] for name in SPACE}, seed=0
    )


SAMPLERS: dict[str, Make] = {
    "random": lambda: hpt.RandomSampler(COORDINATES, search_space=SPACE, seed=0),
    "sobol": lambda: hpt.RandomSampler(COORDINATES, search_space=SPACE, seed=0, method="sobol"),
    "grid": lambda: hpt.GridSampler(COORDINATES, search_space=SPACE, levels=9),
    "coord": lambda: hpt.CoordinateDescentSampler(
        COORDINATES, search_space=SPACE, start=START, factor=1.02, line_search="doubling"
    ),
    "gp": lambda: hpt.GPSampler(COORDINATES, search_space=SPACE, seed=0),
    "tpe": _wrapped(_tpe),
    "cmaes": _wrapped(_cmaes),
    "optuna-gp": _wrapped(_gp),
    "optuna.RandomSampler": lambda: optuna.samplers.RandomSampler(seed=0),
    "optuna.QMCSampler": lambda: optuna.samplers.QMCSampler(seed=0, scramble=True),
    "optuna.GridSampler": _grid,
    "optuna.TPESampler": _tpe,
    "optuna.CmaEsSampler": _cmaes,
    "optuna.GPSampler": _gp,
}
SLOW = ("gp", "optuna-gp", "optuna.GPSampler")
SLOW_LIMIT = 100


def response(params: dict[str, float]) -> float:
    """Best where the first coordinate is 1, 1200 small steps from the start; flat otherwise."""
    product = params["lr"] * params["weight_decay"] / (1 - params["momentum"])
    return -abs(math.log(product))


def measure(
    make: Make, storage: BaseStorage, counts: Iterable[int]
) -> dict[int, tuple[float, float]]:
    """Medians of ask and tell in milliseconds, for each number of stored trials."""
    study = optuna.create_study(storage=storage, sampler=make(), direction="maximize")
    asks: list[float] = []
    tells: list[float] = []
    medians = {}
    for count in sorted(counts):
        while len(asks) < count + 1:
            begun = time.process_time()
            trial = study.ask()
            for name, distribution in SPACE.items():
                trial._suggest(name, distribution)
            asked = time.process_time()
            value = response(trial.params)
            telling = time.process_time()
            study.tell(trial, value)
            asks.append(1e3 * (asked - begun))
            tells.append(1e3 * (time.process_time() - telling))
        medians[count] = (statistics.median(asks[-WINDOW:]), statistics.median(tells[-WINDOW:]))
    return medians


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--trials", type=int, nargs="+", default=[10, 100, 500, 1000])
    parser.add_argument("--samplers", nargs="+", choices=SAMPLERS, default=list(SAMPLERS))
    parser.add_argument("--slow", action="store_true", help="let the GPs run to the end")
    arguments = parser.parse_args()

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
    counts = sorted(arguments.trials)
    print(f"{'ask (tell), ms of CPU':24}{'storage':9}" + "".join(f"{n:>16}" for n in counts))
    for name in arguments.samplers:
        limited = name in SLOW and not arguments.slow
        measured = [n for n in counts if n <= SLOW_LIMIT] if limited else counts
        for kind in ("memory", "journal"):
            with tempfile.TemporaryDirectory() as folder:
                file = str(Path(folder) / "study.log")
                storage = (
                    InMemoryStorage()
                    if kind == "memory"
                    else JournalStorage(JournalFileBackend(file))
                )
                medians = measure(SAMPLERS[name], storage, measured)
            cells = (f"{ask:.2f} ({tell:.2f})" for ask, tell in medians.values())
            print(f"{name:24}{kind:9}" + "".join(f"{cell:>16}" for cell in cells), flush=True)


if __name__ == "__main__":
    main()
