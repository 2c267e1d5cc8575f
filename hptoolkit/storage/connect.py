"""Opening a storage by its address."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from hptoolkit.storage.address import check, is_url, usable

if TYPE_CHECKING:
    from optuna.storages import BaseStorage


def connect(address: str) -> BaseStorage:
    """The storage at an address: a file (made if it is missing), a database's URL, grpc://HOST:PORT.

    Raises UserError: it is not a storage of studies, it cannot be reached, its driver is missing,
    or a newer version has written it.
    """
    check(address)
    with usable(address):
        if address.startswith("grpc://"):
            from hptoolkit.storage.grpc import Proxied

            return Proxied(address)
        if is_url(address):
            from hptoolkit.storage.rdb import Database

            return Database(address)
        from optuna.storages import JournalStorage

        from hptoolkit.storage.journal import JournalFile

        path = Path(address).absolute()  # the same one after a change of folder
        path.parent.mkdir(parents=True, exist_ok=True)
        return JournalStorage(JournalFile(str(path)))
