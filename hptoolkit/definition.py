"""A study's definition: what is trained, what is searched, from where. A file studies/NAME.toml."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from hptoolkit.coordinates import Coordinates
from hptoolkit.errors import UserError, nearest
from hptoolkit.region import Region
from hptoolkit.training.config import DataConfig, ModelConfig, TrainingConfig

Pruner = Literal["none", "median", "halving", "hyperband"]
Value = bool | int | float | str


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Range(_Section):
    """The values that a parameter may take: from `low` to `high`, or one of `choices`."""

    low: float | None = None
    high: float | None = None
    log: bool = False
    step: float | None = Field(default=None, gt=0)
    choices: tuple[Value, ...] | None = None

    @model_validator(mode="after")
    def _is_a_range(self) -> Self:
        if (self.choices is None) == (self.low is None or self.high is None):
            raise ValueError("either 'low' and 'high', or 'choices' are needed")
        if self.choices is not None and not self.choices:
            raise ValueError("'choices' is empty")
        if self.low is not None and self.high is not None and not self.low <= self.high:
            raise ValueError(f"low = {self.low:g} lies above high = {self.high:g}")
        if self.log and self.low is not None and self.low <= 0:
            raise ValueError(f"low = {self.low:g}, but a logarithmic range begins above 0")
        if self.log and self.step is not None:
            raise ValueError("a logarithmic range takes no 'step'")
        return self

    def contains(self, other: Range) -> bool:
        """Whether this is a continuous range of the same kind that holds all of the other."""
        if self == other:
            return True
        if self.low is None or self.high is None or other.low is None or other.high is None:
            return False
        alike = (self.log, self.step, other.step) == (other.log, None, None)
        return alike and self.low <= other.low and other.high <= self.high

    def distribution(self, integer: bool) -> BaseDistribution:
        """The range as Optuna's distribution."""
        if self.choices is not None:
            return CategoricalDistribution(self.choices)
        low, high = self.low or 0.0, self.high or 0.0
        if integer:
            return IntDistribution(int(low), int(high), log=self.log, step=int(self.step or 1))
        return FloatDistribution(low, high, log=self.log, step=self.step)


class CoordinatesSection(_Section):
    """The axes (empty: every parameter is its own) and bounds on some of them."""

    axes: tuple[str, ...] = ()
    box: dict[str, tuple[float, float]] = {}


class Metric(_Section):
    """What is judged, after the last epoch, and the difference that counts as better than noise."""

    name: Literal["validation_accuracy", "validation_loss"] = "validation_accuracy"
    minimum_improvement: float = Field(default=0.0, ge=0)

    @property
    def direction(self) -> Literal["maximize", "minimize"]:
        return "minimize" if self.name == "validation_loss" else "maximize"


class Descent(_Section):
    """How coordinate descent steps; see `CoordinateDescentSampler`."""

    factor: float = Field(default=2.0, gt=1)
    order: tuple[str, ...] = ()
    directions: dict[str, Literal["up", "down"]] = {}
    line_search: Literal["doubling", "accelerated"] = "doubling"
    refine: int = Field(default=0, ge=0)


class Grid(_Section):
    """How fine the grid is; see `GridSampler`."""

    levels: int | dict[str, int] | None = None
    zooms: int = Field(default=1, ge=0)


class Random(_Section):
    """How random points are drawn; see `RandomSampler`."""

    method: Literal["uniform", "sobol"] = "uniform"


