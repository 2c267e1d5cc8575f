"""Ctrl-C and SIGTERM while several workers run: noted by whoever started them, or held back."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager

from hptoolkit.execution.worker import Ending

SIGNALS = (signal.SIGINT, signal.SIGTERM)
_CAN_BLOCK = hasattr(signal, "pthread_sigmask")  # not on Windows


def interrupted(number: int) -> Ending:
    """The ending by a signal; its exit code is the shell's convention."""
    return Ending(f"interrupted by {signal.Signals(number).name}", 128 + number)


@contextmanager
def noted() -> Iterator[list[int]]:
    """The signals that have come, in order; nothing else happens when one comes."""
    received: list[int] = []
    before = [signal.signal(number, lambda n, frame: received.append(n)) for number in SIGNALS]
    try:
        yield received
    finally:
        for number, handler in zip(SIGNALS, before, strict=True):
            signal.signal(number, handler)


@contextmanager
def blocked() -> Iterator[None]:
    """Hold signals back, here until the end, in a process started now until it calls `ignore`."""
    if not _CAN_BLOCK:
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def ignore() -> None:
    """Ignore signals until something handles them."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    if _CAN_BLOCK:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
