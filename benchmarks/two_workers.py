"""How much sooner two workers finish the digits study than one: the command's wall time.

    python benchmarks/two_workers.py [--rounds 5] [--sampler coord random]

Each round runs the full command with one worker and with two, one after the other, from an empty
folder: imports, preparation and summary are included, MLflow is off. What else the machine does
falls on both. It also says how many trials each took, for coordinate descent evaluates some points
ahead in vain, and how long the trials alone took, from the first one's start to the last one's end.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import optuna

from hptoolkit.storage import connect

ARGUMENTS = {"coord": ["--start", "page"], "random": ["--sampler", "random"]}  # 100 trials


def measure(sampler: str, workers: int) -> tuple[float, float, int]:
    """Seconds of a run of the command, of its trials, and how many trials it took."""
    with tempfile.TemporaryDirectory() as folder:
        given = ["digits", *ARGUMENTS[sampler], "--mlflow", "off", "--workers", str(workers)]
        began = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-m", "hptoolkit.study", *given],
            cwd=folder, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True,
            text=True, check=True,
        )  # fmt: skip
        seconds = time.perf_counter() - began
        outcome = json.loads(done.stdout.splitlines()[-1])
        storage = connect(str(Path(folder) / outcome["storage"]))
        trials = optuna.load_study(study_name=outcome["study"], storage=storage).trials
        ended = [t for t in trials if t.datetime_start and t.datetime_complete]
        first = min(t.datetime_start for t in ended if t.datetime_start)
        last = max(t.datetime_complete for t in ended if t.datetime_complete)
        return seconds, (last - first).total_seconds(), len(ended)


def spread(values: list[float]) -> str:
    ordered = sorted(values)
    return f"median {statistics.median(ordered):.2f} ({ordered[0]:.2f} to {ordered[-1]:.2f})"


def main() -> None:
    parser = argparse.ArgumentParser(description="Two workers against one.")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--sampler", nargs="+", choices=ARGUMENTS, default=list(ARGUMENTS))
    arguments = parser.parse_args()
    for sampler in arguments.sampler:
        whole, trials = [], []
        for _ in range(arguments.rounds):
            one, two = measure(sampler, 1), measure(sampler, 2)
            whole.append(one[0] / two[0])
            trials.append(one[1] / two[1])
            print(
                f"{sampler}: one {one[0]:.1f} s ({one[2]} trials in {one[1]:.1f} s), "
                f"two {two[0]:.1f} s ({two[2]} trials in {two[1]:.1f} s)",
                flush=True,
            )
        print(f"{sampler}, n = {len(whole)}: the command {spread(whole)} times as fast,")
        print(f"the trials alone {spread(trials)} times")


if __name__ == "__main__":
    main()
