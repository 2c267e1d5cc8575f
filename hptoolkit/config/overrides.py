"""Fields of a study's definition set on the command line, `--set FIELD=VALUE`."""

from __future__ import annotations

import tomllib
from typing import Any

from hptoolkit.errors import UserError


def apply_override(override: str, content: dict[str, Any]) -> None:
    """Set a field of a definition.

    Args:
        override: `field=value` with a dotted field and a TOML value: `training.epochs=10`.
        content: The definition as a TOML file holds it; changed in place.

    Raises:
        UserError: No field, or one within a value.
    """
    field, equals, text = override.partition("=")
    if not equals or not field.strip():
        raise UserError(f"--set {override!r} is not FIELD=VALUE, such as training.epochs=10.")
    value = _value(text)
    *sections, last = _path(field.strip())
    for section in sections:
        content = content.setdefault(section, {})
        if not isinstance(content, dict):
            raise UserError(f"--set {override!r}: {section!r} holds a value, not a section.")
    content[last] = value


def _path(field: str) -> list[str]:
    """A dotted field's parts; a part with dots of its own stands in quotes, as in TOML."""
    try:
        node: Any = tomllib.loads(f"{field} = 0")
    except (tomllib.TOMLDecodeError, RecursionError):
        node = None
    parts = []
    while isinstance(node, dict) and len(node) == 1:
        ((part, node),) = node.items()
        parts.append(part)
    if node != 0:  # a comment, several lines
        raise UserError(f"--set: {field!r} is not a field, such as training.epochs.")
    return parts


def _value(text: str) -> Any:
    """A TOML value; anything else is a text."""
    try:
        found = tomllib.loads(f"value = {text}")
    except (tomllib.TOMLDecodeError, RecursionError):
        found = {}
    return found["value"] if found.keys() == {"value"} else text.strip()
