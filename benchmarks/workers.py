"""Trials a second of several workers against plain Optuna processes, and what a trial costs.

    python -m benchmarks.workers [--trials 96] [--rounds 3] [--stored 10 100 1000 10000]

The objective is trivial: two parameters, no training. First, 1, 2, 4 and 8 processes share a new
study of `--trials` trials, on a journal file and on a PostgreSQL server of its own (Debian's
package), ours (`execution.worker.run` with RandomSampler) and Optuna's (`study.optimize` with
RandomSampler) in turn; the clock runs from when all have opened the study to the last one's end.
Then, one worker's milliseconds a trial, with so many trials stored before.
"""

from __future__ import annotations

import argparse
import itertools
import json
import multiprocessing
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import optuna
import psycopg
from optuna.distributions import FloatDistribution
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, Trial, TrialState

import hptoolkit as hpt
from hptoolkit.execution.worker import run
from hptoolkit.storage import connect, is_url
from tests import postgres

SPACE: dict[str, optuna.distributions.BaseDistribution] = {
    "lr": FloatDistribution(1e-5, 100, log=True),
    "weight_decay": FloatDistribution(1e-6, 1.0, log=True),
}
START = {"lr": 1e-4, "weight_decay": 1e-4}
AXES = hpt.Coordinates("lr*weight_decay", "weight_decay")
WORKERS = (1, 2, 4, 8)
MEASURED = 25  # trials that are timed with a number of stored ones
# Copies of the first trial, with other values.
COPY = (
    """INSERT INTO trials (trial_id, number, study_id, state, datetime_start, datetime_complete)
    SELECT t.trial_id + n, n, t.study_id, t.state, t.datetime_start, t.datetime_complete
    FROM trials t, generate_series(1, %(count)s) n WHERE t.number = 0""",
    """INSERT INTO trial_params (trial_id, param_name, param_value, distribution_json)
    SELECT p.trial_id + n, p.param_name, p.param_value * power(1.0001, n), p.distribution_json
    FROM trial_params p, generate_series(1, %(count)s) n WHERE p.trial_id = 1""",
    """INSERT INTO trial_values (trial_id, objective, value, value_type)
    SELECT v.trial_id + n, v.objective, v.value + n, v.value_type
    FROM trial_values v, generate_series(1, %(count)s) n WHERE v.trial_id = 1""",
    "SELECT setval('trials_trial_id_seq', (SELECT max(trial_id) FROM trials))",
)


def objective(trial: Trial) -> float:
    lr = trial.suggest_float("lr", 1e-5, 100, log=True)
    return lr * trial.suggest_float("weight_decay", 1e-6, 1.0, log=True)


class Silent:
    def trial_began(self, trial: Trial) -> None:
        pass

    def trial_ended(self, trial: FrozenTrial) -> None:
        pass


def optunas(address: str) -> BaseStorage:
    """Optuna's own storage at an address."""
    if is_url(address):
        return RDBStorage(address.replace("postgresql://", "postgresql+psycopg://"))
    return JournalStorage(JournalFileBackend(address))


