"""How near is training to the limit of this machine?

    python benchmarks/training.py [peak] [where] [loader] [processes] [bookkeeping]

peak         images/s, and the share of the machine's own float32 torch.mm rate, per width
where        what a step's time goes to, by the profiler
loader       against torchvision's transforms in a DataLoader, the loop that most people write
processes    two processes with one thread each, sharing one data file, against one
bookkeeping  evaluation, reports and the rest against the training steps of an epoch
(none: all of them; with --device cuda: time to 94 % on CIFAR-10 and images/s, needs the data)

On the CPU everything runs on one thread and is timed in the process's own CPU seconds, alternately
in rounds, so that a busy machine disturbs neither side much; medians, with the lowest and highest.
For `processes` wall seconds are shown too: they count where nothing else runs. The operations
counted are those of the convolutions and the linear layer, forward and backward, as PyTorch counts
them in one step. A share above 100 % means that oneDNN's convolutions suit this CPU better than
the library behind torch.mm does.
"""

from __future__ import annotations

import argparse
import multiprocessing
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from hptoolkit.training import DataConfig, ModelConfig, TrainingConfig, npz, set_up_device, train
from hptoolkit.training import data as datasets
from hptoolkit.training.model import build
from hptoolkit.training.seeds import Seeds
from hptoolkit.training.trainer import Trainer

CPU = torch.device("cpu")
SHAPE = (32, 32, 3)
MATRICES = (512, 1024, 2048)


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
    return Trainer(config, data, build(model, SHAPE, 10), Seeds.same(0), CPU)


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


def matrix_rate(size: int) -> float:
    """GFLOP/s of a float32 matrix product."""
    a, b = torch.randn(size, size), torch.randn(size, size)
    repetitions = max(1, round(1e10 / (2 * size**3)))
    return 2 * size**3 / cpu_seconds(lambda: torch.mm(a, b), repetitions) / 1e9


def peak(widths: list[int], batch: int, rounds: int) -> None:
    print(f"batch {batch}; beside each, torch.mm at the best of the sizes {MATRICES}")
    print("width  pooling      images/s  GFLOP/s  mm GFLOP/s  share of mm")
    for width in widths:
        steps = {
            "exact": a_step(ModelConfig(width=width), batch),
            "before norm": a_step(ModelConfig(width=width, pool_first=True), batch),
        }
        with FlopCounterMode(display=False) as counter:
            steps["exact"]()
        operations = counter.get_total_flops()
        repetitions = max(1, round(1e10 / operations))
        rates: dict[str, list[float]] = {name: [] for name in steps}
        peaks = []
        for _ in range(rounds):
            peaks.append(max(matrix_rate(size) for size in MATRICES))
            for name, step in steps.items():
                rates[name].append(operations / cpu_seconds(step, repetitions) / 1e9)
        for name in steps:
            shares = [rate / peak for rate, peak in zip(rates[name], peaks, strict=True)]
            rate = statistics.median(rates[name])
            print(
                f"{width:5}  {name:11}  {rate * 1e9 / operations * batch:8.0f}  {rate:7.1f}  "
                f"{statistics.median(peaks):10.1f}  {spread(shares, '.0%')}"
            )


def where(widths: list[int], batch: int) -> None:
    groups = {
        "convolution, backward": ("convolution_backward",),
        "convolution, forward": ("mkldnn_convolution",),
        "batch norm": ("batch_norm",),
        "pooling": ("max_pool", "aten::fill_", "aten::zero_"),
        "ReLU": ("threshold", "clamp_min", "relu"),
        "optimizer": ("Optimizer", "aten::add_", "aten::mul_"),
        "augmentation": ("index", "aten::where", "masked_fill", "bitwise", "random", "sub_"),
    }
    for width in widths:
        step = a_step(ModelConfig(width=width), batch)
        step()
        with torch.profiler.profile() as profiler:
            for _ in range(5):
                step()
        events = [(e.key, e.self_cpu_time_total) for e in profiler.key_averages()]
        total = sum(seconds for _, seconds in events)
        line, seen = [], 0.0
        for group, parts in groups.items():
            own = sum(s for key, s in events if any(part in key for part in parts))
            seen += own
            line.append(f"{group} {own / total:.0%}")
        print(f"width {width}: {', '.join(line)}, rest {1 - seen / total:.0%}")


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
        network: nn.Module = build(ModelConfig(width=width), SHAPE, 10)
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


def bookkeeping(widths: list[int], batch: int, rounds: int) -> None:
    print("width  validation share  evaluation  reports and the rest  (of the epoch)")
    for width in widths:
        for fraction in (0.2, 0.08):
            dataset = datasets.checked("random", random_arrays(6400), "random")
            data = datasets.split(dataset, DataConfig(validation_fraction=fraction))
            trainer = a_trainer(data, batch, ModelConfig(width=width))
            evaluation, rest = [], []
            for _ in range(rounds):
                training = cpu_seconds(lambda: trainer.epoch(0).item())  # noqa: B023
                evaluating = cpu_seconds(trainer.evaluate)
                reporting = cpu_seconds(trainer.norms)
                epoch = training + evaluating + reporting
                evaluation.append(evaluating / epoch)
                rest.append(reporting / epoch)
            print(
                f"{width:5}  {fraction:16.0%}  {spread(evaluation, '.1%')}  {spread(rest, '.2%')}"
            )


def cuda(device: str, rounds: int) -> None:
    """Page's run at width 64 on all training images, the test set looked at: time to 94 %."""
    set_up_device(device)
    dataset = datasets.load("cifar10")
    data = datasets.split_for_test(dataset, DataConfig(name="cifar10"))
    for compiled in (False, True):
        accuracies, seconds, rates = [], [], []
        for seed in range(rounds):
            result = train(TrainingConfig(), data, seed=seed, device=device, compiled=compiled)
            accuracies.append(result.validation_accuracy)
            rates.append(result.images_per_second)
            seconds.append(
                sum(e.seconds for e in result.history) if accuracies[-1] >= 0.94 else float("inf")
            )
        print(
            f"compiled {compiled}: accuracy {spread(accuracies, '.2%')}, seconds to 94 % "
            f"{spread(seconds, '.1f')}, images/s {spread(rates, '.0f')}, {rounds} runs on "
            f"{torch.cuda.get_device_name(device)}"
        )


def main() -> None:
    sections = ["peak", "where", "loader", "processes", "bookkeeping"]
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("sections", nargs="*", choices=sections, default=sections)
    parser.add_argument("--widths", type=int, nargs="+", default=[8, 16, 32, 64])
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--device", default="cpu")
    arguments = parser.parse_args()
    widths, batch, rounds = arguments.widths, arguments.batch, arguments.rounds
    set_up_device(arguments.device)
    print(f"torch {torch.__version__}, {rounds} rounds")
    if arguments.device != "cpu":
        cuda(arguments.device, rounds)
        return
    run: dict[str, Callable[[], None]] = {
        "peak": lambda: peak(widths, batch, rounds),
        "where": lambda: where(widths, batch),
        "loader": lambda: loader(widths[:1], batch, rounds),
        "processes": lambda: processes(widths[0], batch, rounds),
        "bookkeeping": lambda: bookkeeping(widths[:1], batch, rounds),
    }
    for section in arguments.sections:
        print(f"\n{section}")
        run[section]()


if __name__ == "__main__":
    main()
