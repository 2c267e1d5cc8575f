"""Faults done to workers and storages on purpose, and what is left of the study afterwards.

Used by tests/test_faults.py with few repetitions, and by benchmarks/faults.py with all of them.
Workers are processes of their own that call `execution.worker.run`; they are forked from a server
that has imported everything, so that the kills hit their work and not their imports.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import random
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, FloatDistribution
from optuna.trial import FrozenTrial, Trial, TrialState

import hptoolkit as hpt
from hptoolkit import storage
from hptoolkit.attributes import LOST
from hptoolkit.errors import UserError
from hptoolkit.execution import worker
from hptoolkit.storage import Lease, Times, leases
from hptoolkit.storage.journal import JournalFile
from tests.postgres import Server

SPACE: dict[str, BaseDistribution] = {
    "lr": FloatDistribution(1e-4, 10.0, log=True),
    "weight_decay": FloatDistribution(1e-6, 1e-1, log=True),
}
START = {"lr": 1e-3, "weight_decay": 1e-2}
TRIALS = 40

# Noticed sooner than in earnest, so that a fault takes seconds.
TIMES = Times(beat=0.5, look=0.1, expiry=3.0)

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload([__name__, "hptoolkit.storage.rdb", "alembic.script"])

Table = list[tuple[int, dict[str, Any], float | None]]


@dataclass
class Outcome:
    """What a fault did: how often, and to how many of the trials.

    Attributes:
        lost: Trials that had finished and are gone or have another value.
        doubled: Trials too many, numbers out of order, or points evaluated twice.
        out_of_sequence: Trials that differ from those of an undisturbed run.
        put_back: How often a trial was run again because its worker had gone.
        surplus: Trials beyond the budget, begun by two workers at once, that were not run.
    """

    faults: int = 0
    studies: int = 0
    trials: int = 0
    lost: int = 0
    doubled: int = 0
    out_of_sequence: int = 0
    put_back: int = 0
    surplus: int = 0
    messages: list[str] = field(default_factory=list)

    def add(self, study: optuna.Study, kind: str, seen: dict[int, float | None]) -> None:
        """Compare an ended study with what was seen finished, and with an undisturbed one."""
        stored = study.get_trials(deepcopy=False)
        ran = [t for t in stored if t.number < TRIALS or t.state != TrialState.WAITING]
        self.surplus += len(stored) - len(ran)
        now = [(t.number, t.params, t.value) for t in ran]
        expected = undisturbed(kind)
        values = {number: value for number, _, value in now}
        self.studies += 1
        self.trials += len(now)
        self.lost += sum(values.get(number, "gone") != value for number, value in seen.items())
        points = {tuple(params.items()) for _, params, _ in now}
        self.doubled += abs(len(now) - len(expected)) + len(now) - len(points)
        self.out_of_sequence += sum(a != b for a, b in zip(now, expected, strict=False))
        self.put_back += sum(len(t.system_attrs.get(LOST, ())) for t in stored)

    @property
    def harmless(self) -> bool:
        return not (self.lost or self.doubled or self.out_of_sequence)


def sampler(kind: str) -> hpt.samplers.CoordinateSampler:
    """A deterministic sampler with as many points as there are trials, or more."""
    coordinates = hpt.Coordinates("lr*weight_decay", "weight_decay")
    if kind == "grid":
        return hpt.GridSampler(coordinates, search_space=SPACE, levels=9, zooms=0)
    if kind == "random":
        return hpt.RandomSampler(coordinates, search_space=SPACE, seed=1)
    return hpt.CoordinateDescentSampler(coordinates, search_space=SPACE, start=START, refine=4)


def objective(trial: Trial, seconds: float = 0.02) -> float:
    """A smooth function with its maximum inside, whose evaluation takes a while."""
    lr = trial.suggest_float("lr", 1e-4, 10.0, log=True)
    decay = trial.suggest_float("weight_decay", 1e-6, 1e-1, log=True)
    time.sleep(seconds)
    return -((lr * decay * 2e4 - 1.0) ** 2) - (decay * 2e3 - 1.0) ** 2


@dataclass
class _Silent:
    def trial_began(self, trial: Trial) -> None:
        pass

    def trial_ended(self, trial: FrozenTrial) -> None:
        pass


def table(study: optuna.Study) -> Table:
    return [(t.number, t.params, t.value) for t in study.get_trials(deepcopy=False)]


def undisturbed(kind: str) -> Table:
    """What one worker makes of the study when nothing happens."""
    study = optuna.create_study(sampler=sampler(kind), direction="maximize")
    worker.run(study, lambda t: objective(t, 0.0), trials=TRIALS, listener=_Silent())
    return table(study)


def opened(address: str, name: str, kind: str) -> optuna.Study:
    return optuna.create_study(
        study_name=name, storage=storage.connect(address), sampler=sampler(kind),
        direction="maximize", load_if_exists=True,
    )  # fmt: skip


def work(address: str, name: str, kind: str, fate: Callable[[], None] | None, answer: Any) -> None:
    """What a worker does; its `fate` is prepared first. Answers with why it ended."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    if fate is not None:
        fate()
    try:
        study = opened(address, name, kind)
        storage.put_back_orphans(study)
        ending = worker.run(study, objective, trials=TRIALS, listener=_Silent(), times=TIMES)
        answer.send(ending.reason)
    except UserError as error:
        answer.send(f"Error: {error}")


