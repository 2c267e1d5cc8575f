"""Batches from images kept on the device as uint8: crop, flip and cutout in one gather.

A crop out of a reflect-padded image is a choice of rows and columns; so is a flip. The pixel
numbers of a whole batch follow from those, and one gather fetches them, straight into channels_last
order. No padded copy of the data exists, so processes can share one mapped file.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from hptoolkit.errors import UserError
from hptoolkit.training.config import TrainingConfig
from hptoolkit.training.data import Subset


@dataclass(frozen=True)
class DeviceImages:
    """Images on a device: `pixels` uint8 (n*height*width, channels), `labels` int64 (n,).

    `rows` int64: the images that belong to this subset.
    """

    pixels: Tensor
    labels: Tensor
    rows: Tensor
    height: int
    width: int

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def channels(self) -> int:
        return self.pixels.shape[1]


def to_device(subset: Subset, device: torch.device) -> DeviceImages:
    """On the CPU a view of the arrays (mapped files stay mapped); elsewhere a copy of its rows."""
    images, labels, rows = subset.all_images, subset.all_labels, torch.from_numpy(subset.rows)
    if device.type != "cpu":
        images, labels, rows = subset.images, subset.labels, torch.arange(len(subset))
    if not (images.flags.c_contiguous and images.flags.writeable):  # torch cannot view these
        images = images.copy()
    height, width, channels = images.shape[1:]
    return DeviceImages(
        torch.from_numpy(images).view(-1, channels).to(device),
        torch.from_numpy(labels).to(device),
        rows.to(device),
        height,
        width,
    )


@dataclass(frozen=True)
class Normalization:
    """Per channel, `mean` and `scale` = 1/std on the 0..255 scale, tiled along a row of pixels."""

    mean: Tensor
    scale: Tensor


def normalization(images: DeviceImages, chunk: int = 4096) -> Normalization:
    """Mean and standard deviation of each channel over the subset, summed exactly in integers."""
    area = images.height * images.width
    by_image = images.pixels.view(-1, area, images.channels)
    total = torch.zeros(images.channels, dtype=torch.int64, device=images.pixels.device)
    squares = torch.zeros_like(total)
    for rows in torch.split(images.rows, chunk):
        values = by_image[rows].int()
        total += values.sum((0, 1))
        squares += (values * values).sum((0, 1))
    count = len(images) * area
    mean = total.double() / count
    std = (squares.double() / count - mean**2).clamp(min=1.0).sqrt()
    return Normalization(mean.float().repeat(images.width), (1 / std).float().repeat(images.width))


def plain_batch(images: DeviceImages, norm: Normalization, chosen: Tensor) -> Tensor:
    """The images `chosen`, normalised: float (batch, channels, height, width)."""
    by_image = images.pixels.view(-1, images.height, images.width * images.channels)
    return _normalized(by_image[chosen], norm, images)


@dataclass(frozen=True)
class Augmentation:
    """Random crop after reflecting `padding` pixels, flip, a `cutout` square of the mean colour."""

    flip: bool
    padding: int
    cutout: int


def augmentation(config: TrainingConfig, images: DeviceImages) -> Augmentation:
    """What `config` asks for, if the images are large enough. Raises UserError."""
    check_augmentation(config, (images.height, images.width))
    return Augmentation(config.flip, config.crop_padding, config.cutout)


def check_augmentation(config: TrainingConfig, size: tuple[int, int]) -> None:
    """Raise UserError if images of `size` (height, width) are too small for what is asked."""
    side = min(size)
    if config.crop_padding >= side:
        raise UserError(
            f"crop_padding {config.crop_padding} must be less than the images' {side} pixels"
        )
    if config.cutout > side:
        raise UserError(f"cutout {config.cutout} must not exceed the images' {side} pixels")


def augmented_batch(
    images: DeviceImages,
    norm: Normalization,
    chosen: Tensor,
    augmentation: Augmentation,
    generator: torch.Generator,
) -> Tensor:
    """The images `chosen`, augmented, normalised: float (batch, channels, height, width)."""
    batch, device, padding = len(chosen), chosen.device, augmentation.padding

    def random(below: int) -> Tensor:
        return torch.randint(below, (batch, 1), generator=generator, device=device)

    y = torch.arange(images.height, device=device)
    x = torch.arange(images.width, device=device)
    if padding:
        y = reflected(y + random(2 * padding + 1) - padding, images.height)
        x = reflected(x + random(2 * padding + 1) - padding, images.width)
    if augmentation.flip:
        x = torch.where(random(2).bool(), x.flip(-1), x)
    lines = chosen[:, None] * images.height + y
    pixels = (lines * images.width)[:, :, None] + x.expand(batch, -1)[:, None, :]
    gathered = images.pixels.index_select(0, pixels.view(-1)).view(batch, images.height, -1)
    result = _normalized(gathered, norm, images)
    if augmentation.cutout:
        size = augmentation.cutout
        top, left = random(images.height - size + 1), random(images.width - size + 1)
        y = torch.arange(images.height, device=device)
        x = torch.arange(images.width, device=device).repeat_interleave(images.channels)
        in_y = (y >= top) & (y < top + size)
        in_x = (x >= left) & (x < left + size)
        lines_of = result.permute(0, 2, 3, 1).view(batch, images.height, -1)
        lines_of.masked_fill_(in_y[:, :, None] & in_x[:, None, :], 0.0)
    return result


def reflected(index: Tensor, size: int) -> Tensor:
    """Pixel numbers outside 0..size-1 mirrored at the border pixel, as in "reflect" padding."""
    return (size - 1) - ((size - 1) - index.abs()).abs()


def _normalized(lines: Tensor, norm: Normalization, images: DeviceImages) -> Tensor:
    """uint8 (batch, height, width*channels) to float (batch, channels, height, width)."""
    values = lines.float().sub_(norm.mean).mul_(norm.scale)
    shape = (len(lines), images.height, images.width, images.channels)
    return values.view(shape).permute(0, 3, 1, 2)
