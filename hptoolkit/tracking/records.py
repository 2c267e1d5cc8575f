"""What MLflow is told: a study and its trials as plain values, computed without MLflow.

A record is a pure function of what Optuna stores, its times included, so a run written twice, or
by two processes, or in two parts around a crash, holds the same.
"""

from __future__ import annotations

import json
import math
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from numbers import Real
from typing import TYPE_CHECKING, Any, NamedTuple

from hptoolkit.tracking.data_sets import DataSet, data_sets
from hptoolkit.urls import redact

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

# MLflow's own words for Optuna's states; a trial in another state has no run yet.
STATUS = {"COMPLETE": "FINISHED", "PRUNED": "KILLED", "FAIL": "FAILED"}

UID = "hptoolkit.study"  # tag of a study's run and its trials' runs: the study's identity
TRIAL_NUMBER = "optuna.trial_number"
PARENT = "mlflow.parentRunId"
SOURCE = {"mlflow.source.name": "hptoolkit.study", "mlflow.source.type": "LOCAL"}
DESCRIPTION = "mlflow.note.content"  # Markdown, shown at the head of a run
REPORT = "hptoolkit.report"  # tag of a study's run: the state of the study that its report shows
BEST_MODEL = "hptoolkit.best_model"  # tag of a study's run: the number of its model's trial
MODEL_ID = "hptoolkit.best_model_id"  # tag of a study's run: its model

_LONGEST_KEY, _LONGEST_PARAM, _LONGEST_TAG = 250, 6000, 8000
_LARGEST = sys.float_info.max
_PROJECTED = {
    "coordinates",
    "data",
    "history",
    "seed",
}  # user attributes with a projection of their own


class Point(NamedTuple):
    """One value of a metric. Timestamp in milliseconds since 1970."""

    key: str
    value: float
    timestamp: int
    step: int


@dataclass(frozen=True)
class Record:
    """A run: times in milliseconds since 1970, keys and values within MLflow's limits."""

    name: str
    status: str
    start: int
    end: int
    params: dict[str, str]
    metrics: tuple[Point, ...]
    tags: dict[str, str]
    data_sets: tuple[DataSet, ...] = ()


def trial_record(trial: FrozenTrial) -> Record:
    """A finished trial's run; whatever a foreign study does not keep is left out.

    Raw parameters and the seed are params. Coordinates are metrics under `coordinates/`: MLflow
    sorts, filters by range and plots metrics as numbers, params only as text.
    """
    start, end = _times(trial)
    attributes = trial.user_attrs
    others = {
        key: value
        for key, value in attributes.items()
        if key not in _PROJECTED and not key.startswith("hptoolkit:")
    }
    coordinates = attributes.get("coordinates")
    values = (trial.values or []) if trial.state.name == "COMPLETE" else []
    names = ["objective"] if len(values) == 1 else [f"objective/{i}" for i in range(len(values))]
    single = {
        **others,
        **coordinate_metrics(coordinates),
        **dict(zip(names, values, strict=True)),
    }
    texts = {key: _text(value) for key, value in others.items() if isinstance(value, str | bool)}
    seed = {"seed": attributes["seed"]} if "seed" in attributes else {}
    return Record(
        name=f"trial {trial.number}",
        status=STATUS[trial.state.name],
        start=start,
        end=end,
        params=params(seed | trial.params),
        metrics=(*_curves(trial, start, end), *points(single, end, 0)),
        tags=tags(
            texts
            | {TRIAL_NUMBER: str(trial.number), "optuna.trial_state": trial.state.name}
            | ({"coordinates": json.dumps(coordinates)} if coordinates else {})
        ),
        data_sets=data_sets(attributes.get("data")),
    )


def outcome_record(
    name: str, summary: Mapping[str, Any], *, interrupted: bool, start: int, end: int, step: int
) -> Record:
    """What a study came to: its best as metrics at `step` (the trials so far), the rest as tags.

    Args:
        name: The study's name.
        summary: What the study prints: `best` {`params`, `coordinates`, `value`} (None without a
            finished trial), `stopped_because`, and other texts. Credentials are taken out.
        interrupted: Whether the study is to go on another time: KILLED instead of FINISHED.
        start, end: Milliseconds since 1970.
        step: The number of finished trials, so that a resumed study adds to the curve.
    """
    best = summary.get("best") or {}
    values = {
        "objective": best.get("value"),
        **best.get("params", {}),
        **coordinate_metrics(best.get("coordinates")),
    }
    texts = {key: redact(value) for key, value in summary.items() if isinstance(value, str)}
    return Record(
        name=name,
        status="KILLED" if interrupted else "FINISHED",
        start=start,
        end=end,
        params={},
        metrics=tuple(points({f"best/{key}": value for key, value in values.items()}, end, step)),
        tags=tags(texts | {"best": json.dumps(best, default=str)}),
    )


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
    texts = {key: _text(value) for key, value in _keyed(dict(_flatten(values))).items()}
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


def experiment_name(definition: Mapping[str, Any]) -> str:
    """`hptoolkit-` and the data set, `hptoolkit` without one.

    MLflow's tables and charts show one experiment: its runs should be comparable, and accuracies
    are so on the same data only.
    """
    data = definition.get("data")
    name = data.get("name") if isinstance(data, Mapping) else data
    return f"hptoolkit-{name}" if isinstance(name, str) else "hptoolkit"


def definition_tags(definition: Mapping[str, Any]) -> dict[str, str]:
    """The coordinates that a study searches, as their expressions."""
    section = definition.get("coordinates")
    axes = section.get("axes") if isinstance(section, Mapping) else section
    return {"coordinates": ", ".join(map(str, axes))} if isinstance(axes, list) else {}


def milliseconds(moment: datetime | None) -> int:
    """Milliseconds since 1970 of Optuna's naive local time; of this moment for None."""
    return int((moment or datetime.now()).timestamp() * 1000)


def _times(trial: FrozenTrial) -> tuple[int, int]:
    end = milliseconds(trial.datetime_complete)
    return (milliseconds(trial.datetime_start) if trial.datetime_start else end), end


def _curves(trial: FrozenTrial, start: int, end: int) -> list[Point]:
    """Per-epoch metrics, their times spread evenly over the trial."""
    epochs = _epochs(trial)
    curves = []
    for index, (step, values) in enumerate(epochs, start=1):
        curves += points(values, start + (end - start) * index // len(epochs), step)
    return curves


def _epochs(trial: FrozenTrial) -> Sequence[tuple[int, Mapping[str, Any]]]:
    history = trial.user_attrs.get("history")
    if not isinstance(history, list):
        reported = sorted(trial.intermediate_values.items())
        return [(step, {"intermediate_value": value}) for step, value in reported]
    entries = [entry for entry in history if isinstance(entry, Mapping)]
    return [
        (_step(entry, index), {key: value for key, value in entry.items() if key != "epoch"})
        for index, entry in enumerate(entries, start=1)
    ]


def _step(entry: Mapping[str, Any], index: int) -> int:
    epoch = entry.get("epoch")
    return epoch if isinstance(epoch, int) else index


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


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, default=str)


def _shorten(text: str, longest: int) -> str:
    """The text, or its two ends: a traceback says at its end what went wrong."""
    half = longest // 2 - 1
    return text if len(text) <= longest else f"{text[:half]}…{text[-half:]}"
