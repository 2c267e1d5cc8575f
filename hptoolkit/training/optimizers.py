"""Optimizers, built from the configuration."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn

from hptoolkit.training.config import TrainingConfig


def build(config: TrainingConfig, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
    """The optimizer that `config` names, at the peak learning rate, over `parameters`.

    Momentum SGD in torch's form: v <- momentum*v + g + weight_decay*w, w <- w - lr*v (Nesterov:
    w <- w - lr*(g + weight_decay*w + momentum*v)). Without momentum the two are the same.
    """
    return torch.optim.SGD(
        parameters,
        lr=config.lr,
        momentum=config.momentum,
        weight_decay=config.weight_decay,
        nesterov=config.optimizer == "nesterov" and config.momentum > 0,
    )
