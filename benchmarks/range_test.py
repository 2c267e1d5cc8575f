"""How steady is the range test? The spread of its upper bound between seeds, before and after.

    python -m benchmarks.range_test [--seeds 8]

On the digits, for Page's network and an un-normalised perceptron, from two pairs of ρ and α.
Before: one ramp, and the largest rate, at most half that of the lowest loss, at which the loss
still falls half as fast as at its steepest. After: what `range_test` suggests. Printed are the
geometric mean, the ratio of largest to smallest and the deviation in octaves, n seeds each.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from typing import TypeAlias

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from torch import nn

from hptoolkit.training import DataConfig, ModelConfig, TrainingConfig, data, set_up_device
from hptoolkit.training.lr_range import RangeTest, range_test

Model: TypeAlias = ModelConfig | Callable[[], nn.Module]


def perceptron() -> nn.Module:
    return nn.Sequential(
        nn.Flatten(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10)
    )


def gusto(test: RangeTest) -> float:
    """The upper bound as it was read off a single ramp before."""
    lrs, smoothed, slopes = (np.array(x) for x in (test.lrs, test.smoothed, test.slopes))
    lowest = lrs[np.argmin(smoothed)]
    falling = -slopes[: int(np.searchsorted(lrs, lowest / 2, side="right"))]
    return float(lrs[np.flatnonzero(falling >= 0.5 * falling.max())[-1]])


def spread(values: list[float]) -> str:
    logs = np.log2(values)
    return (
        f"{2 ** logs.mean():.3g}, largest/smallest {2 ** np.ptp(logs):.2f}, "
        f"deviation {logs.std(ddof=1):.2f} octaves"
    )


def main() -> None:
    """Print three rows a setting: before, each ramp alone by the new rule, and after."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seeds", type=int, default=8)
    arguments = parser.parse_args()
    device = set_up_device("cpu")
    split = data.split(data.load("digits"), DataConfig(validation_fraction=0.2))
    models: dict[str, Model] = {"Page's network": ModelConfig(width=8), "perceptron": perceptron}
    for name, model in models.items():
        for momentum, decay in ((0.5, 0.01), (0.9, 7.4e-4)):
            config = TrainingConfig(
                batch_size=64, momentum=momentum, weight_decay=decay,
                flip=False, crop_padding=1, cutout=0,
            )  # fmt: skip
            tests = [
                range_test(config, split, model=model, seed=100 + seed, device=device)
                for seed in range(arguments.seeds)
            ]
            print(f"{name}, ρ = {momentum}, α = {decay}, n = {len(tests)}")
            print("  before, one ramp: ", spread([gusto(t) for t in tests]))
            print("  after, one ramp:  ", spread([t.highs[0] for t in tests]))
            print("  after, five ramps:", spread([t.suggestion.high for t in tests]))
            stated = np.median([t.suggestion.uncertainty for t in tests])
            steps = np.mean([t.steps for t in tests])
            print(f"  stated uncertainty: a factor of {stated:.2f}; {steps:.0f} steps", flush=True)


if __name__ == "__main__":
    main()
