from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState

from hptoolkit import UserError, storage
from hptoolkit.storage.journal_lock import JournalLock


def test_a_missing_file_is_made_only_when_connected(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "studies.log"
    storage.check(str(path))
    assert not path.parent.exists()
    storage.connect(str(path))
    assert path.exists()


@pytest.mark.parametrize(
    "content", [b"hello", b'{"a": 1}\n', b"\x00\xff" * 50, b"[1, 2]\n", b"7\n"]
)
def test_a_file_that_is_something_else_is_left_alone(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "notes.txt"
    path.write_bytes(content)
    with pytest.raises(UserError, match="not a file of studies"):
        storage.connect(str(path))
    assert path.read_bytes() == content


def test_a_folder_is_no_storage(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is a folder"):
        storage.check(str(tmp_path))


def test_a_file_below_a_file_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="No permission to write"):
        storage.check(str(tmp_path / "file" / "studies.log"))


def test_an_unreachable_database_hides_its_password() -> None:
    with pytest.raises(UserError) as raised:
        storage.connect("postgresql://me:secret@127.0.0.1:1/studies")
    assert "secret" not in str(raised.value)
    assert "127.0.0.1" in str(raised.value)


def test_names_of_continued_and_fresh_studies() -> None:
    names = ["digits-coord", "digits-coord-2", "digits-coord-10", "digits-coord-x", "digits-gp"]
    assert storage.latest("digits-coord", names) == "digits-coord-10"
    assert storage.fresh("digits-coord", names) == "digits-coord-11"
    assert storage.latest("other", names) is None
    assert storage.fresh("other", names) == "other"
    assert storage.fresh("digits-gp", names) == "digits-gp-2"


def test_a_journal_cut_short_by_a_killed_writer_is_still_read(tmp_path: Path) -> None:
    path = tmp_path / "studies.log"
    study = optuna.create_study(storage=storage.connect(str(path)), study_name="s")
    study.optimize(lambda t: t.suggest_float("x", 0, 1), n_trials=3)
    whole = path.read_bytes()
    assert all("op_code" in json.loads(line) for line in whole.splitlines())
    path.write_bytes(whole[:-20])
    again = optuna.load_study(study_name="s", storage=storage.connect(str(path)))
    assert sum(t.state == TrialState.COMPLETE for t in again.trials) == 2


def test_a_database_of_something_else_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "notes.db"
    with closing(sqlite3.connect(path)) as db:
        db.execute("create table notes (text)")
        db.commit()
    before = path.read_bytes()
    with pytest.raises(UserError, match="a database of something else"):
        storage.connect(f"sqlite:///{path}")
    assert path.read_bytes() == before
    study = optuna.create_study(storage=storage.connect(f"sqlite:///{tmp_path / 'new.db'}"))
    study.optimize(lambda t: t.suggest_float("x", 0, 1), n_trials=1)
    storage.check(f"sqlite:///{tmp_path / 'new.db'}")


def test_the_lock_of_a_killed_process_can_be_told_to_be_old(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Optuna breaks a lock whose file does not change for 30 s, if it can follow the link."""
    monkeypatch.chdir(tmp_path)
    storage.connect("studies/studies.log")
    with JournalLock("studies/studies.log"):
        assert (tmp_path / "studies" / "studies.log.lock").stat().st_mtime > 0
