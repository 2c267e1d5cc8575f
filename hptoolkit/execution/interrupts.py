"""Signals during a study: Ctrl-C and SIGTERM interrupt training, never the storage's work."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any, Self

_KINDS = (signal.SIGINT, signal.SIGTERM)


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
            self._before = [signal.signal(kind, self._handle) for kind in _KINDS]
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for number, handler in zip(_KINDS, self._before, strict=False):
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
