from __future__ import annotations

import threading
from pathlib import Path

import optuna

from hptoolkit.storage import connect
from hptoolkit.storage.identity import study_uid


def test_all_who_begin_a_study_at_once_give_it_one_identity(tmp_path: Path) -> None:
    address = str(tmp_path / "study.log")
    storages = [connect(address) for _ in range(4)]
    optuna.create_study(study_name="s", storage=storages[0])
    ready = threading.Barrier(4)
    found: list[str] = []

    def work(storage: optuna.storages.BaseStorage) -> None:
        study = optuna.load_study(study_name="s", storage=storage)
        ready.wait()
        found.append(study_uid(study))

    threads = [threading.Thread(target=work, args=(storage,)) for storage in storages]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    assert (
        len({*found, study_uid(optuna.load_study(study_name="s", storage=connect(address)))}) == 1
    )


def test_another_study_has_another() -> None:
    first, second = optuna.create_study(), optuna.create_study()
    assert study_uid(first) == study_uid(first) != study_uid(second)
    assert len(study_uid(first)) == 32


def test_in_a_database_the_earliest_proposal_counts(tmp_path: Path) -> None:
    storage = connect(f"sqlite:///{tmp_path}/study.db")
    study = optuna.create_study(storage=storage)
    study.set_user_attr("hptoolkit:uid:00000000000000000002:late", True)
    study.set_user_attr("hptoolkit:uid:00000000000000000001:early", True)
    assert study_uid(study) == "early"


def test_a_study_of_an_earlier_version_keeps_its_identity() -> None:
    study = optuna.create_study()
    study.set_user_attr("hptoolkit:uid", "0123")
    assert study_uid(study) == "0123"
