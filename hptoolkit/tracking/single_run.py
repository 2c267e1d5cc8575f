"""One run that belongs to no study: a range test, with its curve and its figure."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hptoolkit.tracking.location import absolute, check_uri
from hptoolkit.urls import scrub

_METRICS_A_BATCH = 800


def log_run(
    uri: str | None,
    *,
    data_set: str,
    name: str,
    params: Mapping[str, Any],
    metrics: Mapping[str, float],
    curves: Mapping[str, Sequence[float]],
    artifact: Path,
) -> str | None:
    """Write a finished run beside the data set's studies; what went wrong in a line, or None.

    Args:
        uri: See `check_uri`.
        data_set: Decides the experiment, as it does for a study.
        name: The run's name.
        params, metrics: One value each.
        curves: A value a step each.
        artifact: A file kept with the run.
    """
    from hptoolkit.tracking.environment import environment_tags
    from hptoolkit.tracking.records import experiment_name
    from hptoolkit.tracking.store import connect, experiment_id

    address = absolute(check_uri(uri))
    try:
        client = connect(address)
        from mlflow.entities import Metric, Param

        experiment = experiment_id(client, address, experiment_name({"data": data_set}))
        run = client.create_run(experiment, run_name=name, tags=environment_tags())
        now = int(1000 * time.time())
        points = [Metric(key, value, now, 0) for key, value in metrics.items()]
        points += [
            Metric(key, value, now, step)
            for key, curve in curves.items()
            for step, value in enumerate(curve)
        ]
        written = [Param(key, str(value)) for key, value in params.items()]
        client.log_batch(run.info.run_id, params=written)
        for first in range(0, len(points), _METRICS_A_BATCH):
            client.log_batch(run.info.run_id, metrics=points[first : first + _METRICS_A_BATCH])
        client.log_artifact(run.info.run_id, str(artifact))
        client.set_terminated(run.info.run_id)
    except Exception as error:  # whatever MLflow, its database or its server raises
        return scrub(str(error).strip().partition("\n")[0], address)[:200]
    return None
