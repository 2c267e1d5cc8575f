"""`--workers k` as a user runs it: real processes, killed, interrupted and left alone."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
from optuna.trial import TrialState

from hptoolkit import UserError
from hptoolkit.execution.engines.devices import Place, crowding, places
from hptoolkit.training import npz
from tests import forked
from tests.test_study_command import command, environment, outcome, run, stored

OBJECTIVE = """
import os, time

def _x(trial):
    return trial.suggest_float("x", -5.0, 5.0)

def quick(trial):
    x = _x(trial)
    time.sleep(0.05)
    return x * x

def slow(trial):
    x = _x(trial)
    # The first trial alone tells the search space: the others wait for it.
    for epoch in range(200 if trial.number else 1):
        time.sleep(0.1)
        trial.report(x, epoch)
    return x

def fatal(trial):
    x = _x(trial)
    if trial.number in (2, 5) and not os.path.exists(f"died-{trial.number}"):
        open(f"died-{trial.number}", "w").close()
        os.kill(os.getpid(), 9)
    time.sleep(0.05)
    return x

if "BROKEN" in os.environ:
    import multiprocessing
    if multiprocessing.parent_process() is not None:
        os.kill(os.getpid(), 11)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "mine.py").write_text(OBJECTIVE)
    return tmp_path


def arguments(function: str, *more: str) -> list[str]:
    own = ["--objective", f"mine.py:{function}", "--sampler", "random", "--mlflow", "off"]
    return [*own, *more]


def begin(folder: Path, *given: str) -> forked.Process:
    return forked.Process(
        command(*given), cwd=folder, env=environment(), stdout=forked.PIPE, stderr=forked.PIPE,
        text=True,
    )  # fmt: skip


