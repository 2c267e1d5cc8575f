"""What an Optuna sampler leaves behind in its shadow study, as system attributes of raw trials.

Nothing of a storage that others may write is unpickled: the pickle that CMA-ES keeps of its state
is neither stored nor taken over. Trials at which it made one are marked, to be asked for again.
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from typing import Any

from optuna.trial import FrozenTrial

from hptoolkit.attributes import OF_STUDY, OF_TRIAL, REJECTED, REPLAY

# The names that CmaEsSampler and its variants use; Optuna's other samplers pickle nothing.
_CMAES = ("cma:", "sepcma:", "cmawm:")
_PICKLES = tuple(f"{prefix}optimizer" for prefix in _CMAES)

# A position outside the region, and the value that the sampler was told; None: that it was pruned.
Rejected = list[tuple[list[float], float | None]]


def notes(
    of_trial: Mapping[str, Any],
    of_study: Mapping[str, Any],
    rejected: Rejected,
    unfinished: Set[int],
) -> dict[str, Any]:
    """System attributes for a raw trial, from what the sampler left in its trial and study."""
    plain = _plain(of_trial)
    result = {OF_TRIAL + name: value for name, value in plain.items()}
    if len(plain) < len(of_trial) or (rejected and any(n.startswith(_CMAES) for n in of_trial)):
        result[REPLAY] = sorted(unfinished)
    if of_study:
        result[OF_STUDY] = dict(of_study)
    if rejected:
        result[REJECTED] = rejected
    return result


def of_trial(trial: FrozenTrial) -> dict[str, Any]:
    """What the sampler left in the shadow of a raw trial."""
    return _plain(_all_of_trial(trial))


def of_study(trial: FrozenTrial) -> dict[str, Any]:
    """What the sampler had left in its study when the raw trial began."""
    return dict(trial.system_attrs.get(OF_STUDY, {}))


def rejected(trial: FrozenTrial) -> Rejected:
    """What was proposed for a raw trial before and lay outside the region."""
    return [(position, value) for position, value in trial.system_attrs.get(REJECTED, [])]


def asks_again(trial: FrozenTrial) -> bool:
    """Whether the sampler made a pickle at a trial (or an earlier version stored it)."""
    left = _all_of_trial(trial)
    return REPLAY in trial.system_attrs or len(_plain(left)) < len(left)


def unfinished(trial: FrozenTrial) -> set[int]:
    """The numbers of the raw trials that were not finished when this one has to be asked for."""
    return set(trial.system_attrs.get(REPLAY, []))


def _all_of_trial(trial: FrozenTrial) -> dict[str, Any]:
    return {
        name.removeprefix(OF_TRIAL): value
        for name, value in trial.system_attrs.items()
        if name.startswith(OF_TRIAL)
    }


def _plain(left: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in left.items() if not name.startswith(_PICKLES)}
