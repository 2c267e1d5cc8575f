"""The weights of a study's best configuration, kept in a file while the study goes on.

A file a trial, `studies/models/STUDY/trial-NUMBER-IDENTITY.pt`, written when a trial ends whose
configuration is the best so far; the files of others are deleted, once they no longer are. Several
processes may do so at once: which one is the best is always read from the study.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from optuna.study import Study
from optuna.trial import FrozenTrial, Trial

from hptoolkit.samplers.incumbent import Incumbent, Standings, incumbent
from hptoolkit.storage.identity import study_uid

FOLDER = Path("studies/models")


def keep(
    study: Study, trial: Trial | FrozenTrial, value: float, pack: Callable[[], dict[str, Any]]
) -> bool:
    """Keep what `pack` returns if a running trial's configuration is the best of the study so far.

    Args:
        study: Its study.
        trial, value: The trial, and the value that it is about to be told.
        pack: Makes the state, of tensors and plain values; called if it is needed.

    Returns:
        Whether it was kept; a better run of the same configuration stays. Raises OSError if it
        cannot be written.
    """
    from hptoolkit.training import checkpoint

    standings = Standings.of(study)
    mine = standings.add(trial.number, trial.params, value)
    if mine is None or standings.best() is not mine:
        return False
    if _luckiest(study, mine) not in (None, trial.number):
        return False
    checkpoint.write(_path(study, trial.number), pack())
    tidy(study)
    return True


def of_best(study: Study) -> tuple[Path, int] | None:
    """The file of the best configuration, of its best run, and that run's number.

    None if there is none, or its runs were trained elsewhere.
    """
    best = incumbent(study)
    number = None if best is None else _luckiest(study, best)
    return None if number is None else (_path(study, number), number)


def tidy(study: Study) -> None:
    """Delete the files of trials that have ended, but that of the best configuration."""
    best = incumbent(study)
    kept = None if best is None else _luckiest(study, best)
    ended = {t.number for t in study.get_trials(deepcopy=False) if t.state.is_finished()}
    pattern = re.compile(rf"trial-(\d+)-{study_uid(study)[:8]}\.pt")
    for file in _folder(study).glob("*.pt"):
        match = pattern.fullmatch(file.name)
        if match and int(match[1]) in ended - {kept}:
            file.unlink(missing_ok=True)


def _luckiest(study: Study, best: Incumbent) -> int | None:
    """The number of the best of a configuration's runs that have a file, or are to have one."""
    sign = 1 if study.direction.name == "MAXIMIZE" else -1
    running = {t.number for t in study.get_trials(deepcopy=False) if not t.state.is_finished()}
    there = [
        (sign * value, -number)
        for number, value in zip(best.numbers, best.values, strict=True)
        if number in running or _path(study, number).exists()
    ]
    return -max(there)[1] if there else None


def _path(study: Study, number: int) -> Path:
    # The identity: another storage may hold a study of the same name.
    return _folder(study) / f"trial-{number}-{study_uid(study)[:8]}.pt"


def _folder(study: Study) -> Path:
    return FOLDER / re.sub(r"[^\w.-]", "_", study.study_name)
