"""A study's definition: what is trained, what is searched, from where. A file studies/NAME.toml."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal, Self, TypeVar, get_args

from optuna.distributions import BaseDistribution
from pydantic import Field, ValidationError, model_validator

from hptoolkit import complaint
from hptoolkit.coordinates import Coordinates
from hptoolkit.errors import UserError, nearest
from hptoolkit.overrides import apply_override
from hptoolkit.search_space.region import Region
from hptoolkit.sections import Goal, Range, Search, Section
from hptoolkit.training.config import DataConfig, ModelConfig, TrainingConfig
from hptoolkit.training.optimizer_table import OPTIMIZER_TABLE
from hptoolkit.training.seeds import Varied

_Kind = TypeVar("_Kind", bound=Search)


class Metric(Section):
    """What is judged, after the last epoch, and the difference that counts as better than noise."""

    name: Literal["validation_accuracy", "validation_loss"] = "validation_accuracy"
    minimum_improvement: float = Field(default=0.0, ge=0)


class StudyDefinition(Search):
    """A study of the built-in objective: everything that decides its results.

    `vary`: what the seed changes: the initialisation, the order of the images, the augmentation,
    or all of them; the others are those of seed 0.
    """

    data: DataConfig
    model: ModelConfig = ModelConfig()
    training: TrainingConfig
    search_space: dict[str, Range] = Field(min_length=1)
    metric: Metric = Metric()
    vary: Varied = "all"

    @model_validator(mode="after")
    def _names_are_fields(self) -> Self:
        for name in self.search_space:
            if name not in _tunable():
                raise ValueError(
                    f"the search space names {name!r}, which neither [training] nor [model] has: "
                    f"{nearest(name, _tunable())}"
                )
        return self

    @model_validator(mode="after")
    def _values_are_allowed(self) -> Self:
        for name, allowed in self.search_space.items():
            for value in allowed.choices or (allowed.low, allowed.high):
                whole = isinstance(value, float) and value.is_integer()
                given = int(value) if whole and _tunable()[name] is int else value  # type: ignore[arg-type]
                try:
                    self.configure({name: given})
                except ValidationError as error:
                    message = error.errors()[0]["msg"]
                    raise ValueError(
                        f"the search space lets {name} be {value!r}: {message}"
                    ) from None
        return self

    @model_validator(mode="after")
    def _optimizer_uses_what_is_searched(self) -> Self:
        used = OPTIMIZER_TABLE[self.training.optimizer].hyperparameters
        known = {name for facts in OPTIMIZER_TABLE.values() for name in facts.hyperparameters}
        idle = [name for name in self.search_space if name in known and name not in used]
        if idle and "optimizer" not in self.search_space:
            raise ValueError(
                f"the search space names {', '.join(idle)}, which the optimizer "
                f"{self.training.optimizer!r} does not use: it has {', '.join(used)}"
            )
        return self

    @property
    def distributions(self) -> dict[str, BaseDistribution]:
        """The search space as Optuna's distributions, by raw name."""
        return {
            name: allowed.distribution(integer=_tunable()[name] is int)
            for name, allowed in self.search_space.items()
        }

    @property
    def goal(self) -> Goal:
        minimize = self.metric.name == "validation_loss"
        return Goal(
            name=self.metric.name,
            direction="minimize" if minimize else "maximize",
            minimum_improvement=self.metric.minimum_improvement,
        )

    def region(self) -> Region:
        """The region searched. Raises UserError for coordinates or a start that do not fit it."""
        coordinates = Coordinates(*self.coordinates.axes)
        region = Region(coordinates, self.distributions, self.coordinates.box)
        region.check_start(self.start)
        return region

    def configure(self, params: Mapping[str, Any]) -> tuple[ModelConfig, TrainingConfig]:
        """The network and the training at raw parameters."""
        model, training = self.model.model_dump(), self.training.model_dump()
        for name, value in params.items():
            (training if name in TrainingConfig.model_fields else model)[name] = value
        return ModelConfig(**model), TrainingConfig(**training)


class OwnObjective(Search):
    """A study of a function of a trial, which tells the search space itself."""

    objective: str
    metric: Goal = Goal()

    @property
    def goal(self) -> Goal:
        return self.metric


def load(name: str, overrides: Iterable[str] = (), **fields: Any) -> StudyDefinition:
    """The definition in studies/NAME.toml, or in a file given by its path.

    Args:
        name: A definition's name, or the path of a TOML file.
        overrides: `field=value` with a dotted field and a TOML value: `training.epochs=10`.
        fields: Top-level fields that replace those of the file, None for none.

    Raises:
        UserError: No such definition, no TOML, an unknown field, or a value that is not allowed.
    """
    path = _find(name)
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not a valid TOML file: {error}.") from None
    content.setdefault("name", path.stem)
    definition = _checked(StudyDefinition, content, overrides, fields, path.name)
    definition.region()
    return definition


def own(objective: str, overrides: Iterable[str] = (), **fields: Any) -> OwnObjective:
    """The definition of a study of `module:function`; overrides and fields as for `load`."""
    module, _, function = objective.partition(":")
    name = f"{Path(module).stem.rpartition('.')[2]}-{function}"
    content: dict[str, Any] = {"name": name, "objective": objective}
    return _checked(OwnObjective, content, overrides, fields, objective)


def split_axes(text: str) -> list[str]:
    """The axes of `lr*weight_decay,weight_decay`."""
    return [axis.strip() for axis in text.split(",") if axis.strip()]


def names() -> list[str]:
    """The names of the definitions at hand: those in ./studies, then the ones that come along."""
    return list(dict.fromkeys(path.stem for folder in _folders() for path in _files(folder)))


def differences(stored: Mapping[str, Any], given: Mapping[str, Any]) -> list[str]:
    """The fields in which two identities differ, each in a phrase."""
    before, after = _flat(stored), _flat(given)
    return [
        f"{field} was {before.get(field, 'absent')!r} and is {after.get(field, 'absent')!r}"
        for field in sorted(before.keys() | after.keys())
        if before.get(field) != after.get(field)
    ]


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
        raise UserError(f"{source}: {complaint.sentence(error, kind)}") from None


def _tunable() -> dict[str, Any]:
    """The fields that may be searched, with their types."""
    scalar = {
        name: field.annotation
        for config in (ModelConfig, TrainingConfig)
        for name, field in config.model_fields.items()
    }
    return {name: next(iter(get_args(kind)), kind) for name, kind in scalar.items()}


def _folders() -> list[Path]:
    package = Path(__file__).parent
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
    raise UserError(f"Unknown study {name!r}: {nearest(name, names())}.")


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{name}.")
        else:
            flat[f"{prefix}{name}"] = list(value) if isinstance(value, tuple) else value
    return flat
