"""`python -m hptoolkit.proxy`: Optuna's storage proxy, for many workers on one database."""

from __future__ import annotations

import ipaddress
import socket
import warnings
from typing import Annotated

import typer


def proxy(
    storage: Annotated[
        str,
        typer.Option(
            help="The database's URL; by the environment it stays out of the list of processes.",
            envvar="HPTOOLKIT_STORAGE",
        ),
    ],
    host: Annotated[
        str, typer.Option(help="Where to listen. Anyone who reaches it may change the studies.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535)] = 13000,
) -> None:
    """Serve a database to workers whose --storage is grpc://HOST:PORT, until it is interrupted."""
    from hptoolkit.errors import UserError
    from hptoolkit.storage import connect, is_url
    from hptoolkit.storage.grpc import SCHEME, require_grpc
    from hptoolkit.storage.urls import redact

    if not is_url(storage) or storage.startswith(SCHEME):
        raise UserError(
            f"The storage {redact(storage)} cannot be served: a database's URL is needed, such as "
            "postgresql://HOST/NAME."
        )
    require_grpc()
    import optuna
    from optuna.exceptions import ExperimentalWarning
    from optuna.storages import get_storage, run_grpc_proxy_server

    served = get_storage(connect(storage))
    _check_free(host, port)
    note = "" if _is_loopback(host) else "; neither encrypted nor protected by a password"
    print(f"Serving {redact(storage)} at {SCHEME}{host}:{port}{note}.", flush=True)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        run_grpc_proxy_server(served, host=host, port=port)


def _check_free(host: str, port: int) -> None:
    """Raise UserError if nobody can listen there, or somebody does."""
    from hptoolkit.errors import UserError

    bare = host.strip("[]")
    try:
        family = socket.getaddrinfo(bare, port, type=socket.SOCK_STREAM)[0][0]
        socket.create_server((bare, port), family=family).close()
    except OSError as error:
        reason = str(error.strerror).partition(" (while")[0]
        raise UserError(
            f"The proxy cannot listen at {host}:{port} ({reason}): give another --host or --port."
        ) from None


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"
