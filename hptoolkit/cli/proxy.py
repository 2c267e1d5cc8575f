"""`python -m hptoolkit.proxy`: Optuna's storage proxy, for many workers on one database."""

from __future__ import annotations

import ipaddress
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
    from optuna.storages import get_storage
    from optuna.storages._grpc.server import make_server

    server = make_server(get_storage(connect(storage)), host, port)
    server.start()
    note = "" if _is_loopback(host) else "; neither encrypted nor protected by a password"
    print(f"Serving {redact(storage)} at {SCHEME}{host}:{port}{note}.", flush=True)
    try:
        server.wait_for_termination()
    finally:
        server.stop(grace=1.0).wait()


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"
