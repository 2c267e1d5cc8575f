"""Who may append to a journal file: one process at a time, and none that has died.

Two locks are held, in this order. A `flock` on a file of this machine keeps the machine's processes
apart; the kernel takes it from a process that dies, so nobody waits for the dead. The symbolic link
that Optuna's backend takes for a lock keeps other machines and Optuna's own processes apart (its
dashboard writes notes). The link's target is the machine's flock file: whoever holds the flock and
finds a link to its own file knows that the link's owner is dead, and removes it at once. Links of
others that do not change are removed after half a minute, as Optuna does.
"""

from __future__ import annotations

import contextlib
import os
import time
import uuid
from types import TracebackType
from typing import Self

from optuna.storages.journal import JournalFileSymlinkLock

from hptoolkit.storage.machine import this_kernel

try:
    import fcntl
except ImportError:  # Windows: the link alone
    fcntl = None  # type: ignore[assignment]

# Seconds after which the link of another machine, or of Optuna's, is taken for a dead process's.
_GRACE = 30.0


class JournalLock(JournalFileSymlinkLock):
    """The lock of a journal file; a context manager."""

    def __init__(self, path: str) -> None:
        self._link = f"{path}.lock"
        self._flocked = f"{path}.lock-{this_kernel()[:8]}"
        self._flockable = fcntl is not None
        self._held: int | None = None

    def __enter__(self) -> Self:
        self.acquire()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.release()

    def acquire(self) -> bool:
        """Wait for the lock. Raises OSError if its files cannot be made."""
        descriptor = self._flock()
        try:
            self._make_link(exclusive=self._flockable)
        except BaseException:
            os.close(descriptor)
            raise
        self._held = descriptor
        return True

    def release(self) -> None:
        """Give the lock back."""
        descriptor, self._held = self._held, None
        if descriptor is not None:
            with contextlib.suppress(OSError):  # removed by one who took us for dead
                if os.readlink(self._link) == os.path.basename(self._flocked):
                    os.unlink(self._link)
            os.close(descriptor)

    def _flock(self) -> int:
        descriptor = os.open(self._flocked, os.O_CREAT | os.O_RDWR, 0o666)
        self._flockable = fcntl is not None
        try:
            if fcntl is not None:
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            # Optuna's processes look at the target's time to see that the lock changes hands.
            os.utime(self._flocked)
        except OSError:  # some network file systems have no flock
            self._flockable = False
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor

    def _make_link(self, exclusive: bool) -> None:
        target = os.path.basename(self._flocked)
        seen: tuple[int, int] | None = None
        since, pause = time.monotonic(), 0.001
        while True:
            with contextlib.suppress(FileExistsError):
                os.symlink(target, self._link)
                return
            try:
                status = os.lstat(self._link)
                ours = os.readlink(self._link) == target
            except OSError:
                continue  # released just now
            if seen != (status.st_ino, status.st_mtime_ns):
                seen, since = (status.st_ino, status.st_mtime_ns), time.monotonic()
            if (ours and exclusive) or time.monotonic() - since > _GRACE:
                self._remove()
                continue
            time.sleep(pause)
            pause = min(2 * pause, 0.1)

    def _remove(self) -> None:
        """Remove a dead process's link; by way of another name, so that two do it once."""
        aside = f"{self._link}{uuid.uuid4()}.rename"
        with contextlib.suppress(OSError):
            os.rename(self._link, aside)
            os.unlink(aside)
