"""What a training run is, as frozen, validated values. Imports neither torch nor numpy."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

Optimizer = Literal[
    "sgd",
    "momentum",
    "nesterov",
    "adagrad",
    "rmsprop",
    "adam",
    "adamw",
    "lbfgs",
    "shampoo",
    "lars",
    "lamb",
    "muon",
]
Schedule = Literal[
    "constant",
    "step",
    "linear",
    "exponential",
    "cosine",
    "piecewise",
    "triangular",
    "cosine-restarts",
    "1cycle",
]
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
    validation_fraction: float = Field(default=0.1, gt=0, lt=1)
    split_seed: int = Field(default=0, ge=0, lt=2**32)


class ModelConfig(_Config):
    """Page's network: `width` channels after the first convolution, logits times `output_scale`.

    dropout: share of the features dropped before the classifier.
    ghost_batch: batch norm over groups of about this many images (None: the whole batch).
    pool_first: max-pool before batch norm instead of after it. Faster, but another network.
    """

    width: int = Field(default=64, ge=1, le=2**16)
    output_scale: Positive = 0.125
    dropout: Fraction = 0.0
    ghost_batch: int | None = Field(default=None, ge=2)
    pool_first: bool = False


class TrainingConfig(_Config):
    """How to train. Every field has one meaning for all optimizers and schedules that use it.

    lr: the peak of the schedule, for the mean loss of a batch.
    momentum: of the gradient; the first beta of Adam and its relatives.
    beta2: memory of the squared gradient (RMSProp, Adam, AdamW, LAMB).
    weight_decay: on every parameter (LARS: on matrices), in the form the optimizer has; with
        `decoupled_decay`, as w <- (1 - lr*weight_decay)*w before each step of any optimizer.
    trust_coefficient: LARS. precondition_every: Shampoo, steps. history, iterations: L-BFGS.
    muon_rest, muon_rest_lr: for what Muon does not train (None: lr).

    schedule_*: multiples of lr against progress in [0, 1]; see `schedules.build`.
    warmup: share of the run that rises linearly from 0 before the schedule begins.
    momentum_low: to which 1cycle lowers the momentum, if it is higher.

    flip, crop_padding, cutout: augmentation, in pixels (0: off). label_smoothing: share.
    patience: epochs without a better `patience_metric` after which the run ends (None: never).
    ema: evaluate an average of the weights with this decay a step (0: off).
    flip_tta: evaluate the mean logits of an image and its mirror image.
    precision: of activations and gradients inside the network; weights stay float32. auto:
        bfloat16 on a GPU that computes in it, else float32. bfloat16 is 1.4 to 2.1 times as fast on
        CPUs with AVX512-BF16 or AMX, and far slower on others, which emulate it.
    """

    epochs: int = Field(default=24, ge=1)
    batch_size: int = Field(default=512, ge=1)

    optimizer: Optimizer = "nesterov"
    lr: Positive = 0.4
    momentum: Fraction = 0.9
    beta2: Fraction = 0.999
    eps: Positive = 1e-8
    weight_decay: NonNegative = 5e-4
    decoupled_decay: bool = False
    trust_coefficient: Positive = 1e-3
    precondition_every: int = Field(default=1, ge=1)
    history: int = Field(default=10, ge=1)
    iterations: int = Field(default=4, ge=1)
    muon_rest: Literal["sgd", "adamw"] = "sgd"
    muon_rest_lr: Positive | None = None

    schedule: Schedule = "piecewise"
    schedule_knots: tuple[float, ...] = (0.0, 0.2, 1.0)
    schedule_values: tuple[NonNegative, ...] = (0.0, 1.0, 0.0)
    schedule_start: NonNegative = 0.04
    schedule_final: NonNegative = 0.0
    schedule_peak: float = Field(default=0.4, gt=0, le=0.5)
    schedule_drops: tuple[Annotated[float, Field(gt=0, lt=1)], ...] = (0.5, 0.75)
    schedule_drop_factor: float = Field(default=0.1, gt=0, lt=1)
    schedule_cycles: int = Field(default=3, ge=1)
    schedule_growth: float = Field(default=2.0, ge=1, allow_inf_nan=False)
    warmup: Fraction = 0.0
    momentum_low: Fraction = 0.85

    flip: bool = True
    crop_padding: int = Field(default=4, ge=0)
    cutout: int = Field(default=8, ge=0)
    label_smoothing: Fraction = 0.0
    patience: int | None = Field(default=None, ge=1)
    patience_metric: Literal["validation_accuracy", "validation_loss"] = "validation_accuracy"
    ema: Fraction = 0.0
    flip_tta: bool = False
    precision: Literal["auto", "float32", "bfloat16"] = "auto"

    @model_validator(mode="after")
    def _pieces_cover_the_run(self) -> Self:
        knots, values = self.schedule_knots, self.schedule_values
        if len(knots) != len(values) or len(knots) < 2:
            raise ValueError(
                f"schedule_knots and schedule_values must be as many, and at least 2: got "
                f"{len(knots)} knots and {len(values)} values"
            )
        rising = all(left < right for left, right in pairwise(knots))
        if knots[0] != 0 or knots[-1] != 1 or not rising:
            raise ValueError(
                f"schedule_knots must rise from 0 to 1, so that the pieces cover the whole run: "
                f"got {list(knots)}"
            )
        return self

    @model_validator(mode="after")
    def _fields_go_together(self) -> Self:
        if list(self.schedule_drops) != sorted(set(self.schedule_drops)):
            raise ValueError(f"schedule_drops must rise, got {list(self.schedule_drops)}")
        if self.schedule == "exponential" and self.schedule_final == 0:
            raise ValueError(
                "an exponential schedule never reaches 0: set schedule_final above 0, such as 0.01"
            )
        if self.optimizer == "lbfgs" and self.decoupled_decay and self.weight_decay:
            raise ValueError("L-BFGS takes no weight decay: set decoupled_decay to false")
        return self