def opened(kind: str, address: str, seed: int = 0) -> optuna.Study:
    """The study "s", for a worker of ours (by the sampler's name) or a plain one of Optuna."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    samplers = {
        "random": lambda: hpt.RandomSampler(AXES, search_space=SPACE, seed=0),
        "coord": lambda: hpt.CoordinateDescentSampler(
            AXES, search_space=SPACE, start=START, factor=1.01, line_search="doubling"
        ),
        "optuna": lambda: optuna.samplers.RandomSampler(seed=seed),
    }
    storage = optunas(address) if kind == "optuna" else connect(address)
    return optuna.create_study(
        study_name="s", storage=storage, sampler=samplers[kind](), direction="maximize",
        load_if_exists=True,
    )  # fmt: skip


def work(kind: str, address: str, trials: int, share: int, number: int, ready: Any) -> None:
    """A process: its share of the trials for Optuna, of ours whatever it gets of the total."""
    study = opened(kind, address, number)
    ready.wait()
    if kind == "optuna":
        study.optimize(objective, n_trials=share)
    else:
        run(study, objective, trials=trials, listener=Silent())
    ready.wait()


def rate(kind: str, address: str, workers: int, trials: int) -> float:
    """Trials a second of so many processes on a new study."""
    opened(kind, address)
    context = multiprocessing.get_context("forkserver")
    ready = context.Barrier(workers + 1)
    share = trials // workers
    processes = [
        context.Process(target=work, args=(kind, address, trials, share, number, ready))
        for number in range(workers)
    ]
    for process in processes:
        process.start()
    ready.wait()
    began = time.perf_counter()
    ready.wait()
    seconds = time.perf_counter() - began
    for process in processes:
        process.join()
    return trials / seconds


def fill(address: str, count: int) -> None:
    """Store finished trials, all but the first on PostgreSQL by the server itself."""
    study = opened("random", address)
    now = datetime.now()
    for number in range(1 if is_url(address) else count):
        study._storage.create_new_trial(
            study._study_id,
            FrozenTrial(
                number=-1, trial_id=-1, state=TrialState.COMPLETE, value=float(number),
                values=None, datetime_start=now, datetime_complete=now,
                params={"lr": 1e-4 * 1.0001**number, "weight_decay": 1e-4}, distributions=SPACE,
                user_attrs={}, system_attrs={}, intermediate_values={},
            ),
        )  # fmt: skip
    if is_url(address):
        with psycopg.connect(address) as connection:
            for statement in COPY:
                connection.execute(statement, {"count": count - 1})


def milliseconds(kind: str, address: str) -> str:
    """A trial's milliseconds and those of them on this CPU: medians, for a worker well begun."""
    study = opened(kind, address)
    stored = len(study.get_trials(deepcopy=False))
    times: list[tuple[float, float]] = []

    def timed(trial: Trial) -> float:
        times.append((time.perf_counter(), time.process_time()))
        return objective(trial)

    if kind == "optuna":
        study.optimize(timed, n_trials=MEASURED)
    else:
        run(study, timed, trials=stored + MEASURED, listener=Silent())
    if len(times) < 2:
        return "-"
    wall, cpu = (
        statistics.median(1e3 * (b[clock] - a[clock]) for a, b in itertools.pairwise(times))
        for clock in (0, 1)
    )
    return f"{wall:.1f} ({cpu:.1f})"


@contextmanager
def addresses() -> Iterator[Any]:
    """Makes addresses of new storages: `new("file")`, `new("PostgreSQL")`."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)  # the server runs as another user
        server = postgres.Server(Path(folder) / "server") if postgres.binaries() else None
        made = iter(range(1_000_000))

        def new(kind: str) -> str:
            if kind == "file":
                return f"{folder}/{next(made)}.log"
            return str(server.url(f"b{next(made)}")) if server else ""

        try:
            yield new
        finally:
            if server:
                server.stop()


def main() -> None:
    parser = argparse.ArgumentParser(description="Several workers on one study.")
    parser.add_argument("--trials", type=int, default=96)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--stored", type=int, nargs="*", default=[10, 100, 1000, 10_000])
    arguments = parser.parse_args()
    multiprocessing.set_forkserver_preload(["__main__", "hptoolkit.execution.worker"])
    kinds = ["file"] + (["PostgreSQL"] if postgres.binaries() else [])
    with addresses() as new:
        print("storage     workers  ours, trials/s   Optuna's, trials/s   ours/Optuna's")
        for storage in kinds:
            for workers in WORKERS if arguments.rounds else ():
                ours, theirs = [], []
                for _ in range(arguments.rounds):
                    ours.append(rate("random", new(storage), workers, arguments.trials))
                    theirs.append(rate("optuna", new(storage), workers, arguments.trials))
                ratios = sorted(a / b for a, b in zip(ours, theirs, strict=True))
                print(
                    f"{storage:10}  {workers:7}  {statistics.median(ours):14.1f}   "
                    f"{statistics.median(theirs):18.1f}   {statistics.median(ratios):.2f} "
                    f"({ratios[0]:.2f} to {ratios[-1]:.2f})",
                    flush=True,
                )
        print("milliseconds a trial, and those of them that this process computes")
        print("storage     stored          random           coord  Optuna's random")
        for storage in kinds:
            for stored in arguments.stored:
                address = new(storage)
                fill(address, stored)
                found = [milliseconds(kind, address) for kind in ("random", "coord", "optuna")]
                print(
                    f"{storage:10}  {stored:6}  " + "  ".join(f"{each:>14}" for each in found),
                    flush=True,
                )
        print(json.dumps(vars(arguments)))


if __name__ == "__main__":
    main()
