"""The commands that a study prints open it: optuna-dashboard and MLflow, asked over HTTP."""

from __future__ import annotations

import json
import re
import shlex
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.test_study_command import environment, outcome, run

pytestmark = pytest.mark.slow


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def _served(command: str, folder: Path) -> Iterator[str]:
    """Start a printed command on a free port of this machine; its address once it answers."""
    port = _free_port()
    program, *arguments = shlex.split(command)
    beside = Path(sys.executable).with_name(Path(program).name)
    if beside.name == "mlflow":
        arguments += ["--workers", "1"]  # of four, each of which imports for five seconds
    process = subprocess.Popen(
        [str(beside), *arguments, "--host", "127.0.0.1", "--port", str(port)],
        cwd=folder, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        start_new_session=True,
    )  # fmt: skip
    address = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + 120
        while True:
            try:
                urllib.request.urlopen(address, timeout=5).close()
                break
            except OSError:
                assert time.monotonic() < deadline, f"{command} does not answer"
                assert process.poll() is None, f"{command} ended"
                time.sleep(0.3)
        yield address
    finally:
        subprocess.run(["pkill", "-TERM", "-s", str(process.pid)], check=False)
        process.wait(timeout=30)


def _post(address: str, body: dict[str, Any]) -> dict[str, Any]:
    request = urllib.request.Request(
        address, json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=30) as response:
        return dict(json.load(response))


def test_the_printed_commands_show_the_study(tmp_path: Path) -> None:
    arguments = ["digits", "--set", "training.epochs=2", "--set", "model.width=2", "--trials", "3"]
    process = run(tmp_path, *arguments)
    assert outcome(process)["n_trials"] == 3
    dashboard = re.search(r"Inspect the study: +(.*)", process.stdout)
    mlflow = re.search(r"Compare the runs: +(.*)", process.stdout)
    report = re.search(r"See what was found: +(.*)", process.stdout)
    assert dashboard is not None
    assert mlflow is not None
    assert report is not None
    drawn = subprocess.run(
        shlex.split(report[1]),
        cwd=tmp_path, env=environment(), capture_output=True, text=True, check=True,
    )  # fmt: skip
    page = json.loads(drawn.stdout.splitlines()[-1])["report"]
    assert (tmp_path / page).read_text(encoding="utf-8").startswith("<!")

    with _served(dashboard[1], tmp_path) as address:
        with urllib.request.urlopen(f"{address}/api/studies", timeout=30) as response:
            (summary,) = json.load(response)["study_summaries"]
        assert summary["study_name"] == "digits-coord"
        detail_address = f"{address}/api/studies/{summary['study_id']}"
        with urllib.request.urlopen(detail_address, timeout=30) as response:
            detail = json.load(response)
    assert [t["state"] for t in detail["trials"]] == ["Complete"] * 3
    attributes = {a["key"] for a in detail["trials"][0]["user_attrs"]}
    keys = ("coordinates", "seed", "data", "history")
    assert {f"hptoolkit:{key}" for key in keys} <= attributes

    with _served(mlflow[1], tmp_path) as address:
        api = f"{address}/api/2.0/mlflow"
        experiments = _post(f"{api}/experiments/search", {"max_results": 10})["experiments"]
        body = {"experiment_ids": [e["experiment_id"] for e in experiments], "max_results": 50}
        runs = _post(f"{api}/runs/search", body)["runs"]
    tags = [{t["key"]: t["value"] for t in r["data"]["tags"]} for r in runs]
    parents = [r["info"]["run_id"] for r, t in zip(runs, tags, strict=True)
               if "mlflow.parentRunId" not in t]  # fmt: skip
    children = [r for r, t in zip(runs, tags, strict=True) if "mlflow.parentRunId" in t]
    assert len(parents) == 1
    assert {t.get("mlflow.parentRunId") for t in tags} == {None, parents[0]}
    assert [c["info"]["status"] for c in children] == ["FINISHED"] * 3
    params = {p["key"]: p["value"] for p in children[0]["data"]["params"]}
    assert {"lr", "momentum", "weight_decay"} <= params.keys()
    metrics = {m["key"] for m in children[0]["data"]["metrics"]}
    assert "validation_accuracy" in metrics