def wait_until_both_run(folder: Path, process: forked.Process) -> list[psutil.Process]:
    """Wait for two trials that run and have reported; the command's processes."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with contextlib.suppress(KeyError, OSError):
            trials = stored(folder, "mine-slow-random").trials
            running = [trial for trial in trials if trial.state == TrialState.RUNNING]
            if sum(bool(trial.intermediate_values) for trial in running) == 2:
                return psutil.Process(process.pid).children(recursive=True)
        time.sleep(0.2)
    raise AssertionError("two trials were never seen to run")


def assert_nothing_runs(folder: Path, processes: list[psutil.Process]) -> None:
    """All processes have gone, and no trial is said to run."""
    _, alive = psutil.wait_procs(processes, timeout=20)
    assert not [process for process in alive if process.status() != psutil.STATUS_ZOMBIE]
    states = [trial.state for trial in stored(folder, "mine-slow-random").trials]
    assert TrialState.RUNNING not in states
    assert states.count(TrialState.WAITING) == 2


def test_workers_take_the_gpus_in_turn() -> None:
    assert places(3, 1, []) == [Place()] * 3
    assert [p.gpu for p in places(4, 2, [0, 1])] == [0, 1, 0, 1]
    assert places(2, 2, [1]) == [Place(1), Place(1)]
    assert Place().device == "cpu"
    assert Place(1).device == "cuda"
    with pytest.raises(UserError, match=r"2 GPUs with --per-gpu 1 take 2\. Give --per-gpu 3"):
        places(5, 1, [0, 1])


def test_more_workers_than_cores_are_noted() -> None:
    cores = len(os.sched_getaffinity(0))
    assert crowding(cores, []) is None
    assert f"{cores + 1} workers share {cores} cores" in str(crowding(cores + 1, []))
    assert crowding(cores + 1, [0]) is None


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["--workers", "0"], "'--workers'.*greater than or equal to 1"),
        (["--workers", "-2"], "'--workers'.*greater than or equal to 1"),
        (["--per-gpu", "0"], "'--per-gpu'.*greater than or equal to 1"),
        (["--engine", "rai"], "Unknown engine 'rai': did you mean 'ray'"),
        (["--ray-address", "127.0.0.1:6379"], "--ray-address is for Ray: give --engine ray"),
        (["--gpus-per-worker", "0.5"], "--gpus-per-worker is for Ray"),
        (["--workers", "2", "--device", "cuda:7"], "device 'cuda:7' asked for"),
    ],
)
def test_bad_input_is_one_sentence(folder: Path, given: list[str], message: str) -> None:
    before = sorted(folder.iterdir())
    process = run(folder, *arguments("quick", *given))
    assert process.returncode == 2
    assert re.search(message, process.stderr)
    assert len(process.stderr.strip().splitlines()) == 1
    assert sorted(p for p in folder.iterdir() if p.name != "__pycache__") == before


@pytest.mark.slow
def test_two_workers_share_the_budget_and_are_seen_in_one_place(folder: Path) -> None:
    process = run(folder, *arguments("quick", "--workers", "2", "--trials", "12"))
    assert outcome(process)["n_trials"] == 12
    trials = stored(folder, "mine-quick-random").trials
    assert {trial.state for trial in trials} == {TrialState.COMPLETE}
    assert len({trial.params["x"] for trial in trials}) == 12
    assert len({trial.user_attrs["hptoolkit:owner"] for trial in trials}) == 2
    rows = re.findall(r"^ +(\d+) +-?\d", process.stdout, re.MULTILINE)
    assert sorted(map(int, rows)) == list(range(12))
    assert process.stderr == ""


@pytest.mark.slow
def test_a_worker_that_is_killed_is_replaced_and_its_trial_runs_again(folder: Path) -> None:
    process = run(folder, *arguments("fatal", "--workers", "2", "--trials", "10"))
    assert outcome(process)["n_trials"] == 10
    assert process.stdout.count("A worker died (SIGKILL): another takes its place, run ") == 2
    complete = [t for t in stored(folder, "mine-fatal-random").trials
                if t.state == TrialState.COMPLETE]  # fmt: skip
    assert len({trial.params["x"] for trial in complete}) == len(complete) == 10


@pytest.mark.slow
def test_workers_that_die_as_they_start_end_the_study(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BROKEN", "1")
    process = run(folder, *arguments("quick", "--workers", "2"))
    assert process.returncode == 1
    last = json.loads(process.stdout.splitlines()[-1])
    assert last["n_trials"] == 0
    assert last["stopped_because"].startswith("6 workers died one after the other")
    assert "SIGSEGV" in last["stopped_because"]


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_all_workers_and_their_trials_are_put_back(
    folder: Path, number: signal.Signals
) -> None:
    process = begin(folder, *arguments("slow", "--workers", "2"))
    processes = wait_until_both_run(folder, process)
    process.send_signal(number)
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 128 + number
    assert json.loads(output.splitlines()[-1])["stopped_because"] == f"interrupted by {number.name}"
    assert errors == ""
    assert_nothing_runs(folder, processes)


@pytest.mark.slow
def test_workers_do_not_outlive_the_command(folder: Path) -> None:
    process = begin(folder, *arguments("slow", "--workers", "2"))
    processes = wait_until_both_run(folder, process)
    process.kill()
    process.communicate(timeout=60)
    assert_nothing_runs(folder, processes)


@pytest.mark.slow
def test_workers_share_one_copy_of_the_data(tmp_path: Path) -> None:
    """60 MB of images: what the workers hold of the file together is one copy of it."""
    generator = np.random.default_rng(0)
    arrays: dict[str, np.ndarray] = {}  # type: ignore[type-arg]
    for part, count in (("train", 20_000), ("test", 100)):
        arrays[f"{part}_images"] = generator.integers(0, 256, (count, 32, 32, 3), dtype=np.uint8)
        arrays[f"{part}_labels"] = generator.integers(0, 10, count)
    npz.write(tmp_path / "random.npz", arrays)
    size = (tmp_path / "random.npz").stat().st_size
    (tmp_path / "random.toml").write_text(
        (Path(__file__).parents[1] / "studies" / "digits.toml").read_text()
        .replace('name = "digits"', 'name = "random"').replace("width = 8", "width = 2")
    )  # fmt: skip
    process = begin(
        tmp_path, "random.toml", "--workers", "2", "--mlflow", "off", "--data-dir", str(tmp_path),
    )  # fmt: skip
    seen: list[list[int]] = []
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline and (not seen or sum(map(sum, seen[-1:])) < size / 2):
        time.sleep(0.5)
        children = psutil.Process(process.pid).children(recursive=True)
        seen.append([shares(child, "random.npz") for child in children])
    process.terminate()
    process.communicate(timeout=60)
    holders = [share for share in seen[-1] if share > 1 << 20]
    assert len(holders) == 2
    assert sum(holders) < 1.1 * size


def shares(process: psutil.Process, name: str) -> int:
    """A process's proportional share in bytes of the pages of a mapped file."""
    with contextlib.suppress(psutil.Error):
        maps = process.memory_maps(grouped=False)
        return sum(m.pss for m in maps if m.path.endswith(name))
    return 0


def test_ray_is_asked_for_when_it_is_missing(folder: Path) -> None:
    without = (
        "import sys; sys.modules['ray'] = None; from hptoolkit.study import main; "
        "sys.argv[1:] = {}; main()"
    )
    given = arguments("quick", "--engine", "ray")
    process = subprocess.run(
        [sys.executable, "-c", without.format(given)],
        cwd=folder, env=environment(), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert process.returncode == 2
    assert "pip install 'hptoolkit[ray]'" in process.stderr
    assert len(process.stderr.strip().splitlines()) == 1


def test_nothing_of_ray_is_imported_without_it(folder: Path) -> None:
    process = subprocess.run(
        [sys.executable, "-X", "importtime", *command(*arguments("quick", "--trials", "2"))[1:]],
        cwd=folder, env=environment(), capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert re.search(r"\boptuna$", process.stderr, re.MULTILINE)
    assert not re.search(r"\bray(\.\w+)*$", process.stderr, re.MULTILINE)
