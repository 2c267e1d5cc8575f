"""What a training run is, as frozen, validated values. Imports neither torch nor numpy."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

Optimizer = Literal["sgd", "nesterov"]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Fraction = Annotated[float, Field(ge=0, lt=1)]


class _Config(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class DataConfig(_Config):
    """Which images, how many of them, and the validation split cut from the training data.

    `train_size` first cuts the training data to a stratified subset of that size (None: all);
    `validation_fraction` of it is then set aside. Both cuts depend on `split_seed` alone.
    """

    name: str = "digits"
    train_size: int | None = Field(default=None, ge=2)
    validation_fraction: float = Field(default=0.2, gt=0, lt=1)
    split_seed: int = Field(default=0, ge=0)


class ModelConfig(_Config):
    """Page's network: `width` channels after the first convolution, logits times `output_scale`."""

    width: int = Field(default=64, ge=1)
    output_scale: Positive = 0.125


class ScheduleConfig(_Config):
    """The learning rate as a multiple of its peak `lr`, over progress in [0, 1].

    `piecewise`: linear between the `knots` (from 0 to 1, rising), where it takes the `values`.
    """

    name: Literal["piecewise"] = "piecewise"
    knots: tuple[float, ...] = (0.0, 0.2, 1.0)
    values: tuple[NonNegative, ...] = (0.0, 1.0, 0.0)

    @model_validator(mode="after")
    def _pieces_cover_the_run(self) -> Self:
        if len(self.knots) != len(self.values) or len(self.knots) < 2:
            raise ValueError(
                f"a piecewise schedule needs as many values as knots, at least 2: got "
                f"{len(self.knots)} knots and {len(self.values)} values"
            )
        rising = all(left < right for left, right in zip(self.knots, self.knots[1:], strict=False))
        if self.knots[0] != 0 or self.knots[-1] != 1 or not rising:
            raise ValueError(
                f"the knots of a piecewise schedule must rise from 0 to 1, so that they cover "
                f"the whole run: got {list(self.knots)}"
            )
        return self


def _schedule_from_name(value: Any) -> Any:
    return {"name": value} if isinstance(value, str) else value


class TrainingConfig(_Config):
    """How to train. `lr` is the peak of the schedule; a loss is the mean over a batch.

    `crop_padding`, `cutout`: pixels (0: off). `weight_decay` acts on every parameter.
    """

    epochs: int = Field(default=24, ge=1)
    batch_size: int = Field(default=512, ge=1)
    optimizer: Optimizer = "nesterov"
    lr: Positive = 0.4
    momentum: Fraction = 0.9
    weight_decay: NonNegative = 5e-4
    schedule: Annotated[ScheduleConfig, BeforeValidator(_schedule_from_name)] = ScheduleConfig()
    flip: bool = True
    crop_padding: int = Field(default=4, ge=0)
    cutout: int = Field(default=8, ge=0)
