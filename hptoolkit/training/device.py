"""Device policy, in this one place.

CPU: one thread a process, float32 unless told otherwise, channels_last, never compiled; run one
process a core. Two single-threaded processes train 1.9 times as much as one, one process with two
threads 1.5 times. CUDA: channels_last, autocast to bfloat16 where the GPU computes in it,
deterministic convolutions, on request compiled with CUDA graphs; several trials share a GPU as
several processes. (Nothing has been measured on CUDA yet.)
"""

from __future__ import annotations

import os
from contextlib import AbstractContextManager, nullcontext
from typing import cast

import torch
from torch import nn

from hptoolkit.errors import UserError


def set_up_device(device: str = "auto") -> torch.device:
    """The torch device for "cpu", "cuda", "cuda:1" or "auto" (CUDA where there is one).

    Sets this process's thread count to one on the CPU, and cuDNN to deterministic algorithms on
    CUDA. Raises UserError if there is no such device.
    """
    chosen = device
    if chosen == "auto":
        chosen = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        resolved = torch.device(chosen)
    except RuntimeError:
        resolved = None
    if resolved is None or resolved.type not in ("cpu", "cuda"):
        raise UserError(f"unknown device {device!r}: expected auto, cpu, cuda or cuda:INDEX")
    if resolved.type == "cpu":
        torch.set_num_threads(1)
        return resolved
    if not torch.cuda.is_available():
        raise UserError(f"device {device!r} asked for, but torch sees no CUDA GPU: use cpu")
    if (resolved.index or 0) >= torch.cuda.device_count():
        raise UserError(f"device {device!r} asked for, but {torch.cuda.device_count()} GPUs exist")
    torch.backends.cudnn.deterministic = True
    return resolved


def memory_of(device: torch.device) -> int | None:
    """A device's memory in bytes, all of it; None where the system does not tell."""
    if device.type == "cuda":
        return int(torch.cuda.get_device_properties(device).total_memory)
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):  # Windows
        return None


def autocast(device: torch.device, precision: str) -> AbstractContextManager[object]:
    """Run the network in the `precision` of a TrainingConfig.

    bfloat16 has float32's range, so no gradient scaling is needed.
    """
    native_on_gpu = device.type == "cuda" and torch.cuda.is_bf16_supported(
        including_emulation=False
    )
    if precision == "bfloat16" or (precision == "auto" and native_on_gpu):
        return torch.autocast(device.type, dtype=torch.bfloat16)
    return nullcontext()


def evaluation_batch(device: torch.device) -> int:
    """Images a batch without gradients: what fits a CPU's caches, what fills a GPU."""
    return 2048 if device.type == "cuda" else 128


def compiled(network: nn.Module, device: torch.device) -> nn.Module:
    """`network`, compiled with CUDA graphs. Raises UserError on the CPU: no gain, a minute lost."""
    if device.type != "cuda":
        raise UserError("compile needs device cuda: on the CPU it takes a minute and gains nothing")
    return cast(nn.Module, torch.compile(network, mode="reduce-overhead"))
