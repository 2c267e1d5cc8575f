"""The images that a trial was trained and judged on, as MLflow's data sets."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mlflow.entities import DatasetInput

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


def data_sets(attribute: object) -> tuple[DataSet, ...]:
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


def as_input(data_set: DataSet) -> DatasetInput:
    """MLflow's own description, as `mlflow.data.from_numpy` would make it of the arrays."""
    from mlflow.entities import Dataset, DatasetInput, InputTag

    images, *image = data_set.shape
    schema = {"features": [_tensor("uint8", image)], "targets": [_tensor("int64", [])]}
    profile = {
        "features_shape": [images, *image],
        "features_size": images * prod(image),
        "targets_shape": [images],
        "targets_size": images,
    }
    entity = Dataset(
        name=data_set.name,
        digest=data_set.digest,
        source_type="code",
        source=json.dumps({"tags": {"mlflow.source.name": "hptoolkit.training.data"}}),
        schema=json.dumps(
            {"mlflow_tensorspec": {key: json.dumps(value) for key, value in schema.items()}}
        ),
        profile=json.dumps(profile),
    )
    return DatasetInput(entity, [InputTag("mlflow.data.context", data_set.context)])


def _tensor(dtype: str, shape: list[int]) -> dict[str, Any]:
    return {"type": "tensor", "tensor-spec": {"dtype": dtype, "shape": [-1, *shape]}}
