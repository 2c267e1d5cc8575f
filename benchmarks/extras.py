"""What the extras change: paired runs, the same seeds with and without each of them.

    python benchmarks/extras.py [--seeds 5] [--train-size 5000] [--epochs 8] [--width 8]

CIFAR-10 (a subset, so that it fits a CPU), Page's recipe, batch 128 and lr 0.1. For each flag: the
validation accuracy, its mean difference to the plain run of the same seed with the standard error
of that mean, and the training speed relative to the plain run in the process's own CPU seconds.
"""

from __future__ import annotations

import argparse
import math
import statistics
import time
from typing import Any

from hptoolkit.training import DataConfig, ModelConfig, TrainingConfig, data, set_up_device, train

VARIANTS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "plain": ({}, {}),
    "label_smoothing 0.2": ({"label_smoothing": 0.2}, {}),
    "ema 0.9": ({"ema": 0.9}, {}),
    "flip_tta": ({"flip_tta": True}, {}),
    "ghost_batch 32": ({}, {"ghost_batch": 32}),
    "pool_first": ({}, {"pool_first": True}),
    "dropout 0.2": ({}, {"dropout": 0.2}),
    "precision bfloat16": ({"precision": "bfloat16"}, {}),
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--train-size", type=int, default=5000)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--width", type=int, default=8)
    parser.add_argument("--data-dir", default=None)
    parser.add_argument("--only", nargs="+", choices=VARIANTS, default=list(VARIANTS))
    arguments = parser.parse_args()
    set_up_device("cpu")
    dataset = data.load("cifar10", arguments.data_dir)
    config = DataConfig(name="cifar10", train_size=arguments.train_size, validation_fraction=0.2)
    parts = data.split(dataset, config)
    base = {"epochs": arguments.epochs, "batch_size": 128, "lr": 0.1}
    names = list(dict.fromkeys(["plain", *arguments.only]))
    accuracy: dict[str, list[float]] = {name: [] for name in names}
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for seed in range(arguments.seeds):
        for name in names:
            training, model = VARIANTS[name]
            began = time.process_time()
            result = train(
                TrainingConfig.model_validate(base | training),
                parts,
                model=ModelConfig(width=arguments.width, **model),
                seed=seed,
            )
            seconds[name].append(time.process_time() - began)
            accuracy[name].append(result.validation_accuracy)
    print(f"{arguments}, {len(parts.validation)} validation images")
    print("extra                accuracy (std)   difference (standard error)  CPU seconds, ratio")
    for name in names:
        differences = [a - b for a, b in zip(accuracy[name], accuracy["plain"], strict=True)]
        ratios = [a / b for a, b in zip(seconds[name], seconds["plain"], strict=True)]
        error = statistics.stdev(differences) / math.sqrt(len(differences))
        mean, spread = statistics.mean(accuracy[name]), statistics.stdev(accuracy[name])
        print(
            f"{name:20} {mean:.2%} ({spread:.2%})  {statistics.mean(differences):+.2%} "
            f"({error:.2%})              {statistics.median(ratios):.2f}"
        )


if __name__ == "__main__":
    main()
