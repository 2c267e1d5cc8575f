"""What the benchmarks of training share: random images, one training step, timing."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from hptoolkit.training import DataConfig, ModelConfig, TrainingConfig
from hptoolkit.training import data as datasets
from hptoolkit.training.model import build
from hptoolkit.training.seeds import Seeds
from hptoolkit.training.trainer import Trainer

SHAPE = (32, 32, 3)


def random_arrays(n: int) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (n, *SHAPE), dtype=np.uint8)
    labels = np.arange(n) % 10
    return {
        "train_images": images,
        "train_labels": labels,
        "test_images": images[:10],
        "test_labels": labels[:10],
    }


def a_trainer(data: datasets.Split, batch: int, model: ModelConfig) -> Trainer:
    config = TrainingConfig(batch_size=batch, lr=0.05)
    torch.manual_seed(0)
    return Trainer(config, data, build(model, SHAPE, 10), Seeds.same(0), torch.device("cpu"))


def a_split(n: int) -> datasets.Split:
    dataset = datasets.checked("random", random_arrays(n), "random")
    return datasets.split(dataset, DataConfig())


def a_step(model: ModelConfig, batch: int) -> Callable[[], Any]:
    """One training step as the loop does it: batch from uint8, forward, backward, update."""
    trainer = a_trainer(a_split(2560), batch, model)
    batches: list[torch.Tensor] = []

    def step() -> None:
        batches.extend([] if batches else trainer.batches())
        trainer.step(batches.pop())

    return step


def cpu_seconds(work: Callable[[], Any], repetitions: int = 1) -> float:
    start = time.process_time()
    for _ in range(repetitions):
        work()
    return (time.process_time() - start) / repetitions


def spread(values: list[float], form: str) -> str:
    low, middle, high = min(values), statistics.median(values), max(values)
    return f"{middle:{form}} ({low:{form}} .. {high:{form}})"
