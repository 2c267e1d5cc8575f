"""Train your own network on your own images: any module, any uint8 arrays.

    python examples/own_network.py

Here a network of two layers learns to tell circles from squares drawn at random places.
"""

from __future__ import annotations

import numpy as np
from torch import nn

from hptoolkit.training import Result, TrainingConfig, set_up_device, train


def draw(n: int, size: int = 16) -> tuple[np.ndarray, np.ndarray]:
    """n noisy images uint8 (n, size, size, 1) with labels (n,): 0 for a circle, 1 for a square."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, n)
    centre, radius = rng.uniform(5, size - 5, (2, n, 1, 1)), rng.uniform(3, 5, (n, 1, 1))
    y, x = np.arange(size)[:, None] - centre[0], np.arange(size) - centre[1]
    circle = np.hypot(x, y) < radius
    square = np.maximum(abs(x), abs(y)) < radius * np.sqrt(np.pi) / 2  # of the same area
    shape = np.where(labels[:, None, None] == 0, circle, square)
    images = 180 * shape + rng.integers(0, 76, shape.shape)
    return images.astype(np.uint8)[..., None], labels


def network() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 16, 5, padding=2),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        nn.AdaptiveMaxPool2d(4),
        nn.Flatten(),
        nn.Linear(16 * 4 * 4, 2),
    )


def main() -> Result:
    set_up_device("cpu")
    config = TrainingConfig(
        epochs=5, batch_size=64, lr=0.1, schedule="1cycle", crop_padding=2, cutout=0
    )
    result = train(
        config,
        draw(2000),  # a tenth is set aside to validate
        model=network,
        seed=0,
        report=lambda epoch: print(
            f"epoch {epoch.epoch}: loss {epoch.train_loss:.3f}, "
            f"validation accuracy {epoch.validation_accuracy:.1%}"
        ),
    )
    print(f"{result.images_per_second:.0f} images/s, weights: {', '.join(result.weights)}")
    return result


if __name__ == "__main__":
    main()
