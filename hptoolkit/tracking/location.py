"""Where runs are kept, and the command that shows them."""

from __future__ import annotations

import shlex
from pathlib import Path

from hptoolkit.errors import UserError, nearest
from hptoolkit.urls import redact

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
    scheme = _scheme(uri)
    if scheme not in _SERVERS + _DATABASES or (scheme == "sqlite" and database_file(uri) is None):
        hint = nearest(scheme, _SERVERS + _DATABASES)
        raise UserError(
            f"{redact(uri)!r} is not the address of an MLflow store: expected a server such as "
            f"http://host:5000 or a database such as {DEFAULT_URI}; {hint}."
        )
    return uri


def database_file(uri: str) -> Path | None:
    """The file of an SQLite URI, None for another address."""
    path = uri.partition(":///")[2].partition("?")[0]
    return Path(path).absolute() if _scheme(uri) == "sqlite" and path else None


def absolute(uri: str) -> str:
    """The same store whatever the current folder will be."""
    file = database_file(uri)
    if file is None:
        return uri
    _, question_mark, query = uri.partition("?")
    return f"{uri.partition(':///')[0]}:///{file.as_posix()}{question_mark}{query}"


def is_database(uri: str) -> bool:
    """Whether MLflow opens the address itself by SQL instead of asking a server."""
    return _scheme(uri) in _DATABASES


def ui_command(uri: str | None = None) -> str:
    """What shows the runs: the command to type, or a server's address to open (no credentials)."""
    uri = check_uri(uri)
    if is_database(uri):
        return f"mlflow ui --backend-store-uri {shlex.quote(redact(uri))}"
    return redact(uri)


def _scheme(uri: str) -> str:
    return uri.partition(":")[0].partition("+")[0]
