"""The search space as earlier trials show it, for a sampler that was not given one."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field

from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial, TrialState

from hptoolkit.search_space.region import SearchSpace


@dataclass(frozen=True)
class _Shown:
    """What some trials show: all of the complete ones, and any of those that ended otherwise."""

    complete: SearchSpace | None = None
    others: SearchSpace = field(default_factory=dict)


class LearnedSpace:
    """What all complete trials suggested, with the ranges that the latest one used.

    While none is complete, what those suggested that failed or were pruned: ranges are known from
    the first trial on, however it ends. Such a trial may have ended before it had suggested all.

    Args:
        needed: Parameters without which a trial shows no search space.
        named: Those that a trial that failed or was pruned must have shown besides.
        usable: Whether a search can use the ranges; others are those of an objective before it was
            mended.
    """

    def __init__(
        self,
        needed: Collection[str],
        named: Collection[str],
        usable: Callable[[Mapping[str, BaseDistribution]], bool],
    ) -> None:
        self._needed, self._named, self._usable = frozenset(needed), frozenset(named), usable
        # Finished trials never change: those up to the first that runs are read once.
        self._read: list[FrozenTrial] = []
        self._shown = _Shown()

    def of(self, trials: list[FrozenTrial]) -> SearchSpace:
        """The search space that the trials show; empty while it is not known."""
        known = self._read
        if len(trials) < len(known) or not all(map(_shows_the_same, known, trials)):
            known, self._shown = [], _Shown()
        shown, finished = self._shown, list(known)
        for trial in trials[len(known) :]:
            shown = self._with(shown, trial)
            if len(finished) == trial.number and trial.state.is_finished():
                finished.append(trial)
                self._shown = shown
        self._read = finished
        if shown.complete is not None:
            return dict(shown.complete)
        taught = self._needed | self._named <= shown.others.keys()
        return dict(shown.others) if taught and self._usable(shown.others) else {}

    def _with(self, shown: _Shown, trial: FrozenTrial) -> _Shown:
        space = trial.distributions
        if not space or not trial.state.is_finished():
            return shown
        if trial.state != TrialState.COMPLETE:
            return _Shown(shown.complete, {**shown.others, **space})
        if not self._needed <= space.keys() or not self._usable(space):
            return shown
        names = space if shown.complete is None else shown.complete
        return _Shown({name: space[name] for name in names if name in space}, shown.others)


def _shows_the_same(known: FrozenTrial, trial: FrozenTrial) -> bool:
    same = known is trial  # as nearly always
    return same or (known.state, known.distributions) == (trial.state, trial.distributions)
