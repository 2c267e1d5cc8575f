"""Which machine and process this is, so that others can tell whether it still runs."""

from __future__ import annotations

import functools
import hashlib
import os
import platform
import socket
import sys
import uuid
from pathlib import Path

_PROC = Path("/proc")


@functools.cache
def this_machine() -> str:
    """What tells this machine, and on Linux this boot and container, from all others.

    Equal host names do not matter. Processes of the same machine see each other by their pid.
    """
    parts = [socket.gethostname(), *boot()]
    try:
        parts.append(os.readlink(_PROC / "self/ns/pid"))
    except OSError:
        parts.append(platform.system())
    return _digest(parts)


@functools.cache
def this_kernel() -> str:
    """What tells the running kernel from all others: containers of a machine share one."""
    return _digest([socket.gethostname(), *boot()])


def boot() -> list[str]:
    """Identities of the machine and of its boot; where there are none, of its network card."""
    found = []
    for path in (_PROC / "sys/kernel/random/boot_id", Path("/etc/machine-id")):
        try:
            found.append(path.read_text().strip())
        except OSError:
            continue
    return found or [f"{uuid.getnode():x}"]


def started(pid: int) -> str | None:
    """When a process of this machine was started, in its kernel's units; None if unknown.

    Together with the pid this names a process for ever: pids are used again.
    """
    fields = _stat(pid)
    return fields[19] if fields else None


def is_gone(pid: int, start: str | None) -> bool:
    """Whether a process of this machine has ended; False where that cannot be told."""
    if sys.platform == "win32":
        return False  # there, os.kill(pid, 0) ends the process
    fields = _stat(pid)
    if fields:
        return fields[0] in "ZX" or (start is not None and fields[19] != start)
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False
    return False


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat from the process's state on; [] if there are none."""
    try:
        # The command's name, in parentheses, may hold blanks and parentheses.
        return (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def _digest(parts: list[str]) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]
