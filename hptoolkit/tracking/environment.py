"""What a run depended on besides its parameters: code, packages, machine and the machine's load."""

from __future__ import annotations

import logging
import os
import platform
import subprocess
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

_PACKAGES = ("hptoolkit", "optuna", "torch", "torchvision", "numpy", "scikit-learn", "mlflow")
_PACKAGE_FOLDER = Path(__file__).resolve().parents[1]


class Monitor(Protocol):
    """MLflow's, of the machine's load."""

    def start(self) -> None:
        """Begin, in a thread."""

    def finish(self) -> None:
        """Stop, and write what was collected."""


def environment_tags() -> dict[str, str]:
    """MLflow tags: git commit (in a checkout), Python and package versions, processor, cores."""
    tags = {
        "python": platform.python_version(),
        "packages": ", ".join(installed(_PACKAGES)),
        "cpu": _cpu_model(),
        "cores": str(os.cpu_count()),
    }
    commit = _commit()
    return tags | ({"mlflow.source.git.commit": commit} if commit else {})


def watch(run_id: str, uri: str) -> Monitor | None:
    """Log the load of processors, memory, disk and network every 10 s until the run ends.

    Returns the monitor, started; None where psutil is missing.
    """
    if find_spec("psutil") is None:
        return None
    from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

    logging.getLogger("mlflow.system_metrics").setLevel(logging.CRITICAL)
    kind: Any = SystemMetricsMonitor  # which has no types
    monitor: Monitor = kind(run_id, resume_logging=True, tracking_uri=uri)
    monitor.start()
    return monitor


def installed(packages: Iterable[str]) -> list[str]:
    """Names and versions of those packages that are installed."""
    found = []
    for package in packages:
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            continue
    return found


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor() or platform.machine()


def _commit() -> str | None:
    """The checkout's commit, with `-dirty` after it if files differ from it."""
    root = _git("rev-parse", "--show-toplevel")
    # An environment installed inside somebody else's checkout is not that checkout's code.
    if root is None or Path(root).resolve() != _PACKAGE_FOLDER.parent:
        return None
    commit = _git("rev-parse", "HEAD")
    changes = _git("status", "--porcelain", "--untracked-files=no")
    return f"{commit}-dirty" if commit and changes else commit


def _git(*arguments: str) -> str | None:
    command = ["git", "-C", str(_PACKAGE_FOLDER), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
