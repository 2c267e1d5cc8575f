"""What tells a study from every other: a fresh one of its name, one in another storage."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hptoolkit.attributes import DEFINITION
from hptoolkit.storage.identity import study_uid
from hptoolkit.tracking.records import milliseconds

if TYPE_CHECKING:
    from optuna.study import Study


@dataclass(frozen=True)
class StudyIdentity:
    """What a study's run is made from, and found by.

    Attributes:
        name: The study's name.
        uid: Tells a study from every other: a fresh one of its name, a copy of it. No quotes.
        definition: The resolved definition, logged as params.
        start: When its first trial started, in milliseconds since 1970.
        maximize: Whether its largest value is the best.
    """

    name: str
    uid: str
    definition: Mapping[str, Any]
    start: int
    maximize: bool = False


def study_identity(study: Study) -> StudyIdentity:
    """What a study's run is made from. A study of a foreign program is given an identity."""
    uid = study_uid(study)
    trials = study.get_trials(deepcopy=False)
    definition = study.user_attrs.get(DEFINITION)
    # The name too: a copied study has the attributes of the first one.
    name = re.sub(r"[^\w.-]", "_", study.study_name)
    return StudyIdentity(
        name=study.study_name,
        uid=f"{name}-{uid}",
        definition=definition if isinstance(definition, Mapping) else {},
        start=min((milliseconds(t.datetime_start) for t in trials), default=milliseconds(None)),
        maximize=len(study.directions) == 1 and study.direction.name == "MAXIMIZE",
    )
