"""An exponential moving average of a network's weights and batch-norm statistics."""

from __future__ import annotations

import copy

import torch
from torch import nn


class Average:
    """`network` is the average: the first weights, then decay*average + (1 - decay)*weights a step.

    Whole numbers (batch counts) are copied. torch's AveragedModel would wait for the device at each
    update.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.network = copy.deepcopy(network).requires_grad_(False)
        pairs = list(
            zip(self.network.state_dict().values(), network.state_dict().values(), strict=True)
        )
        self.decay = decay
        self._averages = [ours for ours, theirs in pairs if theirs.is_floating_point()]
        self._weights = [theirs for ours, theirs in pairs if theirs.is_floating_point()]
        self._counts = [pair for pair in pairs if not pair[1].is_floating_point()]

    @torch.no_grad()
    def update(self) -> None:
        torch._foreach_lerp_(self._averages, self._weights, 1 - self.decay)
        for ours, theirs in self._counts:
            ours.copy_(theirs)
