"""A study's best network as an MLflow model, which loads without hptoolkit."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import LoggedModel

NAME = "best_model"


class UnusableError(RuntimeError):
    """The checkpoint cannot be read, or its network cannot be traced."""


def log_model(
    client: MlflowClient, parent: str, trial: str | None, checkpoint: str, tags: dict[str, str]
) -> str:
    """Log the network in a checkpoint as the outcome of a study's run, and of its trial's.

    It is a graph that torch.export has traced, so loading it runs no pickled code; it takes pixel
    values, float32 (batch, channels, height, width) in 0..255, and returns logits.

    Args:
        client: Of the store.
        parent, trial: Ids of the runs.
        checkpoint: A file of `hptoolkit.training.classifier.pack`.
        tags: Of the model.

    Returns:
        The model's id.

    Raises:
        UnusableError: No model can be made of the checkpoint; nothing is left of it.
    """
    from mlflow.entities import LoggedModelOutput

    experiment = client.get_run(parent).info.experiment_id
    model = client.create_logged_model(
        experiment, name=NAME, source_run_id=parent, tags=tags, model_type="classifier"
    )
    try:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model"
            try:
                _save(model, parent, Path(checkpoint), path)
            except Exception as error:  # whatever torch raises, for a damaged file too
                raise UnusableError(f"{NAME}: {error}") from error
            client.log_model_artifacts(model.model_id, str(path))
        client.finalize_logged_model(model.model_id, "READY")
        for run in filter(None, (parent, trial)):
            client.log_outputs(run, [LoggedModelOutput(model.model_id, 0)])
    except BaseException:
        client.delete_logged_model(model.model_id)
        raise
    return str(model.model_id)


def _save(logged: LoggedModel, run_id: str, checkpoint: Path, path: Path) -> None:
    """Write MLflow's folder of the model. Imports torch; some seconds."""
    import mlflow.pytorch
    import numpy as np
    import torch
    from mlflow.models import Model, ModelSignature
    from mlflow.types import Schema, TensorSpec

    from hptoolkit.training.checkpoint import read
    from hptoolkit.training.classifier import unpack

    packed = read(checkpoint)
    if packed is None:
        raise ValueError("the file of its weights is missing or damaged")
    height, width, channels = packed["image_shape"]
    kind: Any = np.dtype("float32")
    images = TensorSpec(kind, (-1, channels, height, width), "pixels")
    logits = TensorSpec(kind, (-1, packed["classes"]), "logits")
    mlflow.pytorch.save_model(
        unpack(packed),
        str(path),
        mlflow_model=Model(
            artifact_path=logged.artifact_location,
            model_uuid=logged.model_id,
            model_id=logged.model_id,
            run_id=run_id,
        ),
        signature=ModelSignature(inputs=Schema([images]), outputs=Schema([logits])),
        # A batch of one would be traced as one for ever.
        input_example=(torch.zeros(2, channels, height, width),),
        serialization_format="pt2",
        # Given, since MLflow would start a process that loads the model to find them.
        pip_requirements=[f"torch=={torch.__version__.partition('+')[0]}"],
        metadata={"input": "pixel values 0..255, not normalised"},
    )
