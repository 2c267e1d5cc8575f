"""Where the workers of a machine run: a GPU each in turn, or a core of the CPU."""

from __future__ import annotations

import os
from dataclasses import dataclass

from hptoolkit.errors import UserError


@dataclass(frozen=True)
class Place:
    """A worker's device.

    Attributes:
        gpu: Its GPU, counted among those that are visible; None for the CPU.
    """

    gpu: int | None = None

    @property
    def device(self) -> str:
        """As torch calls it, in a process that sees this GPU alone."""
        return "cpu" if self.gpu is None else "cuda"


def visible_gpus(device: str) -> list[int]:
    """The GPUs that a `--device` means; none for the CPU. Raises UserError for a wrong one."""
    if device == "cpu":
        return []
    import torch

    count = torch.cuda.device_count()
    if device in ("auto", "cuda"):
        if device == "cuda" and not count:
            raise UserError("device 'cuda' asked for, but torch sees no CUDA GPU: use cpu")
        return list(range(count))
    kind, _, index = device.partition(":")
    if kind != "cuda" or not index.isdecimal():
        raise UserError(f"unknown device {device!r}: expected auto, cpu, cuda or cuda:INDEX")
    if int(index) >= count:
        raise UserError(f"device {device!r} asked for, but {count} GPUs exist")
    return [int(index)]


def places(workers: int, per_gpu: int, gpus: list[int]) -> list[Place]:
    """Where each of the workers runs: the GPUs in turn, or the CPU if there is none.

    Raises UserError for more workers than the GPUs may hold.
    """
    if not gpus:
        return [Place()] * workers
    room = per_gpu * len(gpus)
    if workers > room:
        one = len(gpus) == 1
        raise UserError(
            f"--workers {workers} is more than {'the GPU holds' if one else 'the GPUs hold'}: "
            f"{len(gpus)} GPU{'' if one else 's'} with --per-gpu {per_gpu} take {room}. Give "
            f"--per-gpu {-(-workers // len(gpus))}, or fewer workers."
        )
    return [Place(gpus[i % len(gpus)]) for i in range(workers)]


def crowding(workers: int, gpus: list[int]) -> str | None:
    """What to know if there are more workers than cores to compute on; None if there are not."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    if gpus or not cores or workers <= cores:
        return None
    return f"{workers} workers share {cores} cores: more than one a core brings little."
