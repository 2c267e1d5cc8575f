"""The wait of a trial for those numbered before it, until they have announced their choice.

Workers so choose in the order of the trials' numbers, as one process would.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from hptoolkit.attributes import CLAIM, LEASE
from hptoolkit.optuna_internals import FIXED_PARAMS, storage_of, study_id_of

# Seconds that a trial waits for an earlier one to announce its choice: its worker may be dead. One
# with a lease is put back by those who watch it (hptoolkit.storage.leases), after a minute or so.
_PATIENCE = 2.0
_PATIENCE_LEASED = 120.0


class EarlierTrials:
    """Those that a study's trials wait for: since when each is awaited is remembered."""

    def __init__(self) -> None:
        self._awaited_since: dict[tuple[int, int], float] = {}

    def settled(
        self, study: Study, number: int, show_space: Callable[[list[FrozenTrial]], bool]
    ) -> list[FrozenTrial]:
        """The stored trials, once those numbered below `number` have announced their choice.

        `show_space`: whether trials show the search space; until they do, nothing can be chosen.
        """
        pause = 0.01
        while True:
            trials = stored_trials(study)
            awaited = [t for t in trials if t.number < number and self._is_awaited(study, t)]
            if not awaited or not show_space(trials):
                return trials
            time.sleep(pause)
            pause = min(1.5 * pause, 0.25)

    def _is_awaited(self, study: Study, trial: FrozenTrial) -> bool:
        if trial.state != TrialState.RUNNING or trial.params or is_decided(trial):
            return False
        # By one's own clock: that of the trial's machine may be wrong.
        now = time.monotonic()
        since = self._awaited_since.setdefault((study_id_of(study), trial.number), now)
        leased = trial.system_attrs.get(LEASE) is not None
        return now - since < (_PATIENCE_LEASED if leased else _PATIENCE)


def stored_trials(study: Study) -> list[FrozenTrial]:
    """All trials, those of other brackets too; not to be changed."""
    return storage_of(study).get_all_trials(study_id_of(study), deepcopy=False)


def is_decided(trial: FrozenTrial) -> bool:
    """Whether a trial's parameters were chosen before, by a sampler or by who enqueued it."""
    return CLAIM in trial.system_attrs or FIXED_PARAMS in trial.system_attrs
