"""Opening the stored study that a definition continues, or a new one."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import Any

import optuna
from optuna.pruners import BasePruner
from optuna.storages import BaseStorage
from optuna.study import Study
from optuna.trial import TrialState
from pydantic import ValidationError

from hptoolkit import storage as storages
from hptoolkit.attributes import DEFINITION, FORMAT, SAMPLER, read
from hptoolkit.config.compare import differences, widened
from hptoolkit.config.definition import OwnObjective
from hptoolkit.config.load import former_objective_name, objective_name, stored_definition
from hptoolkit.config.schema import Search
from hptoolkit.errors import UserError
from hptoolkit.execution import studies
from hptoolkit.optuna_internals import storage_of, study_id_of
from hptoolkit.samplers import CoordinateSampler
from hptoolkit.storage.identity import study_uid

_FORMAT = 1

# Seconds that another worker, which makes the study just now, has to write the definition.
_PATIENCE = 2.0


def open_study(
    defined: Search,
    kind: str,
    sampler: CoordinateSampler,
    pruner: BasePruner,
    address: str,
    *,
    fresh: bool,
    raw: bool,
) -> Study:
    """The newest study of this name and sampler, or a new one if there is none or `fresh` is asked.

    Args:
        defined: The definition; a stored one must be the same, or narrower.
        kind: The sampler's name on the command line.
        sampler, pruner: What the study is to use.
        address: The storage.
        fresh: Whether to begin anew; what is stored stays.
        raw: Whether raw axes are searched: another study.

    Raises:
        UserError: The storage cannot be used, or the stored study has another definition.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    storage = storages.connect(address)
    with storages.usable(address):
        names = optuna.get_all_study_names(storage)
        ending = _ending(kind, raw=raw)
        base = f"{defined.name}-{ending}"
        found = None if fresh else storages.latest(base, names)
        if found is None and not fresh and isinstance(defined, OwnObjective):
            found, defined = _formerly_named(defined, ending, storage, names)
        if found is not None:
            stored = optuna.load_study(study_name=found, storage=storage)
            try:
                _check_same(stored, defined, kind)
            except UserError:
                if not _is_untried(stored):
                    raise
                optuna.delete_study(study_name=found, storage=storage)
        study = optuna.create_study(
            study_name=found or storages.fresh(base, names),
            storage=storage,
            sampler=sampler,
            pruner=pruner,
            direction=defined.goal.direction,
            load_if_exists=True,
        )
        storage.set_study_system_attr(study_id_of(study), FORMAT, _FORMAT)
        study.set_user_attr(DEFINITION, defined.identity(kind))
        study.set_user_attr(SAMPLER, kind)
        study_uid(study)  # before several processes work on it
        return study


def _formerly_named(
    defined: OwnObjective, ending: str, storage: BaseStorage, names: Iterable[str]
) -> tuple[str | None, OwnObjective]:
    """A study of the same function that was stored under an older rule for names, if there is one.

    It is continued under that name, which the definition gets, too.
    """
    former = former_objective_name(defined.objective)
    found = storages.latest(f"{former}-{ending}", names)
    if found is None or defined.name != objective_name(defined.objective):
        return None, defined
    study = optuna.load_study(study_name=found, storage=storage)
    kept = read(study.user_attrs, DEFINITION, dict)
    if kept is None or kept.get("objective") != defined.objective:
        return None, defined
    return found, defined.model_copy(update={"name": former})


def stored_start(
    defined: Search, kind: str, address: str, *, raw: bool
) -> Mapping[str, Any] | None:
    """Where the stored study that a definition would continue began; None if there is none."""
    found = storages.latest(f"{defined.name}-{_ending(kind, raw=raw)}", studies.names(address))
    if found is None:
        return None
    kept = read(studies.load(address, found).user_attrs, DEFINITION, dict)
    try:
        before = stored_definition(kept or {})
    except ValidationError:
        return None  # opening it says what is wrong
    return before.start or None


def _ending(kind: str, *, raw: bool) -> str:
    return f"{kind}{'-raw' if raw else ''}"


def _check_same(stored: Study, defined: Search, kind: str) -> None:
    """Refuse to mix two definitions in one study; a wider search space keeps the old trials."""
    written = storage_of(stored).get_study_system_attrs(study_id_of(stored)).get(FORMAT, _FORMAT)
    if written > _FORMAT:
        raise UserError(
            f"The stored study {stored.study_name} was written by a newer version of hptoolkit "
            f"(format {written}, this one knows {_FORMAT}): update hptoolkit, or use --fresh to "
            "begin a new study."
        )
    kept = _definition(stored)
    if kept is None:
        same = stored.direction.name.lower() == defined.goal.direction
        if same and not stored.get_trials(deepcopy=False):
            return  # whoever made it was killed before it wrote more
        raise UserError(
            f"The storage has a study {stored.study_name} that hptoolkit did not make: use --fresh "
            "to begin another, or another --storage."
        )
    try:
        # A definition stored before a field existed has that field's default.
        before = stored_definition(kept)
    except ValidationError as error:
        raise UserError(
            f"The stored study {stored.study_name} was written by another version of hptoolkit "
            f"({error.errors()[0]['msg']}): use --fresh to begin a new one."
        ) from None
    differing = differences(before.identity(kind), defined.identity(kind))
    if differing and not widened(before, defined, kind):
        raise UserError(
            f"The stored study {stored.study_name} has another definition: {'; '.join(differing)}. "
            "Use --fresh to begin a new study (the old one is kept), or take the change back."
        )


def _is_untried(stored: Study) -> bool:
    """Whether all that a study holds are trials put back before they reported anything.

    Bad input that its first trials met leaves that; mending it may change the definition.
    """
    trials = stored.get_trials(deepcopy=False)
    return bool(trials) and all(
        t.state == TrialState.WAITING
        and not t.intermediate_values
        and "fixed_params" not in t.system_attrs  # enqueued by somebody
        for t in trials
    )


def _definition(stored: Study) -> Any:
    """The definition in a stored study; None if there is none, after a moment too if it is new."""
    deadline = time.monotonic() + _PATIENCE
    while (kept := read(stored.user_attrs, DEFINITION, dict)) is None:
        if stored.get_trials(deepcopy=False) or time.monotonic() > deadline:
            break
        time.sleep(0.1)
    return kept
