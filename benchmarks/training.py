"""How near is training to the limit of this machine?

    python benchmarks/training.py [peak] [where] [loader] [processes] [bookkeeping] [checkpoints]

peak         images/s, and the share of the machine's own float32 torch.mm rate, per width
where        what a step's time goes to, by the profiler
loader       against torchvision's transforms in a DataLoader, the loop that most people write
processes    two processes with one thread each, sharing one data file, against one
bookkeeping  evaluation, reports and the rest against the training steps of an epoch
checkpoints  writing one after an epoch
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
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch.utils.flop_counter import FlopCounterMode
from training_compared import loader, processes
from training_workload import a_split, a_step, a_trainer, cpu_seconds, random_arrays, spread

from hptoolkit.training import DataConfig, ModelConfig, TrainingConfig, set_up_device, train
from hptoolkit.training import data as datasets
from hptoolkit.training.checkpoint import Checkpoint

MATRICES = (512, 1024, 2048)


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


def bookkeeping(widths: list[int], batch: int, rounds: int) -> None:
    """At the default validation split, batches of training and validation images both full."""
    fraction = DataConfig().validation_fraction
    print(f"shares of the epoch, {fraction:.0%} of the images validate")
    print("width  evaluation             reports and the rest")
    for width in widths:
        images = 10 * batch * max(1, 40 // width)
        dataset = datasets.checked("random", random_arrays(images), "random")
        data = datasets.split(dataset, DataConfig())
        trainer = a_trainer(data, batch, ModelConfig(width=width))
        evaluation, rest = [], []
        for _ in range(rounds):
            training = cpu_seconds(lambda: trainer.epoch(0).item())  # noqa: B023
            evaluating = cpu_seconds(trainer.evaluate)
            reporting = cpu_seconds(trainer.norms)
            epoch = training + evaluating + reporting
            evaluation.append(evaluating / epoch)
            rest.append(reporting / epoch)
        print(f"{width:5}  {spread(evaluation, '.2%')}  {spread(rest, '.2%')}", flush=True)


def checkpoints(widths: list[int], batch: int, rounds: int) -> None:
    """Writing one by the wall clock; beside it an epoch of CIFAR-10's training split, by rate."""
    images = round(50_000 * (1 - DataConfig().validation_fraction))
    print(f"width  megabytes  milliseconds           share of an epoch of {images} images")
    for width in widths:
        trainer = a_trainer(a_split(1600), batch, ModelConfig(width=width))
        an_image = cpu_seconds(lambda: trainer.epoch(0).item()) / (trainer.steps_per_epoch * batch)  # noqa: B023
        seconds = []
        with tempfile.TemporaryDirectory() as folder:
            kept = Checkpoint(Path(folder) / "0.pt", "benchmark")
            for _ in range(rounds):
                start = time.perf_counter()
                kept.save(trainer, {})
                seconds.append(time.perf_counter() - start)
            megabytes = kept.path.stat().st_size / 1e6
        shares = [each / (an_image * images) for each in seconds]
        print(
            f"{width:5}  {megabytes:9.1f}  {spread([1000 * each for each in seconds], '.1f'):21}  "
            f"{spread(shares, '.3%')}"
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
    sections = ["peak", "where", "loader", "processes", "bookkeeping", "checkpoints"]
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("sections", nargs="*", metavar="SECTION", default=sections)
    parser.add_argument("--widths", type=int, nargs="+", default=[8, 16, 32, 64])
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--device", default="cpu")
    arguments = parser.parse_args()
    unknown = set(arguments.sections) - set(sections)
    if unknown:
        parser.error(f"unknown section {unknown.pop()!r}: valid are {', '.join(sections)}")
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
        "bookkeeping": lambda: bookkeeping(widths, batch, rounds),
        "checkpoints": lambda: checkpoints(widths, batch, rounds),
    }
    for section in arguments.sections:
        print(f"\n{section}")
        run[section]()


if __name__ == "__main__":
    main()
