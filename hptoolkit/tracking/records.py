"""What MLflow is told: a study and its trials as plain values, computed without MLflow.

A record is a pure function of what Optuna stores, its times included, so a run written twice, or
by two processes, or in two parts around a crash, holds the same.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from hptoolkit.attributes import COORDINATES, DATA, HISTORY, SEED
from hptoolkit.storage.urls import redact
from hptoolkit.tracking.data_sets import DataSet, data_sets
from hptoolkit.tracking.entries import Point, as_text, coordinate_metrics, params, points, tags

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

# User attributes with a projection of their own.
_PROJECTED = {COORDINATES, DATA, HISTORY, SEED}


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
    coordinates = attributes.get(COORDINATES)
    values = (trial.values or []) if trial.state.name == "COMPLETE" else []
    names = ["objective"] if len(values) == 1 else [f"objective/{i}" for i in range(len(values))]
    single = {
        **others,
        **coordinate_metrics(coordinates),
        **dict(zip(names, values, strict=True)),
    }
    texts = {key: as_text(value) for key, value in others.items() if isinstance(value, str | bool)}
    seed = {"seed": attributes[SEED]} if SEED in attributes else {}
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
        data_sets=data_sets(attributes.get(DATA)),
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
    history = trial.user_attrs.get(HISTORY)
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
