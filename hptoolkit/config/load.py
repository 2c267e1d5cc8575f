"""Reading a study's definition: studies/NAME.toml, or that of a user's function."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from hptoolkit.config import validation_message
from hptoolkit.config.axes import follow_optimizer
from hptoolkit.config.definition import OwnObjective, StudyDefinition
from hptoolkit.config.overrides import apply_override
from hptoolkit.config.schema import Search
from hptoolkit.errors import UserError, nearest

_Kind = TypeVar("_Kind", bound=Search)


def load_study(name: str, overrides: Iterable[str] = (), **fields: Any) -> StudyDefinition:
    """The definition in studies/NAME.toml, or in a file given by its path.

    Where neither names axes, they are theory's for the optimizer; `coordinates.axes = []` asks for
    every parameter as its own.

    Args:
        name: A definition's name, or the path of a TOML file.
        overrides: `field=value` with a dotted field and a TOML value: `training.epochs=10`.
        fields: Top-level fields that replace those of the file, None for none.

    Raises:
        UserError: No such definition, no TOML, an unknown field, or a value that is not allowed.
    """
    path = _find(name)
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not a valid TOML file: {error}.") from None
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}).") from None
    content.setdefault("name", path.stem)
    definition = _checked(StudyDefinition, content, overrides, fields, path.name)
    section = content.get("coordinates", {})
    if isinstance(section, dict) and "axes" not in section:
        definition = follow_optimizer(definition)
    if not definition.lacks_constants:
        definition.region()
    return definition


def load_function(objective: str, overrides: Iterable[str] = (), **fields: Any) -> OwnObjective:
    """The definition of a study of `module:function`; overrides and fields as for `load_study`."""
    content: dict[str, Any] = {"name": objective_name(objective), "objective": objective}
    return _checked(OwnObjective, content, overrides, fields, objective)


def objective_name(objective: str) -> str:
    """What a study of `package.module:function` or `folder/file.py:function` is called.

    The whole path decides: two modules `train` are two studies. A file that lies in the current
    folder is named from there.
    """
    module, _, function = objective.rpartition(":")
    if module.endswith(".py"):
        path = Path(os.path.abspath(module))
        here = Path.cwd()
        parts = (
            (path.relative_to(here) if path.is_relative_to(here) else path).with_suffix("").parts
        )
        module = ".".join(part for part in parts if part.strip("/\\"))
    name = re.sub(r"[^A-Za-z0-9._-]", "_", f"{module}-{function}").lstrip("._-")
    return name or "objective"


def former_objective_name(objective: str) -> str:
    """The name that earlier versions gave it: one part of its module's path."""
    module, _, function = objective.partition(":")
    return f"{Path(module).stem.rpartition('.')[2]}-{function}"


def stored_definition(fields: Mapping[str, Any]) -> StudyDefinition | OwnObjective:
    """The definition that a study keeps. Raises ValidationError for one of another version."""
    return (OwnObjective if "objective" in fields else StudyDefinition).model_validate(fields)


def split_axes(text: str) -> list[str]:
    """The axes of `lr*weight_decay,weight_decay`."""
    return [axis.strip() for axis in text.split(",") if axis.strip()]


def study_names() -> list[str]:
    """The names of the definitions at hand: those in ./studies, then the ones that come along."""
    return list(dict.fromkeys(path.stem for folder in _folders() for path in _files(folder)))


def _checked(
    kind: type[_Kind],
    content: dict[str, Any],
    overrides: Iterable[str],
    fields: Mapping[str, Any],
    source: str,
) -> _Kind:
    """The definition that some content makes; the error for a bad one begins with its source."""
    for override in overrides:
        apply_override(override, content)
    given = {field: value for field, value in fields.items() if value is not None}
    try:
        return kind.model_validate(content | given)
    except ValidationError as error:
        raise UserError(f"{source}: {validation_message.sentence(error, kind)}") from None


def _folders() -> list[Path]:
    package = Path(__file__).parent.parent
    return [Path("studies"), package.parent / "studies", package / "studies"]


def _files(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.toml"))


def _find(name: str) -> Path:
    if name.endswith(".toml"):
        if Path(name).is_file():
            return Path(name)
        raise UserError(f"There is no file {name}. Give the path of a study's TOML file.")
    for folder in _folders():
        if (folder / f"{name}.toml").is_file():
            return folder / f"{name}.toml"
    raise UserError(f"Unknown study {name!r}: {nearest(name, study_names())}.")
