"""The sections of a study's definition that do not depend on what is trained."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, Literal, Self

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from pydantic import BaseModel, ConfigDict, Field, model_validator

from hptoolkit.coordinates import Coordinates

Pruner = Literal["none", "median", "halving", "hyperband"]
Value = bool | int | float | str


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


def _first_repeated(values: Sequence[Value]) -> int | None:
    """Where a value stands that was there before; 1 and true are the same, as for Optuna."""
    return next((i for i, value in enumerate(values) if value in values[:i]), None)


class Range(Section):
    """The values that a parameter may take: from `low` to `high`, or one of `choices`."""

    low: float | None = Field(default=None, allow_inf_nan=False)
    high: float | None = Field(default=None, allow_inf_nan=False)
    log: bool = False
    step: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    choices: tuple[Value, ...] | None = None

    @model_validator(mode="after")
    def _is_a_range(self) -> Self:
        if (self.choices is None) == (self.low is None or self.high is None):
            raise ValueError("either 'low' and 'high', or 'choices' are needed")
        if self.choices is not None and not self.choices:
            raise ValueError("'choices' is empty")
        if self.choices is not None and (twice := _first_repeated(self.choices)) is not None:
            raise ValueError(f"'choices' holds {self.choices[twice]!r} twice")
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


class CoordinatesSection(Section):
    """The axes (empty: every parameter is its own) and bounds on some of them."""

    axes: tuple[str, ...] = ()
    box: dict[str, tuple[float, float]] = {}


class Goal(Section):
    """What is judged, and the difference that counts as better than noise."""

    name: str = "value"
    direction: Literal["maximize", "minimize"] = "maximize"
    minimum_improvement: float = Field(default=0.0, ge=0, allow_inf_nan=False)


class Descent(Section):
    """How coordinate descent steps; see `CoordinateDescentSampler`."""

    factor: float = Field(default=2.0, gt=1, allow_inf_nan=False)
    order: tuple[str, ...] = ()
    directions: dict[str, Literal["up", "down"]] = {}
    line_search: Literal["doubling", "accelerated"] = "accelerated"
    refine: int = Field(default=0, ge=0, le=20)

    @model_validator(mode="after")
    def _names_an_axis_once(self) -> Self:
        if (twice := _first_repeated(self.order)) is not None:
            raise ValueError(f"'order' names {self.order[twice]!r} twice")
        return self


class Grid(Section):
    """How fine the grid is; see `GridSampler`."""

    levels: int | dict[str, int] | None = None
    zooms: int = Field(default=1, ge=0)


class Random(Section):
    """How random points are drawn; see `RandomSampler`."""

    method: Literal["uniform", "sobol"] = "uniform"


class Search(Section):
    """What decides how an objective is searched, whatever it is.

    `constants`: known values that coordinates may name, such as `steps`, the optimizer's steps in a
    run. `start`: raw values of the first run.
    """

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    description: str = ""
    coordinates: CoordinatesSection = CoordinatesSection()
    constants: dict[str, Annotated[float, Field(gt=0, allow_inf_nan=False)]] = {}
    start: dict[str, Value] = {}
    coord: Descent = Descent()
    grid: Grid = Grid()
    random: Random = Random()
    pruner: Pruner = "none"
    seed: int = Field(default=0, ge=0, lt=2**32)
    trials: Annotated[int, Field(ge=1)] = 100

    @property
    def distributions(self) -> Mapping[str, BaseDistribution] | None:
        """The search space by raw name; None where the objective itself tells it."""
        return None

    @property
    def system(self) -> Coordinates:
        """The coordinates searched. Raises UserError for axes that are none."""
        return Coordinates(*self.coordinates.axes, constants=self.constants)

    @property
    def goal(self) -> Goal:
        """What is judged."""
        raise NotImplementedError

    @property
    def epochs(self) -> int | None:
        """Epochs of a trial; None where they are unknown or searched."""
        return None

    def identity(self, sampler: str) -> dict[str, Any]:
        """What must not change while a study is continued with a sampler, as JSON values."""
        others = {"coord", "grid", "random"} - {sampler}
        return self.model_dump(mode="json", exclude={"description", "trials", *others})

    def over_raw_axes(self) -> Self:
        """The same region searched over the raw parameters, each an axis of its own.

        A parameter that the coordinates name keeps its logarithmic scale (1−ρ for ρ), so that
        nothing but the mixing of parameters differs.
        """
        factors = self.system.factors
        return self.over(str(factor) for factor in factors)

    def over(self, axes: Iterable[str]) -> Self:
        """The same region and start, searched over other axes.

        Bounds stay; orders and first directions of axes that are no more are dropped.
        """
        section = CoordinatesSection(axes=tuple(axes), box=self.coordinates.box)
        names = {*section.axes, *(self.distributions or ())}
        coord = self.coord.model_copy(
            update={
                "directions": {a: way for a, way in self.coord.directions.items() if a in names},
                "order": tuple(axis for axis in self.coord.order if axis in names),
            }
        )
        return self.model_copy(update={"coordinates": section, "coord": coord})
