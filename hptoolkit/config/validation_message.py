"""What pydantic finds wrong with a study's definition, in a sentence."""

from __future__ import annotations

from typing import Any, get_args

from pydantic import ValidationError

from hptoolkit.config.schema import Range, Search, Value
from hptoolkit.errors import nearest


def sentence(error: ValidationError, kind: type[Search]) -> str:
    """The first complaint of pydantic, with the field, what was given and what was expected."""
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        valid = _fields(first["loc"], kind)
        return f"Unknown field {where!r}: {nearest(str(first['loc'][-1]), valid)}."
    message = first["msg"].removeprefix("Value error, ")
    if first["type"] == "missing":
        return f"The field {where!r} is missing."
    given = first["input"]
    shown = f" = {given!r}" if isinstance(given, Value | None) else ""
    return f"{where}{shown}: {message[0].lower()}{message[1:]}." if where else f"{message}."


def _fields(location: tuple[int | str, ...], kind: type[Search]) -> list[str]:
    """The fields of the section in which an unknown one was found."""
    section: Any = kind
    for part in location[:-1]:
        field = getattr(section, "model_fields", {}).get(str(part))
        kinds = [field.annotation, *get_args(field.annotation)] if field else [Range]
        section = next((k for k in kinds if hasattr(k, "model_fields")), Range)
    return list(section.model_fields)
