"""Training against the usual DataLoader loop, and two processes against one; see training.py."""

from __future__ import annotations

import multiprocessing
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional as F
from training_workload import SHAPE, a_split, a_trainer, cpu_seconds, random_arrays, spread

from hptoolkit.training import DataConfig, ModelConfig, npz, set_up_device
from hptoolkit.training import data as datasets
from hptoolkit.training.model import build


class PlainDataset(torch.utils.data.Dataset[Any]):
    """What torchvision.datasets.CIFAR10 does: a PIL image, transformed, and its label."""

    def __init__(self, images: Any, labels: Any) -> None:
        from torchvision import transforms

        self.images, self.labels = images, labels
        self.transform = transforms.Compose(
            [
                transforms.RandomCrop(32, padding=4, padding_mode="reflect"),
                transforms.RandomHorizontalFlip(),
                transforms.ToTensor(),
                transforms.Normalize((0.4914, 0.4822, 0.4465), (0.247, 0.2435, 0.2616)),
                transforms.RandomErasing(p=1.0, scale=(0.0625, 0.0625), ratio=(1.0, 1.0)),
            ]
        )

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Any, int]:
        from PIL import Image

        return self.transform(Image.fromarray(self.images[index])), int(self.labels[index])


def loader(widths: list[int], batch: int, rounds: int) -> None:
    arrays = random_arrays(2560)
    print("width  ours, images/s  DataLoader, images/s  ours/DataLoader")
    for width in widths:
        trainer = a_trainer(a_split(3200), batch, ModelConfig(width=width))
        network = build(ModelConfig(width=width), SHAPE, 10)
        plain = PlainDataset(arrays["train_images"], arrays["train_labels"])
        batches = torch.utils.data.DataLoader(plain, batch, shuffle=True, drop_last=True)
        optimizer = torch.optim.SGD(
            network.parameters(), lr=0.05, momentum=0.9, weight_decay=5e-4, nesterov=True
        )

        def usual(network=network, batches=batches, optimizer=optimizer) -> float:  # type: ignore
            total = 0.0
            for x, y in batches:
                optimizer.zero_grad()
                loss = F.cross_entropy(network(x), y)
                loss.backward()
                optimizer.step()
                total += loss.item()
            return total

        ours, theirs = [], []
        for _ in range(rounds):
            ours.append(2560 / cpu_seconds(lambda: trainer.epoch(0).item()))  # noqa: B023
            theirs.append(2560 / cpu_seconds(usual))
        ratios = [a / b for a, b in zip(ours, theirs, strict=True)]
        print(
            f"{width:5}  {statistics.median(ours):14.0f}  {statistics.median(theirs):20.0f}  "
            f"{spread(ratios, '.2f')}"
        )


def work(folder: str, width: int, batch: int, start: Any, results: Any) -> None:
    """A process: train on the shared file when told to; report images/s and memory."""
    set_up_device("cpu")
    data = datasets.split(datasets.load("random", folder), DataConfig())
    trainer = a_trainer(data, batch, ModelConfig(width=width))
    trainer.images.pixels.sum()  # touch every page
    batches = trainer.batches()
    trainer.step(batches.pop())
    start.wait()
    began, cpu = time.perf_counter(), time.process_time()
    steps = 0
    while time.perf_counter() - began < 5:
        trainer.step(batches.pop())
        steps += 1
    wall, cpu = time.perf_counter() - began, time.process_time() - cpu
    start.wait()  # all are still there, so that shared pages count as shared
    resident, proportional = memory_of(f"{folder}/random.npz")
    results.put((steps * batch / cpu, steps * batch / wall, resident, proportional))
    start.wait()


def memory_of(path: str) -> tuple[float, float]:
    """MB of a mapped file resident in this process, and its share of it (Linux only)."""
    resident = proportional = 0
    inside = False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        if "-" in line.split(" ")[0]:
            inside = line.endswith(path)
        elif inside and line.startswith("Rss:"):
            resident += int(line.split()[1])
        elif inside and line.startswith("Pss:"):
            proportional += int(line.split()[1])
    return resident / 1024, proportional / 1024


def processes(width: int, batch: int, rounds: int) -> None:
    spawn = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as folder:
        npz.write(Path(folder) / "random.npz", random_arrays(50_000))
        by_cpu: dict[int, list[float]] = {1: [], 2: []}
        by_wall: dict[int, list[float]] = {1: [], 2: []}
        for _ in range(rounds):
            for count in (1, 2):
                barrier, results = spawn.Barrier(count), spawn.Queue()
                arguments = (folder, width, batch, barrier, results)
                workers = [spawn.Process(target=work, args=arguments) for _ in range(count)]
                for worker in workers:
                    worker.start()
                found = [results.get() for _ in workers]
                for worker in workers:
                    worker.join()
                by_cpu[count].append(sum(rate for rate, *_ in found))
                by_wall[count].append(sum(rate for _, rate, *_ in found))
                memory = sum(proportional for *_, proportional in found)
            print(
                f"two processes see {found[0][2]:.0f} and {found[1][2]:.0f} MB of the data file, "
                f"which takes {memory:.0f} MB"
            )
    for clock, rates in (("CPU", by_cpu), ("wall", by_wall)):
        ratios = [two / one for one, two in zip(rates[1], rates[2], strict=True)]
        print(
            f"two processes, images/s by {clock} seconds: {spread(rates[2], '.0f')}, "
            f"over one: {spread(ratios, '.2f')}"
        )
