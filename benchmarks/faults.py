"""Faults done on purpose, with the counts of docs/faults.md.

    python -m benchmarks.faults [--storage file|postgresql] [--only FAULT]
        [--kills 100] [--torn 30] [--losses 10]

Prints a row for each fault and storage. Needs PostgreSQL's binaries for the second storage, and
root for the full disks. Takes about a quarter of an hour on two busy cores.
"""

from __future__ import annotations

import argparse
import functools
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import optuna

from tests import faults
from tests.postgres import Server

_TITLES = (
    "storage     fault                      n studies trials put_back lost double order surplus"
    "    time"
)


def _row(only: str | None, kind: str, fault: str, done: Callable[[], faults.Outcome]) -> None:
    if only not in (None, fault):
        return
    began = time.monotonic()
    try:
        outcome = done()
    except PermissionError as error:
        print(f"{kind:<11} {fault:<22} not done: {error}", flush=True)
        return
    seconds = time.monotonic() - began
    print(
        f"{kind:<11} {fault:<22} {outcome.faults:>5} {outcome.studies:>7} {outcome.trials:>6} "
        f"{outcome.put_back:>8} {outcome.lost:>4} {outcome.doubled:>6} "
        f"{outcome.out_of_sequence:>5} {outcome.surplus:>7} {seconds:>6.0f}s",
        flush=True,
    )
    for message in sorted(set(outcome.messages)):
        print(f"            {message}", flush=True)


def _full_disk(folder: Path) -> faults.Outcome:
    with faults.small_disk(folder / "disk", 1) as disk:
        return faults.fill_disk(str(disk / "studies.log"), disk)


def _full_database_disk() -> faults.Outcome:
    with faults.postgres_on_small_disk() as (server, folder):
        return faults.fill_disk(server.url("full"), folder)


def _on_file(folder: Path, options: argparse.Namespace) -> None:
    row = functools.partial(_row, options.only)

    def file(name: str) -> str:
        return str(folder / f"{name}.log")

    row("file", "killed", lambda: faults.kill_at_random(file("a"), options.kills, options.seed))
    row("file", "killed in a write", lambda: faults.kill_in_writes(file("b"), options.torn, 0))
    row("file", "a machine lost", lambda: faults.two_machines(file("c"), options.losses, 0))
    row("file", "disk full", lambda: _full_disk(folder))


def _on_postgresql(folder: Path, options: argparse.Namespace) -> None:
    server = Server(folder)
    kind, url = "postgresql", server.url
    row = functools.partial(_row, options.only)
    try:
        row(kind, "killed", lambda: faults.kill_at_random(url("a"), options.kills, options.seed))
        row(kind, "killed in a write", lambda: faults.kill_in_writes(url("b"), options.torn, 0))
        row(kind, "a machine lost", lambda: faults.two_machines(url("c"), options.losses, 0))
        row(
            kind,
            "restarted",
            lambda: faults.restart_database(url("d"), server.stop, server.start),
        )
        row(kind, "disk full", _full_database_disk)
    finally:
        server.stop()


def main() -> None:
    """Do all faults and print the counts."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--storage", choices=["file", "postgresql"])
    parser.add_argument("--only", help="killed, killed in a write, a machine lost, …")
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--torn", type=int, default=30)
    parser.add_argument("--losses", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    folder = Path(tempfile.mkdtemp(prefix="hptoolkit-faults-"))
    folder.chmod(0o755)  # PostgreSQL runs as another user
    print(_TITLES)
    try:
        if options.storage != "postgresql":
            _on_file(folder, options)
        if options.storage != "file":
            _on_postgresql(folder / "postgres", options)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