@dataclass
class Worker:
    """A process that works at a study."""

    process: BaseProcess
    _answers: Any

    @classmethod
    def start(
        cls, address: str, name: str, kind: str, fate: Callable[[], None] | None = None
    ) -> Worker:
        answers, answer = _CONTEXT.Pipe(duplex=False)
        process = _CONTEXT.Process(target=work, args=(address, name, kind, fate, answer))
        process.start()
        answer.close()
        return cls(process, answers)

    def kill(self) -> None:
        if self.process.pid is not None:
            os.kill(self.process.pid, signal.SIGKILL)
        self.process.join()

    def reason(self, timeout: float = 120.0) -> str:
        """Why it has ended; "killed" if it was."""
        self.process.join(timeout)
        assert self.process.exitcode is not None, "a worker hangs"
        if self.process.exitcode == -signal.SIGKILL:
            return "killed"
        assert self.process.exitcode == 0, "a worker failed by itself"
        return str(self._answers.recv())


def finished(study: optuna.Study) -> dict[int, float | None]:
    return {t.number: t.value for t in study.get_trials(deepcopy=False) if t.state.is_finished()}


def _await(condition: Callable[[], bool], seconds: float = 120.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "nothing goes on"
        time.sleep(0.01)


def _await_trials(study: optuna.Study, count: int, workers: list[Worker]) -> None:
    """Wait until so many more trials have finished, or the workers have."""
    wanted = len(finished(study)) + count
    _await(lambda: len(finished(study)) >= wanted or not any(w.process.is_alive() for w in workers))


def kill_at_random(address: str, kills: int, seed: int) -> Outcome:
    """SIGKILL of a worker at random moments, in as many studies as that needs.

    Two workers share a grid or random search; coordinate descent, whose sequence depends on what is
    known when, has one.
    """
    outcome, chance = Outcome(), random.Random(seed)
    while outcome.faults < kills:
        kind = ("grid", "random", "coord")[outcome.studies % 3]
        name = f"killed-{outcome.studies}"
        study, seen = opened(address, name, kind), {}
        workers = [Worker.start(address, name, kind) for _ in range(1 if kind == "coord" else 2)]
        while any(w.process.is_alive() for w in workers):
            # Two more trials between two kills: no trial is hit three times in a row.
            _await_trials(study, 2, workers)
            time.sleep(chance.uniform(0.0, 0.15))
            seen |= finished(study)
            alive = [w for w in workers if w.process.is_alive()]
            if alive and outcome.faults < kills and len(seen) < TRIALS - 2:
                victim = chance.choice(alive)
                victim.kill()
                outcome.faults += 1
                workers[workers.index(victim)] = Worker.start(address, name, kind)
        outcome.add(study, kind, seen)
    return outcome


@dataclass
class DieInJournalWrite:
    """Fate: to be killed when half of the n-th record is in the file."""

    n: int

    def __call__(self) -> None:
        written = iter(range(1, self.n))
        whole = JournalFile._write

        def half(backend: JournalFile, descriptor: int, data: bytes) -> None:
            if next(written, None) is not None:
                whole(backend, descriptor, data)
                return
            os.write(descriptor, data[: len(data) // 2])
            os.kill(os.getpid(), signal.SIGKILL)

        JournalFile._write = half  # type: ignore[method-assign]


@dataclass
class DieInTransaction:
    """Fate: to be killed when the statements of the n-th transaction are sent, not committed."""

    n: int

    def __call__(self) -> None:
        import sqlalchemy.orm

        left = iter(range(1, self.n))

        @sqlalchemy.event.listens_for(sqlalchemy.orm.Session, "before_commit")
        def die(session: Any) -> None:
            if session.new or session.dirty:
                session.flush()
            if next(left, None) is None:
                os.kill(os.getpid(), signal.SIGKILL)


def kill_in_writes(address: str, kills: int, seed: int) -> Outcome:
    """SIGKILL in the middle of a write: half a record in the file, or an open transaction.

    One after the other, workers die in a write while another one works; a last one ends the study.
    """
    outcome, chance = Outcome(), random.Random(seed)
    fate = DieInTransaction if storage.is_url(address) else DieInJournalWrite
    while outcome.faults < kills:
        kind, name = ("grid", "random")[outcome.studies % 2], f"torn-{outcome.studies}"
        study, seen = opened(address, name, kind), {}
        other = Worker.start(address, name, kind)
        while other.process.is_alive() and outcome.faults < kills:
            # Past what opening the study writes.
            victim = Worker.start(address, name, kind, fate(chance.randint(8, 25)))
            if victim.reason() != "killed":
                break
            outcome.faults += 1
            seen |= finished(study)
        other.reason()
        seen |= finished(study)
        Worker.start(address, name, kind).reason()
        outcome.add(study, kind, seen)
    return outcome


def fill_disk(address: str, folder: Path) -> Outcome:
    """The disk of the storage is full in the middle of a study, then there is space again."""
    outcome, name = Outcome(), "full"
    study = opened(address, name, "grid")
    worker = Worker.start(address, name, "grid")
    _await(lambda: len(finished(study)) >= 5)
    ballast = folder / "ballast"
    with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(1024))
    outcome.faults += 1
    outcome.messages.append(worker.reason())
    seen = finished(study)
    ballast.unlink()
    Worker.start(address, name, "grid").reason()
    outcome.add(study, "grid", seen)
    return outcome


def restart_database(address: str, stop: Callable[[], None], start: Callable[[], None]) -> Outcome:
    """The database is stopped as by a crash in the middle of a study, and started again."""
    outcome, name = Outcome(), "restarted"
    study = opened(address, name, "random")
    workers = [Worker.start(address, name, "random") for _ in range(2)]
    for _ in range(2):
        _await_trials(study, 5, workers)
        seen = finished(study)
        stop()
        time.sleep(1.0)
        start()
        outcome.faults += 1
    outcome.messages = [worker.reason() for worker in workers]
    outcome.add(study, "random", seen)
    return outcome


@dataclass
class OnMachine:
    """Fate: to be on a machine of one's own, although its name and its pids are the other's."""

    name: str

    def __call__(self) -> None:
        leases.this_machine = lambda: self.name  # type: ignore[assignment]


def two_machines(address: str, losses: int, seed: int) -> Outcome:
    """Two machines with the same seed share a study; one is lost, and another takes its place."""
    outcome, chance, name = Outcome(), random.Random(seed), "machines"
    study, seen = opened(address, name, "random"), {}
    workers = [Worker.start(address, name, "random", OnMachine(n)) for n in "ab"]
    names = ["a", *(f"c{loss}" for loss in range(losses))]
    for loss in range(losses):
        _await(lambda on=names[loss]: _runs_on(study, on) or len(finished(study)) == TRIALS)  # type: ignore[misc]
        time.sleep(chance.uniform(0.0, 0.02))
        workers[0].kill()
        outcome.faults += 1
        seen |= finished(study)
        workers[0] = Worker.start(address, name, "random", OnMachine(names[loss + 1]))
    outcome.messages = [worker.reason() for worker in workers]
    outcome.add(study, "random", seen)
    return outcome


def _runs_on(study: optuna.Study, name: str) -> bool:
    running = study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
    return any(lease.machine == name for lease in map(Lease.read, running) if lease)


@contextlib.contextmanager
def small_disk(folder: Path, megabytes: float) -> Iterator[Path]:
    """A tmpfs of a few megabytes; raises PermissionError where it cannot be mounted."""
    folder.mkdir(parents=True, exist_ok=True)
    size = f"size={round(megabytes * 1024)}k"
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", size, "tmpfs", str(folder)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        raise PermissionError(done.stderr.strip())
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=False)


@contextlib.contextmanager
def postgres_on_small_disk() -> Iterator[tuple[Server, Path]]:
    """A PostgreSQL server on a small disk of its own, and the disk's folder."""
    folder = Path(tempfile.mkdtemp(prefix="hptoolkit-disk-"))
    try:
        with small_disk(folder, 160) as disk:
            disk.chmod(0o755)
            server = Server(disk / "postgres")
            try:
                yield server, disk
            finally:
                server.stop()
    finally:
        folder.rmdir()
