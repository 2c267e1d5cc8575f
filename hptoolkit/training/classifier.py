"""A trained network as its user wants it: pixel values in, logits out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from hptoolkit.training import augment, model
from hptoolkit.training.config import ModelConfig
from hptoolkit.training.data import Split


class Classifier(nn.Module):
    """Pixels float (batch, channels, height, width) in 0..255 to logits (batch, classes).

    network: takes normalised images.
    mean, scale: float (channels,), of the training images; scale is 1/std.
    flip_tta: whether the logits are the mean of an image's and its mirror image's.
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, network: nn.Module, mean: Tensor, scale: Tensor, flip_tta: bool) -> None:
        super().__init__()
        self.network = network
        self.flip_tta = flip_tta
        self.register_buffer("mean", mean.view(1, -1, 1, 1))
        self.register_buffer("scale", scale.view(1, -1, 1, 1))

    def forward(self, pixels: Tensor) -> Tensor:
        images = (pixels - self.mean) * self.scale
        logits: Tensor = self.network(images)
        if self.flip_tta:
            logits = (logits + self.network(images.flip(-1))) / 2
        return logits


def pack(
    weights: Mapping[str, Tensor], config: ModelConfig, data: Split, *, flip_tta: bool
) -> dict[str, Any]:
    """All that `unpack` needs, of tensors and plain values.

    weights: the state_dict of Page's network, trained on `data`. The pixels' mean and deviation
    are computed anew: a second for CIFAR-10.
    """
    images = augment.to_device(data.train, torch.device("cpu"))
    norm = augment.normalization(images)
    return {
        "weights": dict(weights),
        "model": config.model_dump(mode="json"),
        "image_shape": list(data.image_shape),
        "classes": data.classes,
        "mean": norm.mean[: images.channels].clone(),
        "scale": norm.scale[: images.channels].clone(),
        "flip_tta": flip_tta,
    }


def unpack(packed: Mapping[str, Any]) -> Classifier:
    """The classifier, on the CPU, in evaluation mode."""
    height, width, channels = packed["image_shape"]
    config = ModelConfig.model_validate(packed["model"])
    network = model.build(config, (height, width, channels), packed["classes"])
    network.load_state_dict(packed["weights"])
    return Classifier(network, packed["mean"], packed["scale"], packed["flip_tta"]).eval()
