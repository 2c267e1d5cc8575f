"""The weights of a study's best trial, kept in a file while the study goes on.

A file a trial, `studies/models/STUDY/trial-NUMBER-IDENTITY.pt`, written when a trial ends as the
best so far; the files of trials that are no longer the best are deleted. Several processes may do
so at once: which trial is the best is always read from the study.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from optuna.study import Study

from hptoolkit.samplers.incumbent import best_trial
from hptoolkit.storage.identity import study_uid

FOLDER = Path("studies/models")


def keep(study: Study, number: int, value: float, pack: Callable[[], dict[str, Any]]) -> bool:
    """Keep what `pack` returns if a running trial is the best of the study so far.

    Args:
        study: Its study.
        number, value: The trial's number, and the value that it is about to be told.
        pack: Makes the state, of tensors and plain values; called if it is needed.

    Returns:
        Whether it was kept. Raises OSError if it cannot be written.
    """
    from hptoolkit.training import checkpoint

    best = best_trial(study)
    if best is not None and best.value is not None:
        gain = value - best.value if study.direction.name == "MAXIMIZE" else best.value - value
        if gain <= 0:
            return False
    checkpoint.write(_path(study, number), pack())
    tidy(study)
    return True


def of_best(study: Study) -> Path | None:
    """The file of the best trial; None if there is none, or it was trained elsewhere."""
    best = best_trial(study)
    path = best and _path(study, best.number)
    return path if path and path.exists() else None


def tidy(study: Study) -> None:
    """Delete the files of trials that have ended and are not the best."""
    best = best_trial(study)
    ended = {t.number for t in study.get_trials(deepcopy=False) if t.state.is_finished()}
    pattern = re.compile(rf"trial-(\d+)-{study_uid(study)[:8]}\.pt")
    for file in _folder(study).glob("*.pt"):
        match = pattern.fullmatch(file.name)
        if match and int(match[1]) in ended and (best is None or int(match[1]) != best.number):
            file.unlink(missing_ok=True)


def _path(study: Study, number: int) -> Path:
    # The identity: another storage may hold a study of the same name.
    return _folder(study) / f"trial-{number}-{study_uid(study)[:8]}.pt"


def _folder(study: Study) -> Path:
    return FOLDER / re.sub(r"[^\w.-]", "_", study.study_name)
