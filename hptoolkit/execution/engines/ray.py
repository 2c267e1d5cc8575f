"""Workers as tasks on a Ray cluster: Ray places them, and starts them again when a node dies.

A task that Ray starts again joins the study like any other worker: the storage, not Ray, knows
what is left to do. The storage must be reachable from every node.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hptoolkit.errors import UserError, first_line
from hptoolkit.execution.job import Job, work
from hptoolkit.execution.signals import noted
from hptoolkit.execution.worker import Ending, interrupted, why_over
from hptoolkit.storage import is_url
from hptoolkit.storage.urls import absolute, database_file, scrub

if TYPE_CHECKING:
    from optuna.study import Study
    from optuna.trial import FrozenTrial

    from hptoolkit.execution.engines.engine import Placement, View

POLL_SECONDS = 0.5
# How often Ray starts a worker again after a process or a node has died.
RETRIES = 20
# How long workers that were told to end may take to put their trials back.
_GRACE_SECONDS = 20.0
_REACH_SECONDS = 10.0


@dataclass(frozen=True)
class RayCluster:
    """An engine: tasks on the cluster that this process has joined.

    Attributes:
        workers: How many tasks.
        gpus: The share of a GPU that each of them needs, 0 for the CPU.
        notes: What to know before they start.
        say: Called with a sentence about workers that died.
    """

    workers: int
    gpus: float
    notes: Sequence[str]
    say: Callable[[str], None]

    @classmethod
    def join(cls, placement: Placement, address: str, say: Callable[[str], None]) -> RayCluster:
        """Join a cluster, or begin one on this machine. Raises UserError if that cannot be done."""
        ray = _imported()
        _check_reachable(placement.ray_address)
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        try:
            ray.init(
                address=placement.ray_address,
                include_dashboard=False,
                log_to_driver=False,
                logging_level="ERROR",
            )
        except (ConnectionError, RuntimeError, ValueError) as error:
            raise _unreachable(placement.ray_address or "(none named)", error) from None
        resources = ray.cluster_resources()
        gpus = _share(placement, resources.get("GPU", 0.0))
        room = resources["GPU"] / gpus if gpus else resources.get("CPU", 1.0)
        workers = placement.workers or max(int(room), 1)
        nodes = sum(node["Alive"] for node in ray.nodes())
        notes = [
            f"Ray: {workers} workers on {nodes} node{'' if nodes == 1 else 's'}, each on "
            f"{f'{gpus:g} of a GPU' if gpus else 'one CPU core'}."
        ]
        if workers > room:
            notes.append(f"The cluster has room for {int(room)} of them now, the others wait.")
        if nodes > 1 and (not is_url(address) or database_file(address)):
            notes.append(
                f"The storage {address} is a file: each of the {nodes} nodes must see it at the "
                "same path, otherwise give a database by --storage postgresql://…"
            )
        return cls(workers, gpus, notes, say)

    def owns(self, trial: FrozenTrial) -> bool:
        """Whether one of the workers ran a trial: taken for granted, they may be anywhere."""
        return True

    def run(self, job: Job, study: Study, view: View) -> Ending:
        """Run the workers until the study is over. Raises UserError if one meets bad input."""
        import ray

        sent = replace(job, address=_absolute(job.address))
        device = "cuda" if self.gpus else "cpu"
        task = ray.remote(
            num_cpus=1, num_gpus=self.gpus, max_retries=RETRIES, retry_exceptions=False
        )(_task)
        with noted() as received:
            tasks = [task.remote(sent, device, str(Path.cwd())) for _ in range(self.workers)]
            try:
                return self._supervise(tasks, job, study, view, received)
            finally:
                _stop(tasks, view)
                view.look()
                ray.shutdown()

    def _supervise(
        self, tasks: list[Any], job: Job, study: Study, view: View, received: list[int]
    ) -> Ending:
        import ray

        from hptoolkit.storage import put_back_orphans

        ending = Ending("all workers have ended")
        pending = list(tasks)
        while pending:
            done, pending = ray.wait(pending, timeout=POLL_SECONDS)
            view.look()
            if received:
                return interrupted(received[0])
            if back := put_back_orphans(study):
                self.say(f"A worker has gone: run {', '.join(map(str, back))} is put back.")
            for reference in done:
                ending = _result(reference, job.address)
                if ending.exit_code == 1 or ending.for_all:
                    return ending
        return why_over(study, job.trials) or ending


def _task(job: Job, device: str, folder: str) -> Ending:
    """A worker on some node, in the folder of the command if the node has it."""
    if Path(folder).is_dir():
        os.chdir(folder)
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    return work(job, device)


def _result(reference: Any, address: str) -> Ending:
    """How a worker ended; an error in one line, without the password of the storage."""
    import ray

    try:
        ending: Ending = ray.get(reference)
    except ray.exceptions.RayTaskError as error:
        if isinstance(error.cause, UserError):
            raise error.cause from None
        line = scrub(first_line(error.cause), address)
        return Ending(f"a worker failed ({type(error.cause).__name__}: {line})", 1)
    except ray.exceptions.RayError as error:
        return Ending(f"Ray gave a worker up ({type(error).__name__})", 1)
    return ending


def _stop(tasks: list[Any], view: View) -> None:
    """Interrupt what still runs, so that trials are put back; after a while kill it."""
    import ray

    deadline = time.monotonic() + _GRACE_SECONDS
    _, running = ray.wait(tasks, num_returns=len(tasks), timeout=0)
    for reference in running:
        ray.cancel(reference, force=False)
    while running and time.monotonic() < deadline:
        _, running = ray.wait(running, timeout=POLL_SECONDS)
        view.look()
    for reference in running:
        ray.cancel(reference, force=True)


def _check_reachable(address: str | None) -> None:
    """Raise UserError at once if nothing listens at HOST:PORT: Ray itself would try for minutes."""
    host, _, port = (address or "").removeprefix("ray://").rpartition(":")
    if not host or not port.isdecimal():
        return  # "auto", "local" or none
    try:
        socket.create_connection((host, int(port)), timeout=_REACH_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise _unreachable(f"{host}:{port}", error) from None


def _unreachable(address: str, error: Exception) -> UserError:
    reason = first_line(error)
    return UserError(f"The Ray cluster {address} cannot be joined ({reason}): check --ray-address.")


def _share(placement: Placement, available: float) -> float:
    """How much of a GPU a worker gets. Raises UserError if there is none, or no such share."""
    share = placement.gpus_per_worker
    if share is None:
        return 1.0 if available and placement.device != "cpu" else 0.0
    if share > 1 and share != int(share):
        raise UserError(f"--gpus-per-worker {share:g}: a share below 1, or a whole number of GPUs.")
    if share > available:
        raise UserError(
            f"--gpus-per-worker {share:g}, but the Ray cluster has {available:g} GPUs: leave the "
            "option out to run on CPU cores."
        )
    return share


def _absolute(address: str) -> str:
    """The address as another process, in another folder, finds it."""
    return absolute(address) if is_url(address) else str(Path(address).absolute())


def _imported() -> Any:
    try:
        import ray
    except ImportError:
        raise UserError(
            "--engine ray needs Ray, which is not installed: pip install 'hptoolkit[ray]'"
        ) from None
    return ray
