"""The loop of a worker: ask, train, tell, until the search has ended or the budget is used up.

Several workers share a study by its storage alone. Trials are numbered consecutively, and one that
is put back keeps its number: a budget of n trials is trials 0 to n − 1, whoever runs them.
"""

from __future__ import annotations

import math
import signal
import time
import traceback
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.study import Study
from optuna.trial import FrozenTrial, Trial, TrialState

from hptoolkit.attributes import ERROR, OWNER, PRUNED_REASON
from hptoolkit.errors import StorageError, TrialError, UserError
from hptoolkit.execution.signals import Abandoned, Interrupts
from hptoolkit.optuna_internals import (
    forget_stop,
    stoppable,
    storage_of,
    study_id_of,
    trial_id_of,
    was_stopped,
)
from hptoolkit.samplers import CoordinateSampler
from hptoolkit.samplers.history import MAX_CRASHES
from hptoolkit.storage.heartbeat import Watch
from hptoolkit.storage.leases import Lease, Times, owner, put_back, take

# Seconds between two looks at the storage while others have to finish first: shortest, longest.
_PAUSES = (0.02, 1.0)


class Listener:
    """Hears what a worker's trials do; this one keeps it to itself."""

    def trial_began(self, trial: Trial) -> None:
        pass

    def epoch_ended(self, trial: Trial, epoch: Any) -> None:
        pass

    def trial_ended(self, trial: FrozenTrial) -> None:
        pass


@dataclass(frozen=True)
class Ending:
    """Why a run of the study ended, in a clause.

    `exit_code`: 0; 130 or 143 when a signal ended it; 1 when every trial crashed.
    `for_all`: whether workers that share the command are to end, too.
    """

    reason: str
    exit_code: int = 0
    for_all: bool = False


def interrupted(number: int) -> Ending:
    """The ending by a signal; its exit code is the shell's convention."""
    return Ending(f"interrupted by {signal.Signals(number).name}", 128 + number)


def used(study: Study) -> int:
    """How many trials of the budget are used: all that have ended."""
    return sum(trial.state.is_finished() for trial in study.get_trials(deepcopy=False))


def why_over(study: Study, trials: int) -> Ending | None:
    """Why nothing is left to run, with a budget of `trials` in total; None while something is."""
    return _why_over(study, trials, study.get_trials(deepcopy=False))


def _why_over(study: Study, trials: int, stored: list[FrozenTrial]) -> Ending | None:
    sampler = study.sampler
    if isinstance(sampler, CoordinateSampler) and (reason := sampler.why_finished(study, stored)):
        return Ending(reason)
    if len(stored) >= trials and all(t.state.is_finished() for t in stored[:trials]):
        return Ending(f"the budget of {trials} trials is used up")
    return None


def run(
    study: Study,
    objective: Callable[[Trial], float],
    *,
    trials: int,
    listener: Listener,
    times: Times | None = None,
) -> Ending:
    """Run trials one after the other, together with whoever else runs the same study.

    While nothing can be started before other workers' trials end, wait for them, and take over
    those whose worker has gone. Ctrl-C and SIGTERM put the trial in flight back and end the loop;
    what is finished stays. What somebody else has finished meanwhile is discarded here.

    Args:
        study: The study, on any storage.
        objective: Trains at a trial's parameters.
        trials: The budget in total, what is stored included.
        listener: Told of this worker's trials.
        times: How soon a worker that has gone is noticed.

    Raises:
        StorageError: The storage cannot be used any longer.
        TrialError: A trial met bad input; it waits to be run again.
    """
    crashes, pause = 0, _PAUSES[0]
    forget_stop(study)
    interrupts = Interrupts()
    with interrupts, Watch(study, interrupts.abandon, times or Times()) as watch:
        while True:
            stored = study.get_trials(deepcopy=False)
            if interrupts.received is not None:
                return interrupted(interrupts.received)
            if ending := _why_over(study, trials, stored):
                return ending
            trial = _next(study, trials, stored, watch)
            if trial is None:
                time.sleep(pause)
                pause = min(1.5 * pause, _PAUSES[1])
                continue
            pause = _PAUSES[0]
            ended = _run_one(study, trial, objective, listener, interrupts, watch)
            if ended is None:
                continue
            listener.trial_ended(ended)
            if was_stopped(study):
                return Ending("the objective called study.stop()", for_all=True)
            crashes = crashes + 1 if ended.state == TrialState.FAIL else 0
            if crashes >= MAX_CRASHES and not _any_complete(study):
                return Ending(f"{crashes} trials crashed one after the other, none succeeded", 1)


