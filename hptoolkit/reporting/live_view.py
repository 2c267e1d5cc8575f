"""A study seen through its storage: what has ended and what runs, whoever runs it."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from optuna.study import Study
from optuna.trial import FrozenTrial, Trial, TrialState

from hptoolkit.errors import StorageError
from hptoolkit.execution.engines.engine import View

if TYPE_CHECKING:
    from hptoolkit.reporting.terminal import Progress
    from hptoolkit.training import EpochReport


class LiveView(View):
    """Shows what happens in a study, as often as `look` is called.

    A look costs the reading of what is new, and a glance at the trials from the first that had not
    ended the last time.

    Args:
        study: The study. What has ended before is not shown.
        progress: Where to show it.
    """

    def __init__(self, study: Study, progress: Progress) -> None:
        self._study = study
        self._progress = progress
        self._known = 0  # all trials with a smaller number have ended and been shown
        self._shown: set[int] = set()
        self._take_new()

    def trial_began(self, trial: Trial) -> None:
        self._progress.trial_began(trial)

    def epoch_ended(self, trial: Trial, epoch: EpochReport) -> None:
        self._progress.epoch_ended(trial, epoch)

    def trial_ended(self, trial: FrozenTrial) -> None:
        self.look()

    def look(self) -> list[FrozenTrial]:
        """Show what is new; the trials that have ended since the last look, in that order."""
        try:
            ended = self._take_new()
        except (StorageError, OSError):
            return []  # the workers meet it too, and it is they who give up or go on
        for trial in ended:
            self._progress.trial_ended(trial)
        self._progress.show_running(self._running)
        return ended

    def _take_new(self) -> list[FrozenTrial]:
        trials = self._study.get_trials(deepcopy=False)
        recent = trials[self._known :]
        ended = [t for t in recent if t.state.is_finished() and t.number not in self._shown]
        self._shown |= {trial.number for trial in ended}
        while self._known in self._shown:
            self._shown.remove(self._known)
            self._known += 1
        self._running = [t for t in recent if t.state == TrialState.RUNNING and t.params]
        return sorted(ended, key=lambda trial: trial.datetime_complete or datetime.min)
