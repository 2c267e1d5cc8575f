"""Where studies are kept, and how workers that share one know of each other."""

from hptoolkit.storage.address import (
    DEFAULT,
    check,
    check_writable,
    checkpoint_folder,
    fresh,
    is_url,
    latest,
    usable,
)
from hptoolkit.storage.connect import connect
from hptoolkit.storage.leases import Lease, Times, owner, put_back, put_back_orphans

__all__ = [
    "DEFAULT",
    "Lease",
    "Times",
    "check",
    "check_writable",
    "checkpoint_folder",
    "connect",
    "fresh",
    "is_url",
    "latest",
    "owner",
    "put_back",
    "put_back_orphans",
    "usable",
]
