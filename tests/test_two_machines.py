"""The same command on two machines with one database: two processes of it on a real PostgreSQL."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState

from hptoolkit import storage
from tests import postgres
from tests.test_study_command import command, environment

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(postgres.binaries() is None, reason="PostgreSQL is not installed"),
]

OBJECTIVE = """
import time

def objective(trial):
    lr = trial.suggest_float("lr", 1e-5, 100, log=True)
    time.sleep(0.05)
    return lr
"""
CLUSTERS = Path(__file__).parents[1] / "docs" / "clusters"
GIVEN = ["--objective", "mine.py:objective", "--sampler", "random", "--mlflow", "off"]


@pytest.fixture
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[postgres.Server]:
    folder = tmp_path_factory.mktemp("server")
    for parent in (folder, *folder.parents):
        if parent.stat().st_uid == os.geteuid() and parent != Path("/"):
            parent.chmod(parent.stat().st_mode | 0o055)  # the server runs as another user
    made = postgres.Server(folder / "postgres")
    yield made
    made.stop()


def test_two_machines_join_one_study(server: postgres.Server, tmp_path: Path) -> None:
    address = server.url("studies")
    given = [*GIVEN, "--trials", "20", "--workers", "2"]
    # The second one as docs/clusters/slurm.sh does it, which is what Slurm runs on a node.
    batch = ["bash", str(CLUSTERS / "slurm.sh"), *given]
    by_environment = environment() | {"HPTOOLKIT_STORAGE": address, "PYTHON": sys.executable}
    machines = []
    for name, typed, variables in (
        ("one", command(*given, "--storage", address), environment()),
        ("two", batch, by_environment),
    ):
        (tmp_path / name).mkdir()
        (tmp_path / name / "mine.py").write_text(OBJECTIVE)
        machines.append(
            subprocess.Popen(
                typed, cwd=tmp_path / name, env=variables, text=True,
                stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            )
        )  # fmt: skip
    answers = [machine.communicate(timeout=180) for machine in machines]
    assert [machine.returncode for machine in machines] == [0, 0], answers
    outcomes = [json.loads(output.splitlines()[-1]) for output, _ in answers]
    assert outcomes[0] == outcomes[1]
    assert outcomes[0]["n_trials"] == 20
    study = optuna.load_study(study_name=outcomes[0]["study"], storage=storage.connect(address))
    # One more may be there, begun by both at once: it waits for a larger budget.
    trials = study.trials[:20]
    assert {trial.state for trial in trials} == {TrialState.COMPLETE}
    assert len({trial.params["lr"] for trial in trials}) == 20
    assert len({trial.user_attrs["hptoolkit:owner"] for trial in trials}) > 2
    # Each sees what the other one's workers have run, and nobody sees the password.
    seen = [set(re.findall(r"^ +(\d+) +\d", output, re.MULTILINE)) for output, _ in answers]
    assert seen[0] | seen[1] == {str(number) for number in range(20)}
    assert len(seen[0] & seen[1]) > 10
    assert postgres.PASSWORD not in "".join(output + errors for output, errors in answers)
    assert "me:***@127.0.0.1" in answers[0][0]