def _next(study: Study, trials: int, stored: list[FrozenTrial], watch: Watch) -> Trial | None:
    """A trial to run, held by this worker; None if others have to finish first."""
    storage, lease = storage_of(study), Lease.of_this_process()
    for waiting in (t for t in stored[:trials] if t.state == TrialState.WAITING):
        if take(study, trial_id_of(waiting), lease):
            return _begin(study, storage.get_trial(trial_id_of(waiting)), lease, watch)
    if len(stored) >= trials:
        return None
    if isinstance(study.sampler, CoordinateSampler) and study.sampler.waits(study, stored):
        return None
    # With its owner from the first moment on.
    template = optuna.trial.create_trial(
        state=TrialState.RUNNING, system_attrs=lease.attributes(), user_attrs={OWNER: owner()}
    )
    trial_id = storage.create_new_trial(study_id_of(study), template)
    created = storage.get_trial(trial_id)
    if created.number >= trials:
        # Another worker has started the last one meanwhile. A larger budget begins with this one.
        put_back(study, trial_id)
        return None
    return _begin(study, created, lease, watch)


def _begin(study: Study, frozen: FrozenTrial, lease: Lease, watch: Watch) -> Trial | None:
    """Choose a trial's parameters, if that can be done now; otherwise it waits."""
    trial_id, sampler = trial_id_of(frozen), study.sampler
    watch.hold(trial_id, lease)
    try:
        if not isinstance(sampler, CoordinateSampler) or sampler.claim(study, frozen):
            trial = Trial(study, trial_id)
            for stale in (ERROR, PRUNED_REASON):  # of a run that was cut off just before its end
                if frozen.user_attrs.get(stale) is not None:
                    trial.set_user_attr(stale, None)
            return trial
        watch.release()
        put_back(study, trial_id)
    except UpdateFinishedTrialError:
        watch.release()
    except StorageError:
        raise
    except UserError as error:
        watch.release()
        put_back(study, trial_id)
        raise TrialError(str(error)) from error
    return None


def _run_one(
    study: Study,
    trial: Trial,
    objective: Callable[[Trial], float],
    listener: Listener,
    interrupts: Interrupts,
    watch: Watch,
) -> FrozenTrial | None:
    """Run a trial to its end; None if it was put back, or somebody else runs or finished it."""
    try:
        listener.trial_began(trial)
        state, value = _evaluate(trial, objective, interrupts)
        watch.release()
        return _tell(study, trial, state, value)
    except UpdateFinishedTrialError:
        return None
    except Abandoned:
        return None
    except TrialError:
        watch.release()
        put_back(study, trial_id_of(trial))
        raise
    except KeyboardInterrupt:
        interrupts.was_interrupted()
        watch.release()
        put_back(study, trial_id_of(trial))
        return None
    finally:
        watch.release()


def _tell(study: Study, trial: Trial, state: TrialState, value: float | None) -> FrozenTrial | None:
    """Store how a trial ended; None if somebody else was faster, whose result stays."""
    storage, trial_id = storage_of(study), trial_id_of(trial)
    try:
        study.tell(trial, value, state=state)
    except ValueError as error:
        if not str(error).startswith("Cannot tell a"):
            raise
        # Either it has been finished, or put back, since this worker was not seen for a while.
        storage.set_trial_state_values(trial_id, TrialState.RUNNING)
        study.tell(trial, value, state=state)
    return storage.get_trial(trial_id)


def _evaluate(
    trial: Trial, objective: Callable[[Trial], float], interrupts: Interrupts
) -> tuple[TrialState, float | None]:
    """How a trial ends, and its value if it is complete; the reason otherwise is kept with it."""
    try:
        with stoppable(trial.study), interrupts.allowed(), warnings.catch_warnings():
            # A trial that is run again reports what it has reported before.
            warnings.filterwarnings("ignore", "The reported value is ignored")
            returned: object = objective(trial)
    except optuna.TrialPruned:
        return TrialState.PRUNED, None
    except (StorageError, UpdateFinishedTrialError):
        raise
    except UserError as error:  # no other trial would fare better
        raise TrialError(str(error)) from error
    except Exception as error:  # whatever a user's training raises
        trial.set_user_attr(ERROR, "".join(traceback.format_exception(error))[-4000:])
        return TrialState.FAIL, None
    except SystemExit as error:  # a training that ends its process: it would end the study, too
        trial.set_user_attr(ERROR, f"The objective called sys.exit({error.code!r}).")
        return TrialState.FAIL, None
    value = _number(returned)
    if value is None:
        shown = f"{returned!r:.100}"
        trial.set_user_attr(ERROR, f"The objective returned {shown}: a number is needed.")
        return TrialState.FAIL, None
    if not math.isfinite(value):
        trial.set_user_attr(PRUNED_REASON, f"the objective returned {value}")
        return TrialState.PRUNED, None
    return TrialState.COMPLETE, value


def _number(returned: object) -> float | None:
    """What an objective returned as Optuna takes it: a 0-d tensor, a Decimal, a sequence of one."""
    if isinstance(returned, str | bytes):
        return None
    if isinstance(returned, Sequence) and len(returned) == 1:
        returned = returned[0]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch's of a gradient, NumPy's of a 1-d array
            return float(returned)  # type: ignore[arg-type]
    except Exception:  # whatever a user's type raises
        return None


def _any_complete(study: Study) -> bool:
    return bool(study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)))
