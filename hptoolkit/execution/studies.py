"""Finding a study in a storage: by its own name, or by its definition's."""

from __future__ import annotations

from pathlib import Path

import optuna
from optuna.study import Study
from pydantic import ValidationError

from hptoolkit import storage as storages
from hptoolkit.attributes import DEFINITION, SLICE, read
from hptoolkit.config.definition import OwnObjective, StudyDefinition
from hptoolkit.config.load import stored_definition
from hptoolkit.errors import UserError, command, nearest
from hptoolkit.storage.urls import database_file, redact


def names(address: str) -> list[str]:
    """The names of the studies at an address; none where there is no file. Nothing is made."""
    storages.check(address)
    file = database_file(address) if storages.is_url(address) else Path(address)
    if file is not None and not file.exists():
        return []
    with storages.usable(address):
        return list(optuna.get_all_study_names(storages.connect(address)))


def load(address: str, name: str) -> Study:
    """The study of exactly this name."""
    with storages.usable(address):
        return optuna.load_study(study_name=name, storage=storages.connect(address))


def find(address: str, name: str) -> Study:
    """The study of this name, or the newest one of the definition of this name.

    Raises UserError, with the names of those that exist, if there is none.
    """
    there = names(address)
    if name in there:
        return load(address, name)
    study = newest(address, name)
    if study is not None:
        return study
    if not there:
        raise UserError(
            f"The storage {redact(address)} holds no study: run one by "
            f"{command('study')}, or give another --storage."
        )
    raise UserError(f"The storage {redact(address)} has no study {name!r}: {nearest(name, there)}.")


def newest(address: str, definition: str) -> Study | None:
    """The search that was begun last of those of a definition; slices are no searches."""
    return next(reversed(searches(address, definition)), None)


def searches(address: str, definition: str) -> list[Study]:
    """The searches of a definition, in the order in which they were begun."""
    return [study for study in _of(address, definition) if not is_slice(study)]


def slices(address: str, definition: str) -> list[Study]:
    """The slices of a definition, in the order in which they were begun."""
    return [study for study in _of(address, definition) if is_slice(study)]


def is_slice(study: Study) -> bool:
    """Whether a study is a slice rather than a search."""
    return read(study.user_attrs, SLICE, dict) is not None


def _of(address: str, definition: str) -> list[Study]:
    """The studies of a definition, in the order in which they were begun."""
    there = names(address)
    if not there:
        return []
    with storages.usable(address):
        storage = storages.connect(address)
        studies = [optuna.load_study(study_name=name, storage=storage) for name in there]
        definitions = [read(study.user_attrs, DEFINITION, dict) for study in studies]
    return [
        study
        for study, stored in zip(studies, definitions, strict=True)
        if stored is not None and stored.get("name") == definition
    ]


def definition_of(study: Study) -> StudyDefinition | OwnObjective | None:
    """The definition that a study keeps; None for one that hptoolkit did not make."""
    stored = read(study.user_attrs, DEFINITION, dict)
    if stored is None:
        return None
    try:
        return stored_definition(stored)
    except ValidationError:
        return None
