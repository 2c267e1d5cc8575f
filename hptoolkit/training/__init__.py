"""Training: data, network, optimizers, schedules and the loop. Knows nothing of Optuna or MLflow.

`import hptoolkit.training` does not import torch; the first use of `train` or a result type does.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from hptoolkit.training.config import DataConfig, ModelConfig, TrainingConfig

if TYPE_CHECKING:
    from hptoolkit.training.device import set_up_device
    from hptoolkit.training.loop import EpochReport, Result, train
    from hptoolkit.training.seeds import Seeds

_LAZY = {
    "EpochReport": "loop",
    "Result": "loop",
    "Seeds": "seeds",
    "set_up_device": "device",
    "train": "loop",
}

__all__ = [
    "DataConfig",
    "EpochReport",
    "ModelConfig",
    "Result",
    "Seeds",
    "TrainingConfig",
    "set_up_device",
    "train",
]


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(import_module(f"{__name__}.{_LAZY[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
