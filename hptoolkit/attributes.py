"""Every key under which something is stored in a study or a trial.

optuna-dashboard shows user attributes and hides system attributes: what a person may want to read
is of the former kind, what workers tell each other of the latter. All begin with the project's
name, so that an objective may have an `error` or a `history` of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

PREFIX = "hptoolkit:"

# User attributes of a trial.
COORDINATES = f"{PREFIX}coordinates"  # its coordinates, by axis
SEED = f"{PREFIX}seed"  # the seed of its training
DATA = f"{PREFIX}data"  # the images it saw, with a digest
HISTORY = f"{PREFIX}history"  # its epochs
OWNER = f"{PREFIX}owner"  # the host and process that run it
PRUNED_REASON = f"{PREFIX}pruned_reason"  # why it was pruned, or that it diverged
ERROR = f"{PREFIX}error"  # of a failed one: the exception and where it was raised
AT_CHANCE = f"{PREFIX}at_chance"  # why it learned nothing
IMAGES_PER_SECOND = f"{PREFIX}images_per_second"
WEIGHTS_LOST = f"{PREFIX}weights_lost"  # why its weights could not be kept

# User attributes of a study.
DEFINITION = f"{PREFIX}definition"  # its resolved definition
SAMPLER = f"{PREFIX}sampler"  # its sampler's name on the command line
SLICE = f"{PREFIX}slice"  # of a slice: its lattice
OUTCOME = f"{PREFIX}outcome"  # how its last run ended
SYMMETRY = f"{PREFIX}symmetry"  # which of its network's weights have no scale
GP_REPORT = f"{PREFIX}gp"  # the seconds that the GP took to choose a trial, its report at the end
STUDY_UID = "hptoolkit:uid"  # its identity, or what processes propose for it

# System attribute of a study: the version of what hptoolkit keeps with it and its trials.
FORMAT = "hptoolkit:format"

# System attributes of a trial that workers read: the parameters that a sampler chose, written
# before the trial starts; who runs it, and a number that the owner raises meanwhile; who ran it
# before and has gone.
CLAIM = "hptoolkit:params"
PROCESS = "hptoolkit:process"  # in a plain `study.optimize`
LEASE = "hptoolkit:lease"
BEAT = "hptoolkit:beat"
LOST = "hptoolkit:lost"

# System attributes of a trial in which an Optuna sampler was asked for positions: those that lay
# outside the region, what the sampler wrote into its study, the prefix of what it wrote into its
# trial, and, of a trial that has to be asked for again, the numbers of those unfinished then.
REJECTED = "hptoolkit:rejected"
OF_STUDY = "hptoolkit:inner_study"
OF_TRIAL = "hptoolkit:inner:"
REPLAY = "hptoolkit:replay"

# What versions up to 0.1 stored without the prefix, and of which kind it is.
_KINDS: dict[str, type] = {
    COORDINATES: dict,
    SEED: int,
    f"{PREFIX}config": dict,  # what was trained; no longer written
    DATA: dict,
    HISTORY: list,
    OWNER: str,
    PRUNED_REASON: str,
    ERROR: str,
    IMAGES_PER_SECOND: float,
    WEIGHTS_LOST: str,
    AT_CHANCE: str,
    DEFINITION: dict,
    SAMPLER: str,
    SLICE: dict,
    OUTCOME: dict,
    GP_REPORT: dict,
    SYMMETRY: dict,
}
_OF_STUDY = {DEFINITION, SAMPLER, SLICE, OUTCOME, GP_REPORT, SYMMETRY}
_Kind = TypeVar("_Kind")


def own(user_attrs: Mapping[str, Any]) -> dict[str, Any]:
    """What the project stored in a study or a trial, an earlier version too, by the keys above.

    What is not of a key's kind was stored by somebody else, and is left out.
    """
    # A study is given its definition, a trial its owner or coordinates, before anything else.
    of_trial = not any(key in user_attrs for key in _KINDS if key not in _OF_STUDY)
    of_study = DEFINITION not in user_attrs
    found = {}
    for key, kind in _KINDS.items():
        old = of_study if key in _OF_STUDY else of_trial
        name = key.removeprefix(PREFIX) if old and key not in user_attrs else key
        if isinstance(user_attrs.get(name), kind):
            found[key] = user_attrs[name]
    return found


def read(user_attrs: Mapping[str, Any], key: str, kind: type[_Kind]) -> _Kind | None:
    """One of them, None if there is none of this kind."""
    value = own(user_attrs).get(key)
    return value if isinstance(value, kind) else None


def foreign(user_attrs: Mapping[str, Any]) -> dict[str, Any]:
    """What others stored: an objective its own attributes."""
    ours = own(user_attrs)
    old = {key.removeprefix(PREFIX) for key in ours if key not in user_attrs}
    return {
        key: value
        for key, value in user_attrs.items()
        if key not in old and not key.startswith(PREFIX)
    }
