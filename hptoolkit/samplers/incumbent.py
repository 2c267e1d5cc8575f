"""The best configuration of a study so far."""

from __future__ import annotations

from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState


def best_trial(study: Study) -> FrozenTrial | None:
    """The complete trial with the best value, the earliest of equals; None if there is none."""
    complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    sign = 1 if study.direction.name == "MAXIMIZE" else -1
    return max(complete, key=lambda t: (sign * (t.value or 0.0), -t.number), default=None)
