"""Who runs a study's trials: this process, several processes of this machine, or a Ray cluster."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from hptoolkit.attributes import OWNER
from hptoolkit.errors import UserError, nearest

if TYPE_CHECKING:
    from optuna.study import Study
    from optuna.trial import FrozenTrial, Trial

    from hptoolkit.progress import Progress
    from hptoolkit.runner import Ending
    from hptoolkit.view import View
    from hptoolkit.workers.job import Job

ENGINES = ("local", "ray")


@dataclass(frozen=True)
class Wanted:
    """What the command line asks for.

    Attributes:
        workers: How many; None for one, or for as many as a Ray cluster has room for.
        per_gpu: How many may share a GPU of this machine.
        device: As for `--device`.
        engine: One of `ENGINES`.
        ray_address: The cluster to join; None for the one that is found, or one of this machine.
        gpus_per_worker: The share of a GPU that Ray keeps for each.
    """

    workers: int | None
    per_gpu: int
    device: str
    engine: str
    ray_address: str | None
    gpus_per_worker: float | None

    def check(self) -> None:
        """Raise UserError for what cannot be meant."""
        if self.engine not in ENGINES:
            raise UserError(f"Unknown engine {self.engine!r}: {nearest(self.engine, ENGINES)}.")
        for option, given in (
            ("--ray-address", self.ray_address),
            ("--gpus-per-worker", self.gpus_per_worker),
        ):
            if given is not None and self.engine != "ray":
                raise UserError(f"{option} is for Ray: give --engine ray too, or leave it out.")

    @property
    def are_processes(self) -> bool:
        """Whether processes of this machine are asked for."""
        return self.engine == "local" and self.workers is not None and self.workers > 1


class Engine(Protocol):
    """Runs trials until a study is over."""

    @property
    def notes(self) -> Sequence[str]:
        """What to know before it starts."""

    def owns(self, trial: FrozenTrial) -> bool:
        """Whether it ran a trial, which then is its own to log."""

    def run(self, job: Job, study: Study, view: View) -> Ending:
        """Run trials, show them by `view`, and say why it ended."""


class Here:
    """An engine of one worker: this process."""

    notes = ()

    def __init__(self, device: str) -> None:
        self._device = device

    def owns(self, trial: FrozenTrial) -> bool:
        from hptoolkit.storage import owner

        return trial.user_attrs.get(OWNER) == owner()

    def run(self, job: Job, study: Study, view: View) -> Ending:
        from hptoolkit.runner import run

        objective = job.objective(self._device, view.progress.epoch_ended)
        listener = _Showing(view, view.progress)
        return run(study, objective, trials=job.defined.trials, listener=listener)


@dataclass
class _Showing:
    view: View
    progress: Progress

    def trial_began(self, trial: Trial) -> None:
        self.progress.trial_began(trial)

    def trial_ended(self, trial: FrozenTrial) -> None:
        self.view.look()


def engine(wanted: Wanted, address: str, say: Callable[[str], None]) -> Engine:
    """The engine asked for, for a study stored at `address`.

    `say` is called with a sentence about a worker that died. Raises UserError if there is no room
    for the workers, or no Ray.
    """
    if wanted.engine == "ray":
        from hptoolkit.workers.ray_cluster import RayCluster

        return RayCluster.join(wanted, address, say)
    if not wanted.are_processes:
        return Here(wanted.device)
    from hptoolkit.workers.places import crowding, places, visible_gpus
    from hptoolkit.workers.processes import Processes

    gpus = visible_gpus(wanted.device)
    workers = wanted.workers or 1
    note = crowding(workers, gpus)
    return Processes(places(workers, wanted.per_gpu, gpus), say, [note] if note else [])
