"""What is used of Optuna without being part of its public interface, and why.

A sampler is handed a study and a stored trial, neither of which has public methods that write what
a sampler has to write; Optuna's own samplers reach for the same three names. The rest has no
public counterpart either. `tests/test_optuna_internals.py` says which of them a new Optuna has
dropped, and that no other module uses any.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.storages import BaseStorage
from optuna.storages.journal._storage import JournalOperation
from optuna.study import Study
from optuna.trial import FrozenTrial, Trial

# The system attribute in which `study.enqueue_trial` leaves parameters: no sampler is asked then.
FIXED_PARAMS = "fixed_params"

# Where the samplers that take constraints keep those of a trial: names that begin with this.
CONSTRAINTS = "constraints"

# The operations of a journal that the installed Optuna can replay. It stops at one of a newer
# version with a bare assertion.
JOURNAL_OPERATIONS = frozenset(int(operation) for operation in JournalOperation)

# What the cache before a database calls of it, instead of the public methods: an error there has
# to be caught where it is raised.
DATABASE_OPERATIONS = (
    "_create_new_trial", "_set_trial_param", "_get_trials", "_get_best_trial_id",
)  # fmt: skip


def storage_of(study: Study) -> BaseStorage:
    """The study's storage: it alone can write to a trial that is stored, and to its state."""
    return study._storage


def study_id_of(study: Study) -> int:
    """The study's number in its storage, by which the storage's methods name it."""
    return study._study_id


def in_optimize_loop(study: Study) -> bool:
    """Whether this thread is in `study.optimize`: `study.stop()` tells it too, but stops it."""
    # Hyperband hands one bracket of the study to a sampler.
    whole: Study = getattr(study, "_study", study)
    return bool(whole._thread_local.in_optimize_loop)


def trial_id_of(trial: Trial | FrozenTrial) -> int:
    """The trial's number in its storage (not the one in its study), by which methods name it."""
    return trial._trial_id


def contains(distribution: BaseDistribution, value: Any) -> bool:
    """Whether a parameter may have a value, as Optuna decides it for an enqueued trial."""
    return distribution._contains(distribution.to_internal_repr(value))


@contextmanager
def stoppable(study: Study) -> Iterator[None]:
    """Let an objective call `study.stop()`, which refuses to work but under `study.optimize`."""
    study._thread_local.in_optimize_loop = True
    try:
        yield
    finally:
        study._thread_local.in_optimize_loop = False


def was_stopped(study: Study) -> bool:
    """Whether `study.stop()` was called since `forget_stop`."""
    return study._stop_flag


def forget_stop(study: Study) -> None:
    """Begin as if `study.stop()` had not been called, as `study.optimize` does."""
    study._stop_flag = False
