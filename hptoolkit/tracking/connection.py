"""Where runs are kept: an MLflow store's address, a client of it, and the experiment in it."""

from __future__ import annotations

import logging
import os
import shlex
from typing import TYPE_CHECKING

from hptoolkit.errors import UserError, nearest
from hptoolkit.storage.urls import database_file, redact, scheme

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


def connect(uri: str) -> MlflowClient:
    """A client of a store. Imports MLflow; raises at once if a database cannot be written."""
    for name, value in _SETTINGS.items():
        os.environ.setdefault(name, value)
    from mlflow import MlflowClient

    # A problem reaches the user as one sentence; the rest is chatter.
    for logger in ("mlflow.store", "mlflow.tracking", "alembic", "urllib3.connectionpool"):
        logging.getLogger(logger).setLevel(logging.CRITICAL)
    if _is_database(uri):
        _try_database(uri)
    return MlflowClient(tracking_uri=uri)


def experiment_id(client: MlflowClient, uri: str, name: str) -> str:
    """The id of the experiment, made if need be; artifacts of a local store stand beside it."""
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
    return str(found.experiment_id)


def _is_database(uri: str) -> bool:
    """Whether MLflow opens the address itself by SQL instead of asking a server."""
    return scheme(uri) in _DATABASES


def _try_database(uri: str) -> None:
    """Fail at once if the database cannot be written: MLflow itself would retry for an hour."""
    from sqlalchemy import create_engine, text
    from sqlalchemy.pool import NullPool

    file = database_file(uri)
    if file is not None:
        file.parent.mkdir(parents=True, exist_ok=True)
    with create_engine(uri, poolclass=NullPool).connect() as connection:
        if file is not None:
            connection.execute(text("BEGIN IMMEDIATE"))
