"""Who races in `benchmarks/race.py`: samplers with their defaults, none of them given a start.

SMAC3 and Ax are peers in an environment of their own (`pip install smac ax-platform`); both are
asked for points and told values, like the others.
"""

from __future__ import annotations

import importlib.util
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import BaseSampler

import hptoolkit as hpt
from benchmarks.race_results import LIMIT
from benchmarks.race_tables import Absent, Params, Table

# A contest: yields the parameters of the next trial and is sent its value, larger being better.
Contest = Iterator[Params]
Tell = Callable[[float], None]
Contestant = Callable[[Table, int], tuple[Callable[[], Params], Tell]]


def _optuna(make: Callable[[Table, int], BaseSampler]) -> Contestant:
    def enter(table: Table, seed: int) -> tuple[Callable[[], Params], Tell]:
        study = optuna.create_study(sampler=make(table, seed), direction="maximize")
        running: list[optuna.Trial] = []

        def ask() -> Params:
            # As an objective does: nothing is known of the ranges before it suggests.
            trial = study.ask()
            for name, distribution in table.space.items():
                trial._suggest(name, distribution)
            running.append(trial)
            return trial.params

        return ask, lambda value: study.tell(running.pop(), value) and None

    return enter


def _ours(kind: Callable[..., BaseSampler], coordinates: bool, **options: Any) -> Contestant:
    return _optuna(
        lambda table, seed: kind(
            hpt.Coordinates(*(table.coordinates if coordinates else ())), seed=seed, **options
        )
    )


def _smac(table: Table, seed: int) -> tuple[Callable[[], Params], Tell]:
    if importlib.util.find_spec("smac") is None:
        raise Absent("SMAC3 is not installed (pip install smac, in an environment of its own)")
    from ConfigSpace import Categorical, ConfigurationSpace, Float, Integer
    from smac import HyperparameterOptimizationFacade, Scenario
    from smac.runhistory.dataclasses import TrialValue

    space = ConfigurationSpace(seed=seed)
    for name, d in table.space.items():
        if isinstance(d, CategoricalDistribution):
            space.add(Categorical(name, list(d.choices)))
        elif isinstance(d, IntDistribution):
            space.add(Integer(name, (d.low, d.high), log=d.log))
        elif isinstance(d, FloatDistribution):
            space.add(Float(name, (d.low, d.high), log=d.log))
    # A quarter of the trials it is promised are its initial design.
    scenario = Scenario(
        space,
        n_trials=LIMIT,
        deterministic=True,
        seed=seed,
        output_directory=Path(tempfile.mkdtemp(prefix="smac-")),
    )
    facade = HyperparameterOptimizationFacade(
        scenario, lambda config, seed=0: 0.0, overwrite=True, logging_level=False
    )
    running: list[Any] = []

    def ask() -> Params:
        info = facade.ask()
        running.append(info)
        return dict(info.config)

    return ask, lambda value: facade.tell(running.pop(), TrialValue(cost=-value))


def _ax(table: Table, seed: int) -> tuple[Callable[[], Params], Tell]:
    if importlib.util.find_spec("ax") is None:
        raise Absent("Ax is not installed (pip install ax-platform, in an environment of its own)")
    from ax.service.ax_client import AxClient, ObjectiveProperties

    parameters: list[dict[str, Any]] = []
    for name, d in table.space.items():
        if isinstance(d, CategoricalDistribution):
            parameters.append({"name": name, "type": "choice", "values": list(d.choices)})
        elif isinstance(d, FloatDistribution | IntDistribution):
            kind = "int" if isinstance(d, IntDistribution) else "float"
            parameters.append(
                {"name": name, "type": "range", "bounds": [d.low, d.high],
                 "log_scale": d.log, "value_type": kind}
            )  # fmt: skip
    client = AxClient(random_seed=seed, verbose_logging=False)
    client.create_experiment(
        parameters=parameters, objectives={"value": ObjectiveProperties(minimize=False)}
    )
    running: list[int] = []

    def ask() -> Params:
        params, index = client.get_next_trial()
        running.append(index)
        return dict(params)

    def tell(value: float) -> None:
        client.complete_trial(running.pop(), raw_data={"value": (value, None)})

    return ask, tell


# Coordinate descent ends by itself once no doubling or halving helps; refined three times it goes
# on with finer steps, so that it uses its trials as the others do. All else is a default.
CONTESTANTS: dict[str, Contestant] = {
    "gp": _ours(hpt.GPSampler, True),
    "gp raw": _ours(hpt.GPSampler, False),
    "coord": _ours(hpt.CoordinateDescentSampler, True, refine=3),
    "coord raw": _ours(hpt.CoordinateDescentSampler, False, refine=3),
    "grid": _ours(hpt.GridSampler, True),
    "grid raw": _ours(hpt.GridSampler, False),
    "random": _ours(hpt.RandomSampler, True),
    "random raw": _ours(hpt.RandomSampler, False),
    "Optuna random": _optuna(lambda table, seed: optuna.samplers.RandomSampler(seed=seed)),
    "Optuna QMC": _optuna(lambda table, seed: optuna.samplers.QMCSampler(seed=seed, scramble=True)),
    "Optuna TPE": _optuna(lambda table, seed: optuna.samplers.TPESampler(seed=seed)),
    "Optuna GP": _optuna(lambda table, seed: optuna.samplers.GPSampler(seed=seed)),
    "Optuna CMA-ES": _optuna(lambda table, seed: optuna.samplers.CmaEsSampler(seed=seed)),
    "SMAC3": _smac,
    "Ax": _ax,
}
PEERS = ("SMAC3", "Ax")
