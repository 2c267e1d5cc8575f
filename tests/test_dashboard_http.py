from __future__ import annotations

import contextlib
import json
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

import optuna
import pytest

optuna.logging.set_verbosity(optuna.logging.WARNING)


def get(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=20) as answer:
        return json.load(answer)


def wait_for(url: str, seconds: float = 60) -> Any:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError):
            return get(url)
        time.sleep(0.2)
    pytest.fail(f"no answer from {url} within {seconds:g} s")


@pytest.mark.slow
def test_optuna_dashboard_shows_a_journal_file_s_trials(tmp_path: Path) -> None:
    def objective(trial: optuna.Trial) -> float:
        lr = trial.suggest_float("lr", 1e-3, 1.0, log=True)
        trial.set_user_attr("coordinates", {"lr": lr})
        trial.report(lr, 1)
        if trial.number == 2:
            raise optuna.TrialPruned
        return lr

    storage = optuna.storages.JournalStorage(
        optuna.storages.journal.JournalFileBackend(str(tmp_path / "studies.log"))
    )
    study = optuna.create_study(
        study_name="small", storage=storage, sampler=optuna.samplers.RandomSampler(seed=0)
    )
    study.optimize(objective, n_trials=4)

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    program = shutil.which("optuna-dashboard", path=str(Path(sys.executable).parent))
    assert program is not None
    dashboard = subprocess.Popen(
        [program, "studies.log", "--host", "127.0.0.1", "--port", str(port)],
        cwd=tmp_path,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        (summary,) = wait_for(f"http://127.0.0.1:{port}/api/studies")["study_summaries"]
        assert summary["study_name"] == "small"
        detail = get(f"http://127.0.0.1:{port}/api/studies/{summary['study_id']}")
        trials = sorted(detail["trials"], key=lambda trial: trial["number"])
        assert [t["state"] for t in trials] == ["Complete", "Complete", "Pruned", "Complete"]
        for shown, stored in zip(trials, study.trials, strict=True):
            assert shown["params"][0]["name"] == "lr"
            assert float(shown["params"][0]["param_internal_value"]) == stored.params["lr"]
            (attribute,) = shown["user_attrs"]
            assert attribute["key"] == "coordinates"
        assert trials[0]["values"] == study.trials[0].values
    finally:
        dashboard.terminate()
        dashboard.wait(30)
