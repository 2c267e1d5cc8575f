"""Where runs are kept: an MLflow store's address, a client of it, and the experiment in it."""

from __future__ import annotations

import logging
import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from hptoolkit.errors import UserError, first_line, nearest, program
from hptoolkit.storage.urls import database_file, redact, scheme, scrub
from hptoolkit.tracking.database import make_database

if TYPE_CHECKING:
    from mlflow import MlflowClient

DEFAULT_URI = "sqlite:///mlruns/mlflow.db"

_SERVERS = ("http", "https", "databricks")
_DATABASES = ("sqlite", "postgresql", "mysql", "mssql")

# Read when MLflow is imported or first asks; a user's own settings stand.
_SETTINGS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "GIT_PYTHON_REFRESH": "quiet",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    # By default a server that is down is asked for some minutes, the trials queueing behind.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
}


class UnusableStoreError(RuntimeError):
    """A person has to act before the store can be written; the text says how."""


def check_uri(uri: str | None) -> str:
    """The tracking URI to use: `uri`, or the default file under `mlruns/` for None.

    Raises:
        UserError: MLflow keeps no runs at such an address (a plain folder, for instance).
    """
    if uri is None:
        return DEFAULT_URI
    kind = scheme(uri)
    if kind not in _SERVERS + _DATABASES or (kind == "sqlite" and database_file(uri) is None):
        hint = nearest(kind, _SERVERS + _DATABASES)
        raise UserError(
            f"{redact(uri)!r} is not the address of an MLflow store: expected a server such as "
            f"http://host:5000 or a database such as {DEFAULT_URI}; {hint}."
        )
    return uri


def ui_command(uri: str | None = None) -> str:
    """What shows the runs: the command to type, or a server's address to open (no credentials)."""
    uri = check_uri(uri)
    if _is_database(uri):
        return f"mlflow ui --backend-store-uri {shlex.quote(redact(uri))}"
    return redact(uri)


def why(error: object, uri: str) -> str:
    """What keeps a store from being written, in a line without the address's credentials."""
    longest = None if isinstance(error, UnusableStoreError) else 200
    return scrub(first_line(error), uri)[:longest]


def connect(uri: str) -> MlflowClient:
    """A client of a store. Imports MLflow; raises at once if a database cannot be written.

    A database in a file is made if need be, and made anew if its making was cut short.

    Raises:
        UnusableStoreError: A database belongs to another version of MLflow.
    """
    for name, value in _SETTINGS.items():
        os.environ.setdefault(name, value)
    from mlflow import MlflowClient

    # A problem reaches the user as one sentence; the rest is chatter.
    for logger in ("mlflow.store", "mlflow.tracking", "alembic", "urllib3.connectionpool"):
        logging.getLogger(logger).setLevel(logging.CRITICAL)
    if _is_database(uri):
        file = database_file(uri)
        if file is not None:
            make_database(file)
        _try_database(uri, file)
    try:
        return MlflowClient(tracking_uri=uri)
    except Exception as error:  # whatever MLflow raises of a database's tables
        if "out-of-date database schema" not in str(error):
            raise
        raise UnusableStoreError(
            "the database is of another version of MLflow: back it up, then "
            f"`{program('mlflow')} db upgrade {shlex.quote(redact(uri))}` brings it to this one"
        ) from error


def experiment_id(client: MlflowClient, uri: str, name: str) -> str:
    """The id of the experiment, made if need be; artifacts of a local store stand beside it.

    Raises:
        UnusableStoreError: It has been deleted. It is not for us to bring back its other runs, and
            MLflow keeps its name.
    """
    from mlflow.exceptions import MlflowException

    found = client.get_experiment_by_name(name)
    if found is None:
        file = database_file(uri)
        folder = None if file is None else (file.parent / name).as_uri()
        # Without this tag the UI asks whether these are models or language-model traces.
        kind = {"mlflow.experimentKind": "custom_model_development"}
        try:
            return str(client.create_experiment(name, artifact_location=folder, tags=kind))
        except MlflowException:
            found = client.get_experiment_by_name(name)  # another process was faster
            if found is None:
                raise
    if found.lifecycle_stage == "deleted":
        raise UnusableStoreError(
            f"the experiment {name!r} was deleted in it: restore it by `MLFLOW_TRACKING_URI="
            f"{shlex.quote(redact(uri))} {program('mlflow')} experiments restore --experiment-id "
            f"{found.experiment_id}`"
        )
    return str(found.experiment_id)


def _is_database(uri: str) -> bool:
    """Whether MLflow opens the address itself by SQL instead of asking a server."""
    return scheme(uri) in _DATABASES


def _try_database(uri: str, file: Path | None) -> None:
    """Fail at once if the database cannot be written: MLflow itself would retry for an hour."""
    from sqlalchemy import create_engine, text
    from sqlalchemy.pool import NullPool

    with create_engine(uri, poolclass=NullPool).connect() as connection:
        if file is not None:
            connection.execute(text("BEGIN IMMEDIATE"))
