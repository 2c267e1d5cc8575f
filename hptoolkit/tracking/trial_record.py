"""What MLflow is told of a trial, as plain values, computed without MLflow.

A record is a pure function of what Optuna stores, its times included, so a run written twice, or
by two processes, or in two parts around a crash, holds the same.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from math import prod
from typing import TYPE_CHECKING, Any

from hptoolkit.attributes import COORDINATES, DATA, HISTORY, PREFIX, SEED, foreign, own, read
from hptoolkit.tracking.limits import Point, as_text, coordinate_metrics, params, points, tags

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

# MLflow's own words for Optuna's states; a trial in another state has no run yet.
STATUS = {"COMPLETE": "FINISHED", "PRUNED": "KILLED", "FAIL": "FAILED"}

TRIAL_NUMBER = "optuna.trial_number"

# User attributes with a projection of their own.
_PROJECTED = {COORDINATES, DATA, HISTORY, SEED}
_SCHEDULED = {"lr", "momentum"}  # in a history, whether they are searched or not
_CONTEXTS = ("training", "validation")


@dataclass(frozen=True)
class DataSet:
    """What a run read.

    Attributes:
        name: Of the data set.
        digest: Of the arrays themselves.
        context: "training" or "validation".
        shape: Images, height, width, channels.
    """

    name: str
    digest: str
    context: str
    shape: tuple[int, int, int, int]

    @property
    def schema(self) -> str:
        """What `mlflow.data.from_numpy` would say of the arrays' kinds, as JSON."""
        kinds = {"features": _tensor("uint8", self.shape[1:]), "targets": _tensor("int64", ())}
        return json.dumps({"mlflow_tensorspec": {k: json.dumps(v) for k, v in kinds.items()}})

    @property
    def profile(self) -> str:
        """What it would say of their sizes, as JSON."""
        images = self.shape[0]
        return json.dumps(
            {
                "features_shape": self.shape,
                "features_size": prod(self.shape),
                "targets_shape": [images],
                "targets_size": images,
            }
        )


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


def trial_record(trial: FrozenTrial, goal: str) -> Record:
    """A finished trial's run; whatever a foreign study does not keep is left out.

    Raw parameters and the seed are params. Coordinates are metrics under `coordinates/`: MLflow
    sorts, filters by range and plots metrics as numbers, params only as text. What an epoch's
    history says of a parameter is under `schedule/`: a metric `lr`, the last step's, would be taken
    for the param.

    Args:
        trial: In a state of `STATUS`.
        goal: The name of what is judged. See `compared`.
    """
    start, end = _times(trial)
    attributes, others = own(trial.user_attrs), foreign(trial.user_attrs)
    for key, value in attributes.items():
        short = key.removeprefix(PREFIX)
        if key not in _PROJECTED:
            others[f"hptoolkit.{short}" if short in others else short] = value
    coordinates = attributes.get(COORDINATES)
    values = (trial.values or []) if trial.state.name == "COMPLETE" else []
    if len(values) == 1:
        objective = {compared(goal): values[0], "objective": values[0]}
    else:
        objective = {f"objective/{i}": value for i, value in enumerate(values)}
    single = {**objective, **others, **coordinate_metrics(coordinates), **objective}
    texts = {key: as_text(value) for key, value in others.items() if isinstance(value, str | bool)}
    seed = {"seed": attributes[SEED]} if SEED in attributes else {}
    return Record(
        name=f"trial {trial.number}",
        status=STATUS[trial.state.name],
        start=start,
        end=end,
        params=params(seed | trial.params),
        metrics=(*points(single, end, 0), *_curves(trial, start, end)),
        tags=tags(
            texts
            | {TRIAL_NUMBER: str(trial.number), "optuna.trial_state": trial.state.name}
            | ({"coordinates": json.dumps(coordinates)} if coordinates else {})
        ),
        data_sets=_data_sets(attributes.get(DATA)),
    )


def compared(goal: str) -> str:
    """The metric on which MLflow's page that compares runs opens: the first one written of a run,
    and the first in the order of characters, in which capitals come first.

    Without a slash, which would make it a section of its own above a run's curves.
    """
    return f"Objective {goal}"


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
    history = read(trial.user_attrs, HISTORY, list)
    if history is None:
        reported = sorted(trial.intermediate_values.items())
        return [(step, {"intermediate_value": value}) for step, value in reported]
    entries = [entry for entry in history if isinstance(entry, Mapping)]

    def name(key: str) -> str:
        return f"schedule/{key}" if key in _SCHEDULED or key in trial.params else key

    return [
        (_step(entry, index), {name(key): entry[key] for key in entry if key != "epoch"})
        for index, entry in enumerate(entries, start=1)
    ]


def _step(entry: Mapping[str, Any], index: int) -> int:
    epoch = entry.get("epoch")
    return int(epoch) if isinstance(epoch, int) else index


def _data_sets(attribute: object) -> tuple[DataSet, ...]:
    """Those that a trial's user attribute `data` names; none in a foreign study."""
    if not isinstance(attribute, Mapping):
        return ()
    try:
        height, width, channels = attribute["image_shape"]
        return tuple(
            DataSet(
                name=str(attribute["name"]),
                digest=str(attribute[context]["digest"]),
                context=context,
                shape=(int(attribute[context]["images"]), height, width, channels),
            )
            for context in _CONTEXTS
        )
    except (KeyError, TypeError, ValueError):
        return ()


def _tensor(dtype: str, shape: Sequence[int]) -> dict[str, Any]:
    return {"type": "tensor", "tensor-spec": {"dtype": dtype, "shape": [-1, *shape]}}
