"""Ghost batch norm: normalise over parts of a batch, so that a large batch is as noisy as a small.

Source: E. Hoffer, I. Hubara, D. Soudry, Train longer, generalize better, 2017.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

MOMENTUM = 0.1  # of the running statistics, as in torch


class GhostBatchNorm2d(nn.BatchNorm2d):
    """Batch norm over groups of about `group` images of each training batch.

    Every group updates the running statistics, with a momentum that makes a batch's groups together
    forget as much as one ordinary update does. Evaluation is that of ordinary batch norm.
    """

    def __init__(self, channels: int, group: int) -> None:
        super().__init__(channels, momentum=MOMENTUM)
        self.group = group

    def forward(self, x: Tensor) -> Tensor:
        groups = math.ceil(len(x) / self.group)
        if not self.training or groups == 1:
            return super().forward(x)
        forget = 1 - (1 - MOMENTUM) ** (1 / groups)
        parts = [
            F.batch_norm(
                part, self.running_mean, self.running_var, self.weight, self.bias,
                training=True, momentum=forget, eps=self.eps,
            )
            for part in torch.chunk(x, groups)
        ]  # fmt: skip
        return torch.cat(parts)
