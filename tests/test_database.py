"""PostgreSQL as a storage, for real: addresses, versions, lost connections."""

from __future__ import annotations

import logging
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import optuna
import psycopg
import pytest
import sqlalchemy
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import TrialState

from hptoolkit import UserError, storage
from hptoolkit.cli.proxy import proxy
from hptoolkit.errors import StorageError
from hptoolkit.storage.rdb import Database
from tests.postgres import PASSWORD, Server


def test_an_unreachable_database_is_one_sentence_soon() -> None:
    began = time.monotonic()
    with pytest.raises(UserError) as raised:
        storage.connect("postgresql://me:secret@127.0.0.1:1/studies")
    assert "127.0.0.1" in str(raised.value)
    assert "secret" not in str(raised.value)
    assert "\n" not in str(raised.value)
    assert time.monotonic() - began < 15


def test_a_missing_driver_is_named_with_what_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for address, extra in (("postgresql://h/d", "postgresql"), ("mysql://h/d", "mysql")):
        driver = {"postgresql": "psycopg", "mysql": "pymysql"}[extra]
        monkeypatch.setitem(sys.modules, driver, None)
        with pytest.raises(UserError, match=rf"pip install 'hptoolkit\[{extra}\]'"):
            storage.connect(address)


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_another_version_or_program_is_refused_and_left_alone(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    if kind == "sqlite":
        address = f"sqlite:///{tmp_path / 'studies.db'}"
    else:
        address = request.getfixturevalue("postgres").url("versions")
    engine = sqlalchemy.create_engine(address.replace("postgresql:", "postgresql+psycopg:"))

    def execute(statement: str) -> None:
        with engine.begin() as connection:
            connection.execute(sqlalchemy.text(statement))

    storage.connect(address)
    execute("UPDATE alembic_version SET version_num = 'v99.0.0'")
    execute("DROP TABLE trial_heartbeats")
    with pytest.raises(UserError, match=r"newer version of Optuna \(schema v99.0.0"):
        storage.connect(address)
    assert "trial_heartbeats" not in sqlalchemy.inspect(engine).get_table_names()
    execute("UPDATE alembic_version SET version_num = 'v2.4.0.a'")
    with pytest.raises(UserError, match="older version of Optuna"):
        storage.connect(address)
    engine.dispose()


def test_another_programs_database_is_left_alone(postgres: Server) -> None:
    address = postgres.url("notes")
    with psycopg.connect(address) as connection:
        connection.execute("CREATE TABLE alembic_version (version_num text)")
        connection.execute("INSERT INTO alembic_version VALUES ('abc')")
    with pytest.raises(UserError, match="a database of something else"):
        storage.connect(address)
    with psycopg.connect(address) as connection:
        tables = connection.execute(
            "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'"
        ).fetchall()
    assert tables == [("alembic_version",)]


def test_workers_that_start_at_once_make_the_tables_once(postgres: Server) -> None:
    address, errors = postgres.url("fresh"), []

    def connect() -> None:
        try:
            storage.connect(address)
        except UserError as error:
            errors.append(error)

    threads = [threading.Thread(target=connect) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []


def test_a_restart_in_the_middle_is_survived_and_said_once(
    postgres: Server, caplog: pytest.LogCaptureFixture
) -> None:
    address = postgres.url("restarted")
    study = optuna.create_study(storage=storage.connect(address))
    trial = study.ask()
    postgres.stop()
    restart = threading.Timer(1.0, postgres.start)
    restart.start()
    with caplog.at_level(logging.WARNING, logger="hptoolkit.storage"):
        trial.suggest_float("x", 0.0, 1.0)
        study.tell(trial, 1.0)
    restart.join()
    assert study.trials[0].value == 1.0
    said = [r.getMessage() for r in caplog.records if r.name == "hptoolkit.storage"]
    assert len(said) == 1
    assert "127.0.0.1" in said[0]
    assert PASSWORD not in caplog.text
    assert "se-cret" not in caplog.text


def test_a_server_that_stays_away_ends_the_study_with_one_sentence(postgres: Server) -> None:
    database = Database(postgres.url("gone"), patience=0.5)
    study = optuna.create_study(storage=database)
    postgres.stop()
    try:
        with pytest.raises(StorageError, match="has not answered for") as raised:
            study.ask()
        assert "se-cret" not in str(raised.value)
    finally:
        postgres.start()


def test_a_server_that_was_given_up_is_not_waited_for_again_until_it_answers(
    postgres: Server,
) -> None:
    """A worker and its supervisor have several things to store before they end."""
    database = Database(postgres.url("given_up"), patience=4.0)
    study = optuna.create_study(storage=database)
    postgres.stop()
    try:
        began = time.monotonic()
        with pytest.raises(StorageError):
            study.set_user_attr("a", 1)
        first = time.monotonic() - began
        for _ in range(2):
            with pytest.raises(StorageError):
                study.set_user_attr("a", 1)
        assert time.monotonic() - began < 2 * first
    finally:
        postgres.start()
    study.set_user_attr("a", 2)
    postgres.stop()
    restart = threading.Timer(2.0, postgres.start)
    restart.start()
    study.set_user_attr("a", 3)
    restart.join()
    assert study.user_attrs == {"a": 3}


def test_a_database_that_fails_behind_the_proxy_is_one_sentence(postgres: Server) -> None:
    pytest.importorskip("grpc")
    from optuna.storages._grpc.server import make_server

    from hptoolkit.storage.grpc import Proxied

    server = make_server(Database(postgres.url("behind"), patience=0.5), "127.0.0.1", 13766)
    server.start()
    try:
        study = optuna.create_study(storage=Proxied("grpc://127.0.0.1:13766"))
        postgres.stop()
        try:
            with pytest.raises(StorageError, match="has not answered for") as raised:
                study.set_user_attr("a", 1)
        finally:
            postgres.start()
        assert "se-cret" not in str(raised.value)
    finally:
        server.stop(grace=None).wait()


def test_a_result_whose_acknowledgement_was_lost_is_there_once(
    postgres: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connection is lost after the database has committed, before it says so."""
    database = Database(postgres.url("forgetful"))
    dialect = database.engine.dialect
    commit, losing = dialect.do_commit, []

    def commit_and_lose(connection: Any) -> None:
        commit(connection)
        if losing:
            raise psycopg.OperationalError(losing.pop())

    monkeypatch.setattr(dialect, "do_commit", commit_and_lose)
    study = optuna.create_study(storage=database)
    trial = study.ask()
    losing.append("connection lost")
    trial.suggest_float("x", 0.0, 1.0)
    losing.append("connection lost")
    trial.set_user_attr("a", 1)
    losing.append("connection lost")
    study.tell(trial, 2.0)
    assert losing == []
    assert [(t.state, t.value) for t in study.trials] == [(TrialState.COMPLETE, 2.0)]
    # Another result is no repetition of this one.
    with pytest.raises(UpdateFinishedTrialError):
        study._storage.set_trial_state_values(trial._trial_id, TrialState.COMPLETE, [3.0])


@pytest.mark.slow
def test_workers_share_a_study_through_the_proxy(postgres: Server) -> None:
    pytest.importorskip("grpc")
    address = postgres.url("proxied")
    with pytest.raises(UserError, match="is no address of a storage proxy"):
        storage.connect("grpc://me:secret@host")
    process = subprocess.Popen(
        [sys.executable, "-m", "hptoolkit.proxy", "--storage", address, "--port", "13765"],
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith("Serving postgresql://me:***@127.0.0.1:")
        study = optuna.create_study(storage=storage.connect("grpc://127.0.0.1:13765"))
        study.optimize(lambda t: t.suggest_float("x", 0, 1), n_trials=3)
        direct = optuna.load_study(study_name=study.study_name, storage=storage.connect(address))
        assert [t.value for t in direct.trials] == [t.value for t in study.trials]
    finally:
        process.terminate()
        process.wait(timeout=30)


def test_a_proxy_says_where_it_cannot_listen(tmp_path: Path) -> None:
    pytest.importorskip("grpc")
    database = f"sqlite:///{tmp_path / 'studies.db'}"
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UserError, match=rf"at 127.0.0.1:{port} \(Address already in use\)"):
            proxy(database, "127.0.0.1", port)
    with pytest.raises(UserError, match=r"cannot listen at nowhere.invalid:13000 "):
        proxy(database, "nowhere.invalid", 13000)
