"""Studies in a database: Optuna's tables, and patience with a server that restarts."""

from __future__ import annotations

import logging
import random
import time
from typing import Any

import sqlalchemy
from optuna.exceptions import StorageInternalError
from optuna.storages import RDBStorage
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import (
    DBAPIError,
    IntegrityError,
    OperationalError,
    PendingRollbackError,
    ProgrammingError,
)

from hptoolkit.errors import StorageError, UserError
from hptoolkit.optuna_internals import DATABASE_OPERATIONS
from hptoolkit.storage.retry import PATIENCE, patient
from hptoolkit.storage.urls import redact

# The driver taken where an address names none, and what installs it.
_DRIVERS = {"postgresql": "psycopg", "mysql": "pymysql"}

# Seconds to wait for a server when connecting, and when it stops answering.
_CONNECT_TIMEOUT = 10
_SILENCE = {
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 60_000,
}

# SQLSTATEs that trying again does not mend: full disk, wrong password, no such database.
_LASTING = ("53100", "28000", "28P01", "3D000")

_OPERATIONS = (
    "create_new_study", "delete_study", "set_study_user_attr", "set_study_system_attr",
    "get_study_id_from_name", "get_study_name_from_id", "get_study_directions",
    "get_study_user_attrs", "get_study_system_attrs", "get_all_studies", "get_trial_param",
    "set_trial_state_values", "set_trial_intermediate_value", "set_trial_user_attr",
    "set_trial_system_attr", "get_trial_id_from_study_id_trial_number", "get_trial",
    "get_trial_user_attrs", "get_trial_system_attrs", *DATABASE_OPERATIONS,
)  # fmt: skip


class Database(RDBStorage):
    """The storage at a database's URL.

    Every operation is tried again for `patience` seconds while the server cannot be reached. What
    was carried out although its answer was lost does no harm when it is done once more: attributes
    and parameters are the same, a trial that finished with the same values has finished, and a
    trial that was created twice is one more without an owner, which is put back.

    Raises:
        UserError: The driver is missing, or the database is another program's or another version's.
    """

    def __init__(self, address: str, patience: float = PATIENCE) -> None:
        self.shown = redact(address)
        self.patience = patience
        self.complained = False
        self.given_up = False
        url = _with_driver(address)
        options = _options(url)
        _check_tables(url, options, self.shown)
        for last in (False, False, False, False, True):
            try:
                super().__init__(url.render_as_string(hide_password=False), options)
                return
            except (IntegrityError, ProgrammingError, OperationalError):
                if last or url.get_backend_name() == "sqlite":
                    raise
                time.sleep(random.random())  # another worker creates the tables just now

    def is_transient(self, error: BaseException) -> bool:
        """Whether an error may pass by itself. Raises StorageError for a full disk."""
        cause = error.__cause__ if isinstance(error, StorageInternalError) else error
        if isinstance(cause, PendingRollbackError):
            return True  # Optuna has gone on with a session whose connection was lost
        if not isinstance(cause, DBAPIError):
            return False
        state = getattr(cause.orig, "sqlstate", None)
        full = state == "53100" or "disk is full" in str(cause.orig)
        if full:
            raise StorageError(
                f"The disk of the storage {self.shown} is full. Nothing that has finished is lost: "
                "free some space and run the same command again."
            ) from None
        if self.engine.name == "sqlite":
            return "locked" in str(cause.orig)
        lost = isinstance(cause, OperationalError | sqlalchemy.exc.InterfaceError)
        return (lost or cause.connection_invalidated) and state not in _LASTING


patient(Database, _OPERATIONS)

# When a connection is lost, Optuna logs the SQL and asks once more: here that is done anyway.
logging.getLogger(RDBStorage.__module__).addFilter(
    lambda record: not record.getMessage().startswith("Caught an error from sqlalchemy")
)


def _with_driver(address: str) -> URL:
    """The URL with the driver that hptoolkit is tested with, where it names none."""
    url = make_url(address.replace("postgres://", "postgresql://", 1))
    driver = _DRIVERS.get(url.drivername)
    if driver is None:
        return url
    try:
        __import__(driver)
    except ImportError as error:
        extra = url.drivername
        raise UserError(
            f"The storage {redact(address)} needs the package {driver}, which cannot be imported "
            f"({error}): install it by pip install 'hptoolkit[{extra}]'."
        ) from None
    return url.set(drivername=f"{url.drivername}+{driver}")


def _options(url: URL) -> dict[str, Any]:
    backend, driver = url.get_backend_name(), url.get_driver_name()
    if backend == "sqlite":
        return {}
    connect: dict[str, Any] = {}
    if backend == "mysql" or driver.startswith("psycopg"):
        connect["connect_timeout"] = _CONNECT_TIMEOUT
    if driver.startswith("psycopg"):
        connect |= _SILENCE
    given = {name: value for name, value in connect.items() if name not in url.query}
    return {"pool_pre_ping": True, "connect_args": given}


def _check_tables(url: URL, options: dict[str, Any], shown: str) -> None:
    """Refuse another program's tables, or another version's, before any is made."""
    engine = sqlalchemy.create_engine(url, **options)
    try:
        tables = set(sqlalchemy.inspect(engine).get_table_names())
        if "alembic_version" not in tables:
            return
        with engine.connect() as connection:
            versions = connection.execute(sqlalchemy.text("SELECT * FROM alembic_version"))
            version = str(versions.scalar() or "")
    finally:
        engine.dispose()
    if "studies" not in tables:
        raise UserError(
            f"The storage {shown} is a database of something else, without Optuna's tables: it was "
            "left as it is. Give another --storage."
        )
    if not version:
        return  # another worker makes the tables just now
    stored = RDBStorage(
        url.render_as_string(hide_password=False),
        options,
        skip_compatibility_check=True,
        skip_table_creation=True,
    )
    known = stored.get_all_versions()  # the newest first
    stored.engine.dispose()
    if version not in known:
        raise UserError(
            f"The storage {shown} was written by a newer version of Optuna (schema {version}, the "
            f"newest known here is {known[0]}): update Optuna by pip install -U optuna, or give "
            "another --storage."
        )
    if version != known[0]:
        raise UserError(
            f"The storage {shown} was written by an older version of Optuna (schema {version}): "
            "update it by optuna storage upgrade --storage URL, or give another --storage."
        )
