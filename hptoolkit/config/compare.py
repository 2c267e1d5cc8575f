"""Whether a study may be continued with another definition."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hptoolkit.config.definition import StudyDefinition
from hptoolkit.config.schema import Search


def differences(stored: Mapping[str, Any], given: Mapping[str, Any]) -> list[str]:
    """The fields in which two identities differ, each in a phrase."""
    before, after = _flat(stored), _flat(given)
    return [
        f"{field} was {before.get(field, 'absent')!r} and is {after.get(field, 'absent')!r}"
        for field in sorted(before.keys() | after.keys())
        if before.get(field) != after.get(field)
    ]


def changed_fields(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    """The dotted fields of the second identity that the first has otherwise, with their values."""
    old = _flat(before)
    return {f: value for f, value in _flat(after).items() if f not in old or old[f] != value}


def widened(before: Search, after: Search, sampler: str) -> bool:
    """Whether two definitions differ in nothing but wider ranges, so that old trials stay valid."""
    if not isinstance(before, StudyDefinition) or not isinstance(after, StudyDefinition):
        return False
    if before.search_space.keys() != after.search_space.keys():
        return False
    free = {"search_space": None}
    same = before.identity(sampler) | free == after.identity(sampler) | free
    pairs = [(before.search_space[name], after.search_space[name]) for name in before.search_space]
    return same and all(new.contains(old) for old, new in pairs)


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{name}.")
        else:
            flat[f"{prefix}{name}"] = list(value) if isinstance(value, tuple) else value
    return flat