class StudyDefinition(_Section):
    """Everything that decides a study's results."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    description: str = ""
    data: DataConfig
    model: ModelConfig = ModelConfig()
    training: TrainingConfig
    search_space: dict[str, Range] = Field(min_length=1)
    coordinates: CoordinatesSection = CoordinatesSection()
    start: dict[str, Value] = {}
    metric: Metric = Metric()
    coord: Descent = Descent()
    grid: Grid = Grid()
    random: Random = Random()
    pruner: Pruner = "none"
    seed: int = Field(default=0, ge=0)
    trials: Annotated[int, Field(ge=1)] = 100

    @model_validator(mode="after")
    def _names_are_fields(self) -> Self:
        for name in self.search_space:
            if name not in _tunable():
                raise ValueError(
                    f"the search space names {name!r}, which neither [training] nor [model] has: "
                    f"{nearest(name, _tunable())}"
                )
        return self

    @property
    def distributions(self) -> dict[str, BaseDistribution]:
        """The search space as Optuna's distributions, by raw name."""
        return {
            name: allowed.distribution(integer=_tunable()[name] is int)
            for name, allowed in self.search_space.items()
        }

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

    def identity(self, sampler: str) -> dict[str, Any]:
        """What must not change while a study is continued with a sampler, as JSON values."""
        others = {"coord", "grid", "random"} - {sampler}
        return self.model_dump(mode="json", exclude={"description", "trials", *others})

    def over_raw_axes(self) -> StudyDefinition:
        """The same region searched over the raw parameters, each an axis of its own.

        A parameter that the coordinates name keeps its logarithmic scale (1−ρ for ρ), so that
        nothing but the mixing of parameters differs.
        """
        factors = Coordinates(*self.coordinates.axes).factors
        axes = tuple(str(factor) for factor in factors)
        section = CoordinatesSection(axes=axes, box=self.coordinates.box)
        names = {*axes, *self.search_space}
        kept = {axis: way for axis, way in self.coord.directions.items() if axis in names}
        order = tuple(axis for axis in self.coord.order if axis in names)
        coord = self.coord.model_copy(update={"directions": kept, "order": order})
        return self.model_copy(update={"coordinates": section, "coord": coord})


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
    for override in overrides:
        _override(content, override)
    content |= {field: value for field, value in fields.items() if value is not None}
    try:
        definition = StudyDefinition.model_validate(content)
    except ValidationError as error:
        raise UserError(f"{path.name}: {_sentence(error)}") from None
    definition.region()
    return definition


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


def widened(before: StudyDefinition, after: StudyDefinition, sampler: str) -> bool:
    """Whether two definitions differ in nothing but wider ranges, so that old trials stay valid."""
    if before.search_space.keys() != after.search_space.keys():
        return False
    free = {"search_space": None}
    same = before.identity(sampler) | free == after.identity(sampler) | free
    pairs = [(before.search_space[name], after.search_space[name]) for name in before.search_space]
    return same and all(new.contains(old) for old, new in pairs)


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


def _override(content: dict[str, Any], override: str) -> None:
    field, equals, text = override.partition("=")
    if not equals or not field.strip():
        raise UserError(f"--set {override!r} is not FIELD=VALUE, such as training.epochs=10.")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text.strip()
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
    except tomllib.TOMLDecodeError:
        raise UserError(f"--set: {field!r} is not a field, such as training.epochs.") from None
    parts = []
    while isinstance(node, dict):
        part, node = next(iter(node.items()))
        parts.append(part)
    return parts


def _sentence(error: ValidationError) -> str:
    """The first complaint of pydantic, with the field, what was given and what was expected."""
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        return f"Unknown field {where!r}: {nearest(str(first['loc'][-1]), _fields(first['loc']))}."
    message = first["msg"].removeprefix("Value error, ")
    if first["type"] == "missing":
        return f"The field {where!r} is missing."
    given = first["input"]
    shown = f" = {given!r}" if isinstance(given, Value | None) else ""
    return f"{where}{shown}: {message[0].lower()}{message[1:]}." if where else f"{message}."


def _fields(location: tuple[int | str, ...]) -> list[str]:
    """The fields of the section in which an unknown one was found."""
    section: Any = StudyDefinition
    for part in location[:-1]:
        field = getattr(section, "model_fields", {}).get(str(part))
        kinds = [field.annotation, *get_args(field.annotation)] if field else [Range]
        section = next((k for k in kinds if hasattr(k, "model_fields")), Range)
    return list(section.model_fields)


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{name}.")
        else:
            flat[f"{prefix}{name}"] = list(value) if isinstance(value, tuple) else value
    return flat
