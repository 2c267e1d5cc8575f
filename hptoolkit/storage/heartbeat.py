"""The thread of a worker that beats for its own trial and watches the others'."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from optuna.study import Study

from hptoolkit.storage.leases import Lease, Times, Watcher, renew


class Watch:
    """Beats for the trial that this worker runs, and puts back those whose owner has gone.

    Args:
        study: The study.
        on_lost: Called, in the thread, when the own trial has become somebody else's.
        times: See `Times`.
    """

    def __init__(self, study: Study, on_lost: Callable[[], None], times: Times) -> None:
        self._study = study
        self._on_lost = on_lost
        self._times = times
        self._watcher = Watcher(times)
        self._lock = threading.Lock()
        self._own: tuple[int, Lease] | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, name="leases", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        # Not waited for: it may be waiting for the storage.
        self._stop.set()

    def hold(self, trial_id: int, lease: Lease) -> None:
        """Beat for a trial from now on."""
        with self._lock:
            self._own = (trial_id, lease)

    def release(self) -> None:
        """Beat no longer."""
        with self._lock:
            self._own = None

    def _work(self) -> None:
        beat, beat_at = 0, time.monotonic() + self._times.beat
        look_at = time.monotonic()
        while not self._stop.wait(max(0.0, min(beat_at, look_at) - time.monotonic())):
            now = time.monotonic()
            # Whatever the storage raises: the worker itself will meet it, and say so.
            with contextlib.suppress(Exception):
                if now >= beat_at:
                    beat, beat_at = beat + 1, now + self._times.beat
                    self._beat(beat)
                if now >= look_at:
                    look_at = now + self._times.look
                    own = self._own
                    look_at = now + self._watcher.look(self._study, own[0] if own else None)

    def _beat(self, beat: int) -> None:
        own = self._own
        if own is None or renew(self._study, *own, beat):
            return
        with self._lock:
            if self._own != own:
                return  # it has ended meanwhile
            self._own = None
            self._on_lost()
