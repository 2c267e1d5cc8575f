"""Patience with servers: an operation that failed for lack of a connection is tried again."""

from __future__ import annotations

import functools
import logging
import random
import time
from collections.abc import Callable, Iterable
from typing import Any, Protocol

from optuna.exceptions import UpdateFinishedTrialError

from hptoolkit.errors import StorageError

_logger = logging.getLogger("hptoolkit.storage")

# Seconds for which an operation is tried, and the longest pause between two tries.
PATIENCE = 120.0
_LONGEST_PAUSE = 5.0
# Seconds for which an operation is tried on a server that was given up, and has not answered since:
# a worker that ends has several things to store, and must not wait so long for each.
_GIVEN_UP = 1.0


class Server(Protocol):
    """What is needed of a storage that is patient."""

    shown: str  # the address without its password
    patience: float  # seconds
    complained: bool  # that it does not answer, since it last did
    given_up: bool  # an operation has waited in vain, and none has succeeded since

    def is_transient(self, error: BaseException) -> bool: ...


def patient(storage: type[Any], names: Iterable[str]) -> None:
    """Make operations of a storage class patient; see `Server`."""
    for name in names:
        setattr(storage, name, _patient(getattr(storage, name)))


def _patient(operation: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(operation)
    def tried(self: Server, *args: Any, **kwargs: Any) -> Any:
        began, pause, again = time.monotonic(), 0.1, False
        while True:
            try:
                result = operation(self, *args, **kwargs)
                if again:
                    self.complained = False
                self.given_up = False
                return result
            except UpdateFinishedTrialError:
                # The first try may have been carried out although its answer was lost.
                if again and _was_done(self, operation.__name__, *args, **kwargs):
                    return True
                raise
            except Exception as error:
                if not self.is_transient(error):
                    raise
                allowed = min(self.patience, _GIVEN_UP) if self.given_up else self.patience
                if time.monotonic() - began > allowed:
                    self.given_up = True
                    raise StorageError(
                        f"The storage {self.shown} has not answered for {self.patience:.0f} s. "
                        "Nothing that has finished is lost: start the server and run the same "
                        "command again."
                    ) from None
            again = True
            if not self.complained:
                self.complained = True
                _logger.warning(
                    "The storage %s does not answer: trying again for up to %.0f s.",
                    self.shown,
                    self.patience,
                )
            time.sleep(pause * (0.5 + random.random()))
            pause = min(2 * pause, _LONGEST_PAUSE)

    return tried


def _was_done(storage: Any, name: str, trial_id: int, *args: Any, **kwargs: Any) -> bool:
    """Whether a trial has finished exactly as it was to."""
    if name != "set_trial_state_values":
        return False
    state, values = (*args, *kwargs.values(), None)[:2]
    trial = storage.get_trial(trial_id)
    return bool(trial.state == state and trial.values == (None if values is None else list(values)))
