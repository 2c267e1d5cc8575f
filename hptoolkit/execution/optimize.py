"""Run a study's search from a script of one's own, as often as one likes: a finished one stays.

Optuna's `study.optimize` stores a trial before a sampler is asked for it, and no trial can be taken
back. A search that has ended can only prune it, before anything is trained.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from optuna.study import Study
from optuna.trial import FrozenTrial, Trial

from hptoolkit.errors import UserError
from hptoolkit.execution.worker import used
from hptoolkit.samplers import CoordinateSampler


def optimize(
    study: Study,
    objective: Callable[[Trial], float],
    *,
    trials: int | None = None,
    **options: Any,
) -> str:
    """`study.optimize(objective)`, unless nothing is left to run: then no trial is added.

    A script that is killed and run again goes on; one that had finished leaves the study as it is.

    Args:
        study: On any storage, with any sampler.
        objective: As for `study.optimize`.
        trials: The budget in total, what is stored included. None: until the sampler ends the
            search, which coordinate descent and grids do by themselves.
        options: Of `study.optimize`, such as `timeout`, `callbacks` or `catch`.

    Returns:
        Why it ended, in a clause.

    Raises:
        UserError: `n_trials` is given, or a budget below 1.
    """
    if "n_trials" in options:
        raise UserError(
            "n_trials counts from now on, so a script that is run again would add as many: give "
            "trials, the budget in total, or call study.optimize."
        )
    if trials is not None and trials < 1:
        raise UserError(f"trials is {trials}: a budget of 1 or more is needed.")

    def stop_at_the_end(study: Study, trial: FrozenTrial) -> None:
        if _why_over(study, trials):
            study.stop()

    callbacks = [*(options.pop("callbacks", None) or ()), stop_at_the_end]
    if _why_over(study, trials) is None:
        left = None if trials is None else trials - used(study)
        study.optimize(objective, n_trials=left, callbacks=callbacks, **options)
    return _why_over(study, trials) or "stopped before the search had ended"


def _why_over(study: Study, trials: int | None) -> str | None:
    """Why nothing is left to run, in a clause; None while something is."""
    sampler = study.sampler
    if isinstance(sampler, CoordinateSampler) and (reason := sampler.why_finished(study)):
        return reason
    if trials is not None and used(study) >= trials:
        return f"the budget of {trials} trials is used up"
    return None
