"""The journal file: half lines, full disks, and the locks of the dead."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from pathlib import Path

import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileSymlinkLock
from optuna.trial import TrialState

from hptoolkit import UserError, storage
from hptoolkit.errors import StorageError
from hptoolkit.storage.journal import JournalFile
from hptoolkit.storage.journal_lock import JournalLock


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "studies.log"


def _study(path: Path, trials: int = 2) -> optuna.Study:
    study = optuna.create_study(
        storage=storage.connect(str(path)), study_name="s", load_if_exists=True
    )
    study.optimize(lambda t: t.suggest_float("x", 0, 1), n_trials=trials)
    return study


def _values(path: Path, by_optuna: bool = False) -> list[float | None]:
    kept = JournalStorage(JournalFileBackend(str(path))) if by_optuna else None
    study = optuna.load_study(study_name="s", storage=kept or storage.connect(str(path)))
    return [t.value for t in study.trials]


@pytest.mark.parametrize("half", [b'{"op_code":9,"worker_id":"x","tri', b"{", b"\0" * 70_000])
def test_half_a_line_is_cut_off_by_the_next_writer_and_seen_by_no_reader(
    path: Path, half: bytes
) -> None:
    study = _study(path)
    before = [t.value for t in study.trials]
    with path.open("ab") as file:  # what a killed writer leaves
        file.write(half)
    assert [t.value for t in study.trials] == before  # a reader that has read the rest already
    assert _values(path) == before
    late = optuna.load_study(study_name="s", storage=storage.connect(str(path)))
    more = _study(path, 1)
    assert [t.value for t in study.trials] == [t.value for t in more.trials] == _values(path)
    assert [t.value for t in late.trials] == _values(path, by_optuna=True)
    assert len(more.trials) == 3
    assert all("op_code" in json.loads(line) for line in path.read_bytes().splitlines())


def test_half_a_first_line_is_no_obstacle(path: Path) -> None:
    path.write_bytes(b'{"op_code":0,"work')
    _study(path)
    assert len(_values(path)) == 2


def test_a_line_that_cannot_be_written_is_taken_back(path: Path) -> None:
    resource = pytest.importorskip("resource")
    study = _study(path)
    before = path.read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 30, hard))
    try:
        with pytest.raises(StorageError, match=r"cannot be used \(File too large\)"):
            study.set_user_attr("a", "x" * 100)
        assert path.read_bytes() == before
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    study.set_user_attr("a", "x" * 100)
    assert _values(path, by_optuna=True) == [t.value for t in study.trials]


def test_the_lock_of_a_dead_process_of_this_machine_is_broken_at_once(path: Path) -> None:
    study = _study(path)
    killed = os.fork()
    if killed == 0:
        JournalLock(str(path)).acquire()
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(killed, 0)
    # Optuna's processes look at the target's time while they wait.
    assert os.stat(f"{path}.lock").st_size == 0
    assert os.path.lexists(f"{path}.lock")
    began = time.monotonic()
    study.set_user_attr("a", 1)
    assert time.monotonic() - began < 10
    assert not os.path.lexists(f"{path}.lock")


def test_a_lock_that_is_held_is_respected_optunas_too(path: Path) -> None:
    study = _study(path)
    for lock in (JournalLock(str(path)), JournalFileSymlinkLock(str(path))):
        lock.acquire()
        writer = threading.Thread(target=study.set_user_attr, args=("a", 1))
        size = path.stat().st_size
        writer.start()
        time.sleep(0.3)
        assert path.stat().st_size == size
        lock.release()
        writer.join()
        assert path.stat().st_size > size


def test_optuna_waits_for_our_lock(path: Path) -> None:
    _study(path)
    theirs = optuna.load_study(
        study_name="s", storage=JournalStorage(JournalFileBackend(str(path)))
    )
    lock = JournalLock(str(path))
    with lock:
        writer = threading.Thread(target=theirs.set_user_attr, args=("a", 1))
        size = path.stat().st_size
        writer.start()
        time.sleep(0.3)
        assert path.stat().st_size == size
    writer.join()
    assert path.stat().st_size > size


def test_a_record_of_a_newer_version_is_one_sentence(path: Path) -> None:
    _study(path)
    JournalFile(str(path)).append_logs([{"op_code": 99, "worker_id": "x"}])
    before = path.read_bytes()
    with pytest.raises(UserError, match=r"newer version of Optuna \(operation 99 in line"):
        storage.connect(str(path))
    assert path.read_bytes() == before


def test_a_damaged_line_is_named(path: Path) -> None:
    _study(path)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:3], b'{"op_code"{"op_code":4}\n', *lines[3:]]))
    with pytest.raises(StorageError, match="damaged in line 4; the lines before are whole"):
        storage.connect(str(path))


def test_a_file_that_was_cut_meanwhile_is_noticed(path: Path) -> None:
    study = _study(path)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(StorageError, match="is shorter than it was"):
        _ = study.trials


def test_appended_whole_by_many_threads(path: Path) -> None:
    _study(path, 0)
    studies = [
        optuna.load_study(study_name="s", storage=storage.connect(str(path))) for _ in range(4)
    ]
    threads = [
        threading.Thread(target=s.optimize, args=(lambda t: t.suggest_float("x", 0, 1), 5))
        for s in studies
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    trials = optuna.load_study(study_name="s", storage=storage.connect(str(path))).trials
    assert [t.number for t in trials] == list(range(20))
    assert {t.state for t in trials} == {TrialState.COMPLETE}
