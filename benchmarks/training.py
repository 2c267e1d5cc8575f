"""How near is training to the limit of this machine? Prints a table; see --help.

    python benchmarks/training.py [--widths 8] [--rounds 7]

The limit is the machine's own float32 matrix product (torch.mm, 1024x1024x1024), on one thread like
the training. Both are timed in the process's own CPU seconds, in turn, so a busy machine disturbs
neither the seconds nor the ratio; medians over the rounds, with the lowest and highest share.
Counted are the convolutions' and the linear layer's multiplications and additions, forward and
backward, as PyTorch's own counter finds them in one step (no gradient is formed for the images).
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from hptoolkit.training import TrainingConfig, augment, data, optimizers, set_up_device
from hptoolkit.training.model import resnet

IMAGES = 2048
MATRIX = 1024


def cpu_seconds(work: Callable[[], object], repetitions: int) -> float:
    start = time.process_time()
    for _ in range(repetitions):
        work()
    return (time.process_time() - start) / repetitions


def step_of(width: int, batch: int) -> Callable[[], None]:
    """One training step as the loop does it: batch from uint8, forward, backward, update."""
    pixels = torch.randint(0, 256, (IMAGES, 32, 32, 3), dtype=torch.uint8).numpy()
    labels = torch.randint(0, 10, (IMAGES,)).numpy()
    subset = data.Subset(pixels, labels, torch.arange(IMAGES).numpy())
    config = TrainingConfig(batch_size=batch, lr=0.1)
    images = augment.to_device(subset, torch.device("cpu"))
    norm, how = augment.normalization(images), augment.augmentation(config, images)
    network = resnet(width, 3, 32, 10).to(memory_format=torch.channels_last)
    optimizer = optimizers.build(config, network.parameters())
    generator = torch.Generator().manual_seed(0)

    def step() -> None:
        chosen = torch.randint(IMAGES, (batch,), generator=generator)
        x = augment.augmented_batch(images, norm, chosen, how, generator)
        optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(F.cross_entropy(network(x), images.labels[chosen]))
        optimizer.step()

    return step


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--widths", type=int, nargs="+", default=[8])
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=7)
    arguments = parser.parse_args()
    set_up_device("cpu")
    a, b = torch.randn(MATRIX, MATRIX), torch.randn(MATRIX, MATRIX)
    print(
        f"torch {torch.__version__}, 1 thread, batch {arguments.batch}, {arguments.rounds} rounds"
    )
    print("width  images/s  GFLOP/s  mm GFLOP/s  share of mm (lowest .. highest)")
    for width in arguments.widths:
        step = step_of(width, arguments.batch)
        with FlopCounterMode(display=False) as counter:
            step()
        operations = counter.get_total_flops()
        repetitions = max(1, round(1e10 / operations))
        rates, peaks = [], []
        for _ in range(arguments.rounds):
            peaks.append(2 * MATRIX**3 / cpu_seconds(lambda: torch.mm(a, b), 20) / 1e9)
            rates.append(operations / cpu_seconds(step, repetitions) / 1e9)
        shares = [rate / peak for rate, peak in zip(rates, peaks, strict=True)]
        rate, peak = statistics.median(rates), statistics.median(peaks)
        print(
            f"{width:5}  {rate * 1e9 / operations * arguments.batch:8.0f}  {rate:7.1f}  "
            f"{peak:10.1f}  {statistics.median(shares):.0%} "
            f"({min(shares):.0%} .. {max(shares):.0%})"
        )


if __name__ == "__main__":
    main()
