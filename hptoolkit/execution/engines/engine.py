"""What an engine does, and how many workers it is to place where."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from hptoolkit.errors import UserError, nearest
from hptoolkit.execution.worker import Ending, Listener

if TYPE_CHECKING:
    from optuna.study import Study
    from optuna.trial import FrozenTrial

    from hptoolkit.execution.job import Job

ENGINES = ("local", "ray")


@dataclass(frozen=True)
class Placement:
    """Workers as the command line places them.

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


class View(Listener, ABC):
    """Shows a study as its storage has it, whoever runs it."""

    @abstractmethod
    def look(self) -> list[FrozenTrial]:
        """Show what is new; the trials that have ended since the last look, in that order."""


class Engine(Protocol):
    """Runs trials until a study is over."""

    @property
    def notes(self) -> Sequence[str]:
        """What to know before it starts."""

    def owns(self, trial: FrozenTrial) -> bool:
        """Whether it ran a trial, which then is its own to log."""

    def run(self, job: Job, study: Study, view: View) -> Ending:
        """Run trials, show them by `view`, and say why it ended."""
