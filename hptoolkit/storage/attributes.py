"""Names of what is kept with a trial, besides its parameters and values."""

from __future__ import annotations

from hptoolkit.samplers.history import LEASE, LOST

__all__ = ["BEAT", "ERROR", "LEASE", "LOST", "OWNER", "PRUNED_REASON", "SEED"]

# User attributes, which optuna-dashboard shows.
ERROR = "error"  # of a failed trial: the exception and where it was raised
OWNER = "owner"  # the host and process that run it
PRUNED_REASON = "pruned_reason"  # of a pruned trial
SEED = "seed"  # the seed of its training

# System attribute beside LEASE and LOST: a number that the owner raises while the trial runs.
BEAT = "hptoolkit:beat"
