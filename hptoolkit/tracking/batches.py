"""What a run holds, written in batches: MLflow takes so much at once and no more."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import islice
from typing import TYPE_CHECKING

from hptoolkit.tracking.entries import Point

if TYPE_CHECKING:
    from mlflow import MlflowClient

# MLflow takes 100 params, 100 tags and 1000 of all kinds at once.
_PARAMS_A_BATCH, _METRICS_A_BATCH = 100, 800


def log(
    client: MlflowClient,
    run_id: str,
    params: Mapping[str, str],
    metrics: Iterable[Point] = (),
    tags: Mapping[str, str] | None = None,
) -> None:
    """Add to a run, in one batch or in as many as MLflow's limits ask for; 100 tags at most."""
    from mlflow.entities import Metric, Param, RunTag

    all_params = iter([Param(key, value) for key, value in params.items()])
    all_metrics = iter([Metric(*point) for point in metrics])
    some_tags = [RunTag(key, value) for key, value in (tags or {}).items()]
    while True:
        some_params = list(islice(all_params, _PARAMS_A_BATCH))
        some_metrics = list(islice(all_metrics, _METRICS_A_BATCH))
        if not (some_params or some_metrics or some_tags):
            return
        client.log_batch(run_id, some_metrics, some_params, some_tags)
        some_tags = []
