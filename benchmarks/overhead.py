"""What a trial costs outside training: ask, ten reports, attributes, tell, and its MLflow run.

    python benchmarks/overhead.py [TRIALS]

On the default storage (a journal file) and the default MLflow store (SQLite), with the coordinate
descent sampler's own bookkeeping and history as long as the study. MLflow is written beside the
study; `all in` waits for it, so that the two add up.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import optuna

import hptoolkit as hpt
from hptoolkit import attributes
from hptoolkit.execution.worker import run
from hptoolkit.storage import connect
from hptoolkit.tracking import Tracker

EPOCHS = 10
COORDINATES = hpt.Coordinates("lr*weight_decay/(1-momentum)", "1-momentum", "weight_decay")
DATA = {
    "name": "digits",
    "image_shape": [8, 8, 1],
    "training": {"images": 1150, "digest": "0123456789abcdef"},
    "validation": {"images": 288, "digest": "fedcba9876543210"},
}
SPACE: dict[str, optuna.distributions.BaseDistribution] = {
    "lr": optuna.distributions.FloatDistribution(1e-5, 100, log=True),
    "momentum": optuna.distributions.FloatDistribution(0.0, 0.99),
    "weight_decay": optuna.distributions.FloatDistribution(1e-6, 1.0, log=True),
}


def objective(trial: optuna.Trial) -> float:
    """All that the built-in objective stores, without the training."""
    trial.suggest_float("lr", 1e-5, 100, log=True)
    trial.suggest_float("momentum", 0.0, 0.99)
    trial.suggest_float("weight_decay", 1e-6, 1.0, log=True)
    trial.set_user_attr(attributes.SEED, 0)
    trial.set_user_attr(attributes.DATA, DATA)
    trial.set_user_attr(attributes.CONFIG, {"training": {f"field_{i}": i for i in range(40)}})
    history = []
    for epoch in range(1, EPOCHS + 1):
        trial.report(epoch / EPOCHS, epoch)
        trial.should_prune()
        names = ("train_loss", "validation_loss", "validation_accuracy", "lr", "momentum",
                 "gradient_norm", "weight_norm", "effective_step", "seconds")  # fmt: skip
        history.append({"epoch": epoch, **dict.fromkeys(names, 0.5)})
    trial.set_user_attr(attributes.HISTORY, history)
    return float(trial.number)  # ever better: the search goes on


class Stopwatch:
    """Notes when each trial ended, and hands it to MLflow."""

    def __init__(self, tracker: Tracker) -> None:
        self.tracker = tracker
        self.times = [time.perf_counter()]

    def trial_began(self, trial: optuna.Trial) -> None:
        pass

    def trial_ended(self, trial: optuna.trial.FrozenTrial) -> None:
        self.tracker.log(trial)
        self.times.append(time.perf_counter())


def main(trials: int) -> None:
    """Run the loop, and print milliseconds a trial."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        start: dict[str, Any] = {"lr": 1e-4, "momentum": 0.5, "weight_decay": 1e-4}
        sampler = hpt.CoordinateDescentSampler(
            COORDINATES, search_space=SPACE, start=start, factor=1.02, line_search="doubling"
        )
        study = optuna.create_study(
            storage=connect(str(Path(folder) / "studies.log")),
            sampler=sampler,
            direction="maximize",
            pruner=optuna.pruners.NopPruner(),
        )
        tracker = Tracker(None, study)
        run(study, objective, trials=1, listener=Stopwatch(tracker))
        tracker.sync()
        tracker.close()  # the store is made once a machine: not a trial's cost
        tracker = Tracker(None, study)
        tracker.sync()
        time.sleep(8)  # MLflow is imported once a process: not a trial's cost
        watch = Stopwatch(tracker)
        began = time.perf_counter()
        run(study, objective, trials=trials + 1, listener=watch)
        tracker.close(timeout=600)
        total = time.perf_counter() - began
        steps = [1e3 * (b - a) for a, b in zip(watch.times, watch.times[1:], strict=False)]
    quartiles = statistics.quantiles(steps, n=4)
    print(f"{len(steps)} trials of {EPOCHS} epochs, journal file and SQLite on this machine")
    print(f"until the next ask: median {statistics.median(steps):.1f} ms a trial", end=" ")
    print(f"(quartiles {quartiles[0]:.1f} to {quartiles[2]:.1f})")
    print(f"all in, MLflow waited for: mean {1e3 * total / len(steps):.1f} ms a trial")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 100)
