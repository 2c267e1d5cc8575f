"""One run that belongs to no study: a range test, with its curve and its figure."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hptoolkit.storage.urls import absolute
from hptoolkit.tracking.connection import check_uri, connect, experiment_id, why
from hptoolkit.tracking.environment import environment_tags
from hptoolkit.tracking.limits import Point, log
from hptoolkit.tracking.study_record import experiment_name


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
    address = absolute(check_uri(uri))
    try:
        client = connect(address)
        experiment = experiment_id(client, address, experiment_name(data_set))
        run = client.create_run(experiment, run_name=name, tags=environment_tags())
        now = int(1000 * time.time())
        points = [Point(key, value, now, 0) for key, value in metrics.items()]
        points += [
            Point(key, value, now, step)
            for key, curve in curves.items()
            for step, value in enumerate(curve)
        ]
        written = {key: str(value) for key, value in params.items()}
        log(client, run.info.run_id, written, points)
        client.log_artifact(run.info.run_id, str(artifact))
        client.set_terminated(run.info.run_id)
    except Exception as error:  # whatever MLflow, its database or its server raises
        return why(error, address)
    return None
