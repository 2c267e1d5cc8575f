"""A study's definition: what is trained, what is searched, from where. A file studies/NAME.toml."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Self, get_args

from optuna.distributions import BaseDistribution
from pydantic import Field, ValidationError, model_validator

from hptoolkit.config.schema import Goal, Range, Search, Section
from hptoolkit.coordinates.monomial import parse
from hptoolkit.coordinates.theory import FACTS
from hptoolkit.errors import UserError, nearest
from hptoolkit.search_space.region import Region
from hptoolkit.training.config import DataConfig, ModelConfig, TrainingConfig
from hptoolkit.training.seeds import Varied


class Metric(Section):
    """What is judged, after the last epoch, and the difference that counts as better than noise."""

    name: Literal["validation_accuracy", "validation_loss"] = "validation_accuracy"
    minimum_improvement: float = Field(default=0.0, ge=0, allow_inf_nan=False)


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
            if _tunable()[name] is int and not float(allowed.step or 1).is_integer():
                raise ValueError(
                    f"the search space moves {name}, a whole number, by steps of {allowed.step:g}: "
                    "a whole step is needed"
                )
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
        used = FACTS[self.training.optimizer].hyperparameters
        known = {name for facts in FACTS.values() for name in facts.hyperparameters}
        idle = [name for name in self.search_space if name in known and name not in used]
        if idle and "optimizer" not in self.search_space:
            raise ValueError(
                f"the search space names {', '.join(idle)}, which the optimizer "
                f"{self.training.optimizer!r} does not use: it has {', '.join(used)}"
            )
        return self

    @property
    def lacks_constants(self) -> bool:
        """Whether coordinates name what only the data tells; see `with_constants`."""
        return bool({"steps", "n_train"} & (self._named() - self.constants.keys()))

    def with_constants(self, n_train: int) -> Self:
        """The definition with the constants that its coordinates name, given the training images.

        Raises UserError where it states another value than follows from the data and training.
        """
        training = self.training
        fixed = {
            name: float(getattr(training, name))
            for name in ("epochs", "batch_size")
            if name not in self.search_space
        }
        known = {"n_train": float(n_train), **fixed}
        if len(fixed) == 2:
            known["steps"] = float(n_train // training.batch_size * training.epochs)
        for name, value in self.constants.items():
            if known.get(name, value) != value:
                raise UserError(
                    f"The constant {name} is {value:g} in the definition, and {known[name]:g} by "
                    "its data and training: leave it out."
                )
        named = self._named()
        if "steps" in named and "steps" not in known:
            named |= {"n_train", "epochs", "batch_size"}
        used = {name: value for name, value in known.items() if name in named}
        return self.model_copy(update={"constants": {**self.constants, **used}})

    def _named(self) -> set[str]:
        """What the coordinates and their bounds name."""
        expressions = (*self.coordinates.axes, *self.coordinates.box)
        return {factor.name for expression in expressions for factor in parse(expression)}

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

    @property
    def epochs(self) -> int | None:
        return None if "epochs" in self.search_space else self.training.epochs

    def region(self) -> Region:
        """The region searched. Raises UserError for coordinates or a start that do not fit it."""
        region = Region(self.system, self.distributions, self.coordinates.box)
        region.check_start(self.start)
        return region

    def configure(self, params: Mapping[str, Any]) -> tuple[ModelConfig, TrainingConfig]:
        """The network and the training at raw parameters."""
        model, training = self.model.model_dump(), self.training.model_dump()
        for name, value in params.items():
            (training if name in TrainingConfig.model_fields else model)[name] = value
        return ModelConfig(**model), TrainingConfig(**training)


class OwnObjective(Search):
    """A study of a function of a trial, which tells the search space itself.

    `optimizer`: what it trains with, if a start from theory is wanted; "" where it is not said.
    """

    objective: str
    optimizer: str = ""
    metric: Goal = Goal()

    @property
    def goal(self) -> Goal:
        return self.metric


def _tunable() -> dict[str, Any]:
    """The fields that may be searched, with their types."""
    scalar = {
        name: field.annotation
        for config in (ModelConfig, TrainingConfig)
        for name, field in config.model_fields.items()
    }
    return {name: next(iter(get_args(kind)), kind) for name, kind in scalar.items()}
