"""Ctrl-C and SIGTERM: they interrupt training, never the storage's work.

A worker turns them into KeyboardInterrupt while it trains (`Interrupts`). Whoever started several
workers notes them, or holds them back (`noted`, `blocked`).
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any, Self

SIGNALS = (signal.SIGINT, signal.SIGTERM)
_CAN_BLOCK = hasattr(signal, "pthread_sigmask")  # not on Windows


class Abandoned(KeyboardInterrupt):
    """Raised in an objective whose trial has become somebody else's."""


class Interrupts:
    """Turns signals into KeyboardInterrupt, but never in the middle of asking or telling.

    A context manager. Outside the main thread, where Python handles no signals, it does nothing.
    """

    def __init__(self) -> None:
        self.received: int | None = None  # the last signal that has come
        self._allowed = False
        self._abandoning = False
        self._before: list[Any] = []
        self._main = threading.current_thread() is threading.main_thread()

    def __enter__(self) -> Self:
        if self._main:
            self._before = [signal.signal(kind, self._handle) for kind in SIGNALS]
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for number, handler in zip(SIGNALS, self._before, strict=False):
            signal.signal(number, handler)

    def was_interrupted(self) -> None:
        """Note a KeyboardInterrupt: a library that handles signals itself may have raised it."""
        self.received = self.received or signal.SIGINT

    def abandon(self) -> None:
        """Raise Abandoned in the objective, if it runs; to be called from another thread."""
        if self._main and self._allowed:
            self._abandoning = True
            if hasattr(signal, "pthread_kill"):  # which wakes it, too
                signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
            else:
                signal.raise_signal(signal.SIGINT)

    @contextmanager
    def allowed(self) -> Iterator[None]:
        """Raise KeyboardInterrupt for a signal that comes, or that has come already."""
        if self.received is not None:
            raise KeyboardInterrupt
        self._abandoning = False
        self._allowed = True
        try:
            yield
        finally:
            self._allowed = False

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self._abandoning:
            self._abandoning = False
            if self._allowed:
                raise Abandoned
            return
        self.received = number
        if self._allowed:
            raise KeyboardInterrupt


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
