"""Page's network ("How to Train Your ResNet", DAWNBench entry of 2018): 8 convolutions, one linear.

    prep    conv3x3 channels -> c
    layer1  conv3x3  c -> 2c, max-pool 2, residual block of two convolutions
    layer2  conv3x3 2c -> 4c, max-pool 2
    layer3  conv3x3 4c -> 8c, max-pool 2, residual block of two convolutions
    global max-pool, linear 8c -> classes without bias, times 0.125

Each convolution has no bias and is followed by batch norm and ReLU; the residual sum by nothing.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hptoolkit.errors import UserError
from hptoolkit.training.config import ModelConfig
from hptoolkit.training.ghost_norm import GhostBatchNorm2d

SMALLEST_IMAGE = 8


def halved(x: Tensor) -> Tensor:
    """Max-pool 2 of (batch, channels, height, width), twice as fast where no gradient is taken."""
    height, width = x.shape[2] // 2 * 2, x.shape[3] // 2 * 2
    rows = torch.maximum(x[:, :, 0:height:2], x[:, :, 1:height:2])
    return torch.maximum(rows[..., 0:width:2], rows[..., 1:width:2])


def affine(norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """Batch norm by its running statistics is scale*x + shift: float (channels,) each."""
    mean, variance = norm.get_buffer("running_mean"), norm.get_buffer("running_var")
    scale = norm.weight / (variance + norm.eps).sqrt()
    return scale, norm.bias - mean * scale


class ConvBlock(nn.Module):
    """Convolution 3x3, batch norm, (max-pool 2,) ReLU.

    Max-pool and ReLU commute exactly, both being monotone; ReLU second has a quarter of the work.
    In evaluation batch norm is an affine map of each channel, and part of the convolution.
    """

    def __init__(self, inputs: int, outputs: int, config: ModelConfig, pool: bool = False) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
        group = config.ghost_batch
        self.norm = GhostBatchNorm2d(outputs, group) if group else nn.BatchNorm2d(outputs)
        self.pool, self.pool_first = pool, config.pool_first

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return self._evaluated(x)
        x = self.conv(x)
        if self.pool and self.pool_first:
            x = F.max_pool2d(x, 2)
        x = self.norm(x)
        if self.pool and not self.pool_first:
            x = F.max_pool2d(x, 2)
        return F.relu(x, inplace=True)

    def _evaluated(self, x: Tensor) -> Tensor:
        """The same by the running statistics, but for rounding, in three quarters of the time."""
        if self.pool and self.pool_first:  # a negative scale would turn maxima into minima
            return F.relu(self.norm(halved(self.conv(x))), inplace=True)
        scale, shift = affine(self.norm)
        x = F.conv2d(x, self.conv.weight * scale[:, None, None, None], shift, padding=1)
        return F.relu(halved(x) if self.pool else x, inplace=True)


class Residual(nn.Module):
    """x + f(x), f being two blocks."""

    def __init__(self, channels: int, config: ModelConfig) -> None:
        super().__init__()
        self.block1 = ConvBlock(channels, channels, config)
        self.block2 = ConvBlock(channels, channels, config)

    def forward(self, x: Tensor) -> Tensor:
        residual: Tensor = self.block2(self.block1(x))
        return x + residual


class ResNet(nn.Module):
    """Images float (batch, channels, size, size) to logits (batch, classes)."""

    def __init__(self, config: ModelConfig, channels: int, classes: int) -> None:
        super().__init__()
        width = config.width
        self.features = nn.Sequential(
            ConvBlock(channels, width, config),
            ConvBlock(width, 2 * width, config, pool=True),
            Residual(2 * width, config),
            ConvBlock(2 * width, 4 * width, config, pool=True),
            ConvBlock(4 * width, 8 * width, config, pool=True),
            Residual(8 * width, config),
        )
        self.dropout = nn.Dropout(config.dropout)
        self.linear = nn.Linear(8 * width, classes, bias=False)
        self.output_scale = config.output_scale

    def forward(self, x: Tensor) -> Tensor:
        x = self.features(x)
        x = F.max_pool2d(x, x.shape[-2:]).flatten(1)
        logits: Tensor = self.linear(self.dropout(x))
        return logits * self.output_scale


def build(config: ModelConfig, image_shape: tuple[int, int, int], classes: int) -> ResNet:
    """The network for images of `image_shape` (height, width, channels), 8 pixels at least.

    The last max-pool covers whatever is left: 4 pixels of 32, 3 of 28, 1 of 8. Raises UserError.
    """
    height, width, channels = image_shape
    if min(height, width) < SMALLEST_IMAGE:
        raise UserError(
            f"images of {height}x{width} pixels are too small for the network, which halves them "
            f"three times: {SMALLEST_IMAGE} at least"
        )
    return ResNet(config, channels, classes)


def resnet(width: int, channels: int, size: int, classes: int) -> ResNet:
    """Page's network as he trained it, at any width, for square images of `size` pixels."""
    return build(ModelConfig(width=width), (size, size, channels), classes)
