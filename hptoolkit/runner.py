"""The loop of a study: ask, train, tell, until the search has ended or the budget is used up."""

from __future__ import annotations

import math
import signal
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from numbers import Real
from types import FrameType
from typing import Protocol

import optuna
from optuna.study import Study
from optuna.trial import FrozenTrial, Trial, TrialState

from hptoolkit.samplers import CoordinateSampler
from hptoolkit.samplers._history import INTERRUPTED, MAX_CRASHES
from hptoolkit.storage import OWNER, PRUNED_REASON, owner, put_back

ERROR = "error"  # user attribute of a failed trial: the exception and where it was raised


class Listener(Protocol):
    """What is told of the progress."""

    def trial_began(self, trial: Trial) -> None: ...
    def trial_ended(self, trial: FrozenTrial) -> None: ...


@dataclass(frozen=True)
class Ending:
    """Why a run of the study ended, in a clause.

    `exit_code`: 0; 130 or 143 when a signal ended it; 1 when every trial crashed.
    """

    reason: str
    exit_code: int = 0


def used(study: Study) -> int:
    """How many trials of the budget are used: all that ended by themselves."""
    return sum(
        trial.state.is_finished() and not trial.user_attrs.get(INTERRUPTED, False)
        for trial in study.get_trials(deepcopy=False)
    )


def why_over(study: Study, trials: int) -> Ending | None:
    """Why nothing is left to run, with a budget of `trials` in total; None while something is."""
    sampler = study.sampler
    if isinstance(sampler, CoordinateSampler) and (reason := sampler.why_finished(study)):
        return Ending(reason)
    if used(study) >= trials:
        return Ending(f"the budget of {trials} trials is used up")
    return None


def run(
    study: Study, objective: Callable[[Trial], float], *, trials: int, listener: Listener
) -> Ending:
    """Run trials one after the other.

    Ctrl-C and SIGTERM put the trial in flight back and end the loop; what is finished stays.
    """
    crashes = 0
    with _signals() as interrupts:
        while True:
            if ending := interrupts.ending() or why_over(study, trials):
                return ending
            trial = study.ask()
            trial.set_user_attr(OWNER, owner())
            listener.trial_began(trial)
            try:
                state, value = _evaluate(trial, objective, interrupts)
            except KeyboardInterrupt:
                # Raised by us, or by a library that handles signals itself.
                interrupts.received = interrupts.received or signal.SIGINT
                put_back(study, study._storage.get_trial(trial._trial_id))
                continue
            study.tell(trial, value, state=state)
            listener.trial_ended(study._storage.get_trial(trial._trial_id))
            crashes = crashes + 1 if state == TrialState.FAIL else 0
            if crashes >= MAX_CRASHES and not _any_complete(study):
                return Ending(f"{crashes} trials crashed one after the other, none succeeded", 1)


def _evaluate(
    trial: Trial, objective: Callable[[Trial], float], interrupts: _Interrupts
) -> tuple[TrialState, float | None]:
    """How a trial ends, and its value if it is complete; the reason otherwise is kept with it."""
    try:
        with interrupts.allowed():
            value: object = objective(trial)
    except optuna.TrialPruned:
        return TrialState.PRUNED, None
    except Exception as error:  # whatever a user's training raises
        trial.set_user_attr(ERROR, "".join(traceback.format_exception(error))[-4000:])
        return TrialState.FAIL, None
    if not isinstance(value, int | float | Real):
        trial.set_user_attr(ERROR, f"The objective returned {value!r}: a number is needed.")
        return TrialState.FAIL, None
    if not math.isfinite(value):
        trial.set_user_attr(PRUNED_REASON, f"the objective returned {value}")
        return TrialState.PRUNED, None
    return TrialState.COMPLETE, float(value)


def _any_complete(study: Study) -> bool:
    return bool(study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)))


class _Interrupts:
    """Turns signals into KeyboardInterrupt, but never in the middle of asking or telling."""

    def __init__(self) -> None:
        self.received: int | None = None
        self._allowed = False

    def ending(self) -> Ending | None:
        """The ending by a signal, once one has come; its exit code is the shell's convention."""
        if self.received is None:
            return None
        return Ending(f"interrupted by {signal.Signals(self.received).name}", 128 + self.received)

    def handle(self, number: int, frame: FrameType | None) -> None:
        self.received = number
        if self._allowed:
            raise KeyboardInterrupt

    @contextmanager
    def allowed(self) -> Iterator[None]:
        """Raise KeyboardInterrupt for a signal that comes, or that has come already."""
        if self.received is not None:
            raise KeyboardInterrupt
        self._allowed = True
        try:
            yield
        finally:
            self._allowed = False


@contextmanager
def _signals() -> Iterator[_Interrupts]:
    interrupts = _Interrupts()
    kinds = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(kind, interrupts.handle) for kind in kinds]
    try:
        yield interrupts
    finally:
        for kind, handler in zip(kinds, before, strict=True):
            signal.signal(kind, handler)
