"""MLflow's limits on keys, values and batches: params, tags and metrics as it takes them."""

from __future__ import annotations

import json
import math
import re
import sys
from collections.abc import Iterable, Mapping
from itertools import islice
from numbers import Real
from typing import TYPE_CHECKING, Any, NamedTuple

from hptoolkit.storage.urls import redact

if TYPE_CHECKING:
    from mlflow import MlflowClient

_LONGEST_KEY, _LONGEST_PARAM, _LONGEST_TAG = 250, 6000, 8000
_LARGEST = sys.float_info.max
# MLflow takes 100 params, 100 tags and 1000 of all kinds at once.
_PARAMS_A_BATCH, _METRICS_A_BATCH = 100, 800


class Point(NamedTuple):
    """One value of a metric. Timestamp in milliseconds since 1970."""

    key: str
    value: float
    timestamp: int
    step: int


def points(values: Mapping[str, Any], timestamp: int, step: int) -> list[Point]:
    """Metrics of one moment; values that are no numbers are left out.

    What is infinite is logged as NaN: MLflow would write 1.8e308, and draw it.
    """
    return [
        Point(key, float(value) if abs(value) <= _LARGEST else math.nan, timestamp, step)
        for key, value in _keyed(values).items()
        if _is_number(value)
    ]


def params(values: Mapping[str, Any]) -> dict[str, str]:
    """Values as MLflow params: text, nested mappings flattened to dotted names.

    Addresses lose their credentials.
    """
    texts = {key: as_text(value) for key, value in _keyed(dict(_flatten(values))).items()}
    return {
        key: _shorten(redact(text) if "://" in text else text, _LONGEST_PARAM)
        for key, text in texts.items()
    }


def tags(values: Mapping[str, str]) -> dict[str, str]:
    """Texts as MLflow tags."""
    return {key: _shorten(value, _LONGEST_TAG) for key, value in _keyed(values).items()}


def coordinate_metrics(coordinates: object) -> dict[str, Any]:
    """Coordinates by a metric's name: `lr*a/(1-m)` is `coordinates/lr x a per 1-m`.

    MLflow refuses operators in a name; the expressions themselves are a tag of the run.
    """
    if not isinstance(coordinates, Mapping):
        return {}
    return {f"coordinates/{_in_words(axis)}": value for axis, value in coordinates.items()}


def as_text(value: object) -> str:
    """A text as it is, any other value as JSON."""
    # Of a user's own kind of text, the plain text: another process need not know the kind.
    return str.__str__(value) if isinstance(value, str) else json.dumps(value, default=str)


def log(
    client: MlflowClient,
    run_id: str,
    params: Mapping[str, str],
    metrics: Iterable[Point] = (),
    tags: Mapping[str, str] | None = None,
) -> None:
    """Add to a run, in one batch or in as many as the limits ask for; 100 tags at most."""
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


def _is_number(value: object) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


def _flatten(values: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _keyed(values: Mapping[str, Any]) -> dict[str, Any]:
    """The mapping with keys that MLflow takes; no two are merged."""
    keyed: dict[str, Any] = {}
    for name, value in values.items():
        path = re.sub(r"[^\w.\- /]", "_", name)
        # MLflow refuses a key that, read as a path, is not in its normal form.
        path = "/".join(part for part in path.split("/") if part.strip(".")) or "_"
        key, count = path[:_LONGEST_KEY].rstrip("/"), 1
        while key in keyed:
            count += 1
            key = f"{path[: _LONGEST_KEY - 10]} {count}"
        keyed[key] = value
    return keyed


def _in_words(expression: str) -> str:
    for operator, word in (("**", "pow"), ("^", "pow"), ("*", "x"), ("/", "per")):
        expression = expression.replace(operator, f" {word} ")
    return " ".join(re.sub(r"[()]", " ", expression).split())


def _shorten(text: str, longest: int) -> str:
    """The text, or its two ends: a traceback says at its end what went wrong."""
    half = longest // 2 - 1
    return text if len(text) <= longest else f"{text[:half]}…{text[-half:]}"
