from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from hptoolkit.errors import UserError
from hptoolkit.training import augment
from hptoolkit.training.augment import Augmentation, DeviceImages
from hptoolkit.training.config import TrainingConfig
from hptoolkit.training.data import Subset

CPU = torch.device("cpu")


def device_images(n: int = 6, size: int = 8, channels: int = 3) -> tuple[DeviceImages, Tensor]:
    """Images on the device and the same normalised independently, (n, channels, size, size)."""
    rng = np.random.default_rng(1)
    images = rng.integers(0, 256, (n, size, size, channels), dtype=np.uint8)
    subset = Subset(images, np.arange(n), np.arange(n))
    values = images.astype(np.float64)
    normal = (values - values.mean((0, 1, 2))) / values.std((0, 1, 2))
    return augment.to_device(subset, CPU), torch.tensor(normal).permute(0, 3, 1, 2)


def augmented(images: DeviceImages, chosen: Tensor, how: Augmentation, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    norm = augment.normalization(images)
    return augment.augmented_batch(images, norm, chosen, how, generator)


@given(st.integers(2, 20), st.data())
def test_reflected_indices_are_those_of_numpys_reflect_padding(
    size: int, draw: st.DataObject
) -> None:
    padding = draw.draw(st.integers(0, size - 1))
    expected = np.pad(np.arange(size), padding, mode="reflect")
    ours = augment.reflected(torch.arange(-padding, size + padding), size)
    np.testing.assert_array_equal(ours.numpy(), expected)


def test_plain_batches_are_normalised_and_channels_last() -> None:
    images, expected = device_images()
    chosen = torch.tensor([3, 0, 5])
    batch = augment.plain_batch(images, augment.normalization(images), chosen)
    torch.testing.assert_close(batch.double(), expected[chosen], rtol=1e-5, atol=1e-5)
    assert batch.is_contiguous(memory_format=torch.channels_last)


def test_normalization_counts_only_the_subsets_rows() -> None:
    images, _ = device_images()
    some = DeviceImages(images.pixels, images.labels, torch.tensor([1, 4]), 8, 8)
    values = images.pixels.view(6, 64, 3)[[1, 4]].double().reshape(-1, 3)
    norm = augment.normalization(some, chunk=1)
    torch.testing.assert_close(norm.mean[:3].double(), values.mean(0))
    torch.testing.assert_close(1 / norm.scale[:3].double(), values.std(0, correction=0))


def test_a_constant_channel_does_not_divide_by_zero() -> None:
    images = np.zeros((2, 8, 8, 1), np.uint8)
    on_device = augment.to_device(Subset(images, np.arange(2), np.arange(2)), CPU)
    batch = augment.plain_batch(on_device, augment.normalization(on_device), torch.arange(2))
    assert torch.equal(batch, torch.zeros(2, 1, 8, 8))


def test_without_augmentation_nothing_changes() -> None:
    images, _ = device_images()
    chosen = torch.arange(6)
    plain = augment.plain_batch(images, augment.normalization(images), chosen)
    assert torch.equal(augmented(images, chosen, Augmentation(False, 0, 0)), plain)


def test_crops_and_flips_are_crops_and_flips_of_the_padded_image() -> None:
    images, normal = device_images(n=1)
    padding, draws = 2, 1000
    padded = np.pad(normal[0].numpy(), ((0, 0), (2, 2), (2, 2)), mode="reflect")
    candidates = {}
    for dy in range(2 * padding + 1):
        for dx in range(2 * padding + 1):
            crop = padded[:, dy : dy + 8, dx : dx + 8]
            candidates[dy, dx, False] = crop
            candidates[dy, dx, True] = crop[:, :, ::-1]
    stack = torch.tensor(np.stack(list(candidates.values())))
    chosen = torch.zeros(draws, dtype=torch.int64)
    batch = augmented(images, chosen, Augmentation(True, padding, 0)).double()
    difference = (batch[:, None] - stack[None]).abs().amax((2, 3, 4))
    assert difference.amin(1).max() < 1e-5
    counts = np.bincount(difference.argmin(1).numpy(), minlength=len(candidates))
    # Fifty equally likely outcomes, 20 times each on average: chi-square, 49 degrees of freedom,
    # whose 99.9 % point is 85.4.
    assert ((counts - 20) ** 2 / 20).sum() < 85.4


def test_cutout_covers_one_square_of_the_mean() -> None:
    images, _ = device_images(n=4, size=12)
    chosen = torch.arange(4).repeat(100)
    plain = augmented(images, chosen, Augmentation(False, 0, 0))
    cut = augmented(images, chosen, Augmentation(False, 0, 5))
    changed = (cut != plain).any(1)
    assert torch.equal(
        cut[~changed[:, None].expand_as(cut)], plain[~changed[:, None].expand_as(cut)]
    )
    for mask, image in zip(changed, cut, strict=True):
        rows, columns = torch.where(mask)
        top, left = rows.min(), columns.min()
        assert (rows.max() - top, columns.max() - left) == (4, 4)
        assert torch.count_nonzero(image[:, top : top + 5, left : left + 5]) == 0
    tops = {int(torch.where(mask)[0].min()) for mask in changed}
    assert tops == set(range(8))


def test_the_generator_alone_decides() -> None:
    images, _ = device_images()
    how = Augmentation(True, 2, 3)
    chosen = torch.arange(6)
    assert torch.equal(augmented(images, chosen, how), augmented(images, chosen, how))
    assert not torch.equal(augmented(images, chosen, how), augmented(images, chosen, how, seed=1))


@pytest.mark.parametrize("fields", [{"crop_padding": 8}, {"crop_padding": 0, "cutout": 9}])
def test_augmentation_larger_than_the_image_is_refused(fields: dict[str, int]) -> None:
    images, _ = device_images()
    with pytest.raises(UserError, match="8 pixels"):
        augment.augmentation(TrainingConfig.model_validate(fields), images)
