"""What tells a study from every other: a fresh one of its name, one in another storage."""

from __future__ import annotations

import time
import uuid

from optuna.study import Study

from hptoolkit.attributes import STUDY_UID
from hptoolkit.optuna_internals import storage_of

_PROPOSED = f"{STUDY_UID}:"  # followed by the time and the identity that a process proposed
# Seconds, and writes of the length of its own, after which a database shows what others proposed.
_SETTLE, _WRITES = 0.5, 4


def study_uid(study: Study) -> str:
    """The study's identity, 32 hexadecimal digits; one that has none is given one.

    Processes that begin a study at once each propose one, and all take the first. In a journal
    that is the first in the file, which no later proposal changes; a database keeps no order, so
    there it is the earliest, once all are in.
    """
    attributes = study.user_attrs
    if STUDY_UID in attributes:
        return str(attributes[STUDY_UID])
    proposed = _proposed(study)
    if not proposed:
        began = time.perf_counter()
        study.set_user_attr(f"{_PROPOSED}{time.time_ns():020d}:{uuid.uuid4().hex}", True)
        if not _ordered(study):
            time.sleep(_SETTLE + _WRITES * (time.perf_counter() - began))
        proposed = _proposed(study)
    first = proposed[0] if _ordered(study) else min(proposed)
    return first.rpartition(":")[2]


def _proposed(study: Study) -> list[str]:
    return [name for name in study.user_attrs if name.startswith(_PROPOSED)]


def _ordered(study: Study) -> bool:
    """Whether the attributes come in the order in which they were written."""
    from optuna.storages import InMemoryStorage, JournalStorage

    return isinstance(storage_of(study), JournalStorage | InMemoryStorage)
