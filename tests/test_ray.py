"""`--engine ray` on a real cluster: a head and two nodes of this machine, one of them killed."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from optuna.trial import TrialState

from tests.test_study_command import command, environment, outcome, run, stored

pytest.importorskip("ray", reason="Ray is not installed")

OBJECTIVE = """
import os, time
import ray

def objective(trial):
    x = trial.suggest_float("x", -5.0, 5.0)
    trial.set_user_attr("node", ray.get_runtime_context().get_node_id())
    time.sleep(0.3)
    return x * x
"""
GIVEN = ["--objective", "mine.py:objective", "--sampler", "random", "--mlflow", "off"]
_STORE = 80 << 20  # bytes of shared memory for each node's objects: the least that Ray accepts


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A head without cores, and two nodes of one core; all processes of it end with the test."""
    folder = tempfile.mkdtemp(prefix="ray-", dir="/tmp")  # a socket's path must be short
    monkeypatch.setenv("RAY_TMPDIR", folder)
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    monkeypatch.setenv("RAY_health_check_period_ms", "500")
    monkeypatch.setenv("RAY_health_check_failure_threshold", "3")
    from ray.cluster_utils import Cluster

    before = {process.pid for process in psutil.process_iter()}
    node = {"object_store_memory": _STORE, "include_dashboard": False}
    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, **node})
    try:
        made.doomed = made.add_node(num_cpus=1, object_store_memory=_STORE)
        made.add_node(num_cpus=1, object_store_memory=_STORE)
        yield made
    finally:
        made.shutdown()
        started = [p for p in psutil.process_iter() if p.pid not in before and _is_of(p, folder)]
        for process in started:
            process.kill()
        psutil.wait_procs(started, timeout=10)
        shutil.rmtree(folder, ignore_errors=True)


def _is_of(process: psutil.Process, folder: str) -> bool:
    try:
        return process.environ().get("RAY_TMPDIR") == folder and process.pid != os.getpid()
    except psutil.Error:
        return False


@pytest.mark.slow
def test_a_study_survives_the_death_of_a_node(cluster: Any, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(OBJECTIVE)
    given = [*GIVEN, "--engine", "ray", "--ray-address", cluster.address, "--trials", "24"]
    process = subprocess.Popen(
        command(*given), cwd=tmp_path, env=environment(), text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    doomed = _wait_for_both_nodes(tmp_path, cluster)
    cluster.remove_node(cluster.doomed, allow_graceful=False)
    output, errors = process.communicate(timeout=90)
    assert process.returncode == 0, errors
    assert "Ray: 2 workers on 3 nodes, each on one CPU core." in output
    assert "The storage studies/studies.log is a file: each of the 3 nodes must see it" in output
    completed = subprocess.CompletedProcess(given, 0, output, errors)
    assert outcome(completed)["n_trials"] == 24
    trials = stored(tmp_path, "mine-objective-random").trials
    complete = [trial for trial in trials if trial.state == TrialState.COMPLETE]
    assert len({trial.params["x"] for trial in complete}) == len(complete) == 24
    assert TrialState.RUNNING not in {trial.state for trial in trials}
    assert doomed in {trial.user_attrs["node"] for trial in complete}
    shown = re.findall(r"^ +(\d+) +-?\d", output, re.MULTILINE)
    assert len(shown) == 24


def _wait_for_both_nodes(folder: Path, cluster: Any) -> str:
    """Wait until both nodes have finished trials; the identity of the doomed one."""
    doomed = str(cluster.doomed.node_id)
    deadline = time.monotonic() + 60
    nodes: set[str] = set()
    while time.monotonic() < deadline:
        time.sleep(0.3)
        try:
            trials = stored(folder, "mine-objective-random").trials
        except (KeyError, OSError):
            continue
        nodes = {t.user_attrs["node"] for t in trials if t.state == TrialState.COMPLETE}
        if len(nodes) == 2 and doomed in nodes:
            return doomed
    raise AssertionError(f"only the nodes {nodes} have run trials")


@pytest.mark.slow
def test_a_cluster_that_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("def objective(trial):\n    return 0.0\n")
    process = run(tmp_path, *GIVEN, "--engine", "ray", "--ray-address", "127.0.0.1:1")
    assert process.returncode == 2
    assert "The Ray cluster 127.0.0.1:1 cannot be joined" in process.stderr
    assert "Traceback" not in process.stderr
    assert not (tmp_path / "studies").exists()


@pytest.mark.slow
def test_a_worker_s_error_is_one_line_without_the_password(cluster: Any) -> None:
    import ray

    from hptoolkit.execution.engines.ray import _result

    address = "postgresql://me:secret@host/studies"

    @ray.remote(max_retries=0)
    def fail() -> None:
        raise RuntimeError(f"no route to {address}\nand more")

    ray.init(address=cluster.address, log_to_driver=False)
    try:
        ending = _result(fail.remote(), address)
    finally:
        ray.shutdown()
    assert ending.exit_code == 1
    expected = "a worker failed (RuntimeError: no route to postgresql://me:***@host/studies)"
    assert ending.reason == expected
