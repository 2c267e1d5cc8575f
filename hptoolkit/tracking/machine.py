"""The machine's load while a study runs: MLflow's system metrics, where psutil is installed."""

from __future__ import annotations

import logging
from importlib.util import find_spec
from typing import Any, Protocol


class Monitor(Protocol):
    """MLflow's."""

    def start(self) -> None:
        """Begin, in a thread."""

    def finish(self) -> None:
        """Stop, and write what was collected."""


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
