"""The files of docs/clusters: what can be checked of them without a cluster."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests import forked
from tests.test_study_command import environment

FOLDER = Path(__file__).parents[1] / "docs" / "clusters"


def manifests() -> dict[str, Any]:
    """The Kubernetes objects by their kinds."""
    documents = yaml.safe_load_all((FOLDER / "kubernetes.yaml").read_text())
    return {document["kind"]: document for document in documents}


def test_the_batch_script_is_a_script() -> None:
    subprocess.run(["bash", "-n", str(FOLDER / "slurm.sh")], check=True)


def test_the_manifests_fit_together() -> None:
    found = manifests()
    database, workers = found["StatefulSet"]["spec"], found["Job"]["spec"]
    labels = database["template"]["metadata"]["labels"]
    assert found["Service"]["spec"]["selector"] == labels == database["selector"]["matchLabels"]
    claim = database["template"]["spec"]["volumes"][0]["persistentVolumeClaim"]["claimName"]
    assert claim == found["PersistentVolumeClaim"]["metadata"]["name"]
    assert "completions" not in workers  # otherwise new workers follow those that are done
    container = workers["template"]["spec"]["containers"][0]
    secrets = {e["name"] for e in container["env"] if "valueFrom" in e}
    assert secrets == {"HPTOOLKIT_STORAGE"}
    assert not [word for word in container["args"] if "://" in word]


@pytest.mark.slow
def test_the_workers_command_is_one(tmp_path: Path) -> None:
    container = manifests()["Job"]["spec"]["template"]["spec"]["containers"][0]
    typed = [sys.executable, *container["command"][1:], *container["args"], "--describe"]
    done = forked.run(typed, cwd=tmp_path, env=environment())
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("digits")


def test_the_ray_cluster_keeps_its_dashboard_to_itself() -> None:
    cluster = yaml.safe_load((FOLDER / "ray.yaml").read_text())
    assert any("--dashboard-host=127.0.0.1" in line for line in cluster["head_start_ray_commands"])
