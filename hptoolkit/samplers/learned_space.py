"""The search space of an objective that tells it only as it runs."""

from __future__ import annotations

from optuna.trial import FrozenTrial, TrialState

from hptoolkit.search_space.region import SearchSpace


class LearnedSpace:
    """What all complete trials suggested, with the range that the latest one used.

    Complete trials never change: of those seen before only the latest is looked at again.
    """

    def __init__(self) -> None:
        self._seen: tuple[int, FrozenTrial, list[str]] | None = None

    def of(self, trials: list[FrozenTrial]) -> SearchSpace:
        """The search space that the trials show; empty while none is complete."""
        complete = [t for t in trials if t.state == TrialState.COMPLETE and t.params]
        if not complete:
            return {}
        count, last, names = self._seen or (0, complete[0], [])
        if not 0 < count < len(complete) or complete[count - 1] is not last:
            count, names = 0, list(complete[0].distributions)
        for trial in complete[count:-1]:
            names = [name for name in names if name in trial.distributions]
        if len(complete) > 1:
            self._seen = (len(complete) - 1, complete[-2], names)
        latest = complete[-1].distributions
        return {name: latest[name] for name in names if name in latest}
