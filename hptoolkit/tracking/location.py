"""Where runs are kept, and the command that shows them."""

from __future__ import annotations

import shlex

from hptoolkit.errors import UserError, nearest
from hptoolkit.storage.urls import database_file, redact, scheme

DEFAULT_URI = "sqlite:///mlruns/mlflow.db"

_SERVERS = ("http", "https", "databricks")
_DATABASES = ("sqlite", "postgresql", "mysql", "mssql")


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


def is_database(uri: str) -> bool:
    """Whether MLflow opens the address itself by SQL instead of asking a server."""
    return scheme(uri) in _DATABASES


def ui_command(uri: str | None = None) -> str:
    """What shows the runs: the command to type, or a server's address to open (no credentials)."""
    uri = check_uri(uri)
    if is_database(uri):
        return f"mlflow ui --backend-store-uri {shlex.quote(redact(uri))}"
    return redact(uri)
