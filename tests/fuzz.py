"""Random bad input: what hypothesis draws for definitions, command lines, data sets and storages.

Used by tests/test_fuzz.py (a few hundred cases) and benchmarks/fuzz.py (thousands). What must hold:
no exception but UserError, exit code 0, 1, 2 or 130, and a refused command leaves nothing behind.
"""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import strategies as st

from hptoolkit.config.definition import StudyDefinition
from hptoolkit.training.config import ModelConfig, TrainingConfig
from tests.commands import Done, command

CODES = (0, 1, 2, 130)

NUMBERS = st.one_of(
    st.sampled_from([0, 1, 2, -1, 8, 16, 2**31, 2**32, 2**63, 2**64, 10**40, 0.5, 1e-7, 1e30]),
    st.integers(-3, 20),
    st.floats(allow_nan=True, allow_infinity=True),
)
TEXTS = st.one_of(
    st.sampled_from(["", "lr", "momentum", "[red]", "a b", "../x", "ü", "\0", "'", "x" * 300]),
    st.text(max_size=8),
)
SCALARS = st.one_of(NUMBERS, TEXTS, st.booleans())
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(["low", "high", "step",
        "log", "choices", "lr", "momentum"]), inner, max_size=4)
    ),
    max_leaves=5,
)  # fmt: skip
RANGES = st.fixed_dictionaries(
    {},
    optional={
        "low": NUMBERS, "high": NUMBERS, "step": NUMBERS, "log": st.booleans(),
        "choices": st.lists(SCALARS, max_size=4),
    },
)  # fmt: skip
PARAMETERS = [*TrainingConfig.model_fields, *ModelConfig.model_fields]
SECTIONS = [*StudyDefinition.model_fields, "training.optimizer", "training.schedule", "coord.order"]
AXES = st.one_of(
    st.text("lrmw*/()-1^.2, sqrt_[]'\"", max_size=24),
    st.sampled_from(
        ["lr*weight_decay/(1-momentum)", "1-momentum", "weight_decay", "lr**2", "lr/lr", "1",
         "lr**1e400", "sqrt(lr)", "lr;", "(" * 90 + "lr" + ")" * 90, "-" * 900 + "lr", "lr**-1"]
    ),
)  # fmt: skip


def toml(value: Any) -> str:
    """A value as --set takes it."""
    match value:
        case bool():
            return str(value).lower()
        case float():
            return repr(value)
        case dict():
            return "{" + ", ".join(f"{json.dumps(k)} = {toml(v)}" for k, v in value.items()) + "}"
        case list():
            return f"[{', '.join(map(toml, value))}]"
        case str():
            return json.dumps(value)
    return str(value)


FIELDS = st.one_of(
    st.tuples(
        st.sampled_from([f"training.{name}" for name in TrainingConfig.model_fields]), VALUES
    ),
    st.tuples(st.sampled_from([f"search_space.{name}" for name in PARAMETERS]), RANGES),
    st.tuples(st.sampled_from(["model.width", "model.dropout", "model.ghost_batch"]), VALUES),
    st.tuples(st.sampled_from(["coordinates.axes"]), st.lists(AXES, max_size=4)),
    st.tuples(st.sampled_from(["coordinates.box"]), st.dictionaries(AXES, st.lists(NUMBERS))),
    st.tuples(st.sampled_from(SECTIONS), VALUES),
    st.tuples(st.sampled_from(["start.lr", "start.momentum", "start.x"]), SCALARS),
    st.tuples(TEXTS, VALUES),
).map(lambda pair: f"{pair[0]}={toml(pair[1])}")

SAMPLERS = ("coord", "grid", "random", "gp", "tpe", "cmaes", "qmc", "optuna-gp")


@st.composite
def command_lines(draw: st.DrawFn) -> list[str]:
    """Arguments of a command, most of them wrong in one place."""
    name = draw(st.sampled_from(["study", "study", "report", "lr_range", "proxy"]))
    options: dict[str, st.SearchStrategy[Any]] = {
        "--sampler": st.sampled_from([*SAMPLERS, "nobody"]),
        "--coordinates": AXES,
        "--trials": NUMBERS,
        "--seed": NUMBERS,
        "--vary": TEXTS,
        "--pruner": st.sampled_from(["median", "halving", "x"]),
        "--start": TEXTS,
        "--set": FIELDS,
        "--objective": st.sampled_from(
            ["none:f", "none.py:f", ":", "a:b:c", "own.py:f", "x" * 300]
        ),
        "--storage": STORAGES,
        "--device": st.sampled_from(["cuda", "cuda:9", "tpu", "cpu"]),
        "--workers": st.sampled_from(["0", "-1", "x"]),
        "--mlflow": st.sampled_from(["off", "sqlite:///x/y.db", "http://", "x" * 300]),
        "--slice": st.sampled_from(["lr", "lr,lr", "lr,momentum", "a,b,c", ","]),
        "--levels": NUMBERS,
        "--factor": NUMBERS,
        "--at": TEXTS,
        "--output": STORAGES,
        "--figure": STORAGES,
        "--steps": NUMBERS,
        "--lowest": NUMBERS,
        "--highest": NUMBERS,
        "--host": TEXTS,
        "--port": NUMBERS,
        "--nonsense": TEXTS,
    }
    chosen = draw(st.lists(st.sampled_from(sorted(options)), max_size=3))
    arguments = [name]
    if draw(st.booleans()):
        arguments.append(draw(st.one_of(st.sampled_from(["digits", "nobody", "."]), TEXTS)))
    for option in chosen:
        arguments += [option, str(draw(options[option]))]
    if name == "study":  # what is right is not to be run for long
        arguments.append("--describe")
    return arguments


@st.composite
def searches(draw: st.DrawFn) -> list[str]:
    """A short search of an own function, with fields that may not fit it."""
    fields = draw(st.lists(OWN_FIELDS, max_size=3))
    sets = [part for field in fields for part in ("--set", field)]
    return [
        "study", "--objective", draw(st.sampled_from(["own.py:f", "own.py:g"])),
        "--sampler", draw(st.sampled_from(["coord", "grid", "random", "tpe", "qmc"])),
        "--trials", "3", "--mlflow", "off", *sets,
    ]  # fmt: skip


OWN_FIELDS = st.one_of(
    st.tuples(st.sampled_from(["start.x", "start.y", "start.n"]), SCALARS),
    st.tuples(st.just("coordinates.axes"), st.lists(st.sampled_from(
        ["x", "y", "1-y", "x*y", "x/n", "n", "choice", "z", "x**2", "x*z"]), max_size=4)),
    st.tuples(st.just("coordinates.box"), st.dictionaries(st.sampled_from(
        ["x", "y", "x*y", "z"]), st.lists(NUMBERS, min_size=2, max_size=2), max_size=2)),
    st.tuples(st.sampled_from(["coord.factor", "coord.refine", "metric.minimum_improvement",
        "grid.zooms", "metric.direction", "metric.name", "pruner", "random.method"]), SCALARS),
    st.tuples(st.just("grid.levels"), st.one_of(SCALARS, st.dictionaries(
        st.sampled_from(["x", "y", "z"]), NUMBERS, max_size=2))),
).map(lambda pair: f"{pair[0]}={toml(pair[1])}")  # fmt: skip

STORAGES = st.one_of(
    st.sampled_from(
        ["studies/x.log", ".", "/", "own.py", "x" * 300, "a\0b", "no/such/folder/x.log", "pipe",
         "folder", "sqlite:///x.db", "sqlite://", "sqlite:///:memory:", "sqlite:////", "nosql://x",
         "://", "file:///x", "grpc://", "sqlite:///folder", "sqlite:///own.py", "empty.log"]
    ),
    st.text(max_size=8),
)  # fmt: skip


@st.composite
def journals(draw: st.DrawFn) -> bytes:
    """A file of studies, damaged somewhere."""
    whole = (Path(__file__).parent / "data/studies-0.1.log").read_bytes()
    return _damaged(draw, whole)


@st.composite
def archives(draw: st.DrawFn) -> bytes:
    """A NAME.npz: of wrong arrays, or damaged."""
    n = draw(st.integers(0, 12))
    shape = draw(st.sampled_from([(8, 8, 1), (8, 8, 3), (3, 8, 8), (8, 8), (1, 1, 1), (0, 8, 1)]))
    kind = draw(st.sampled_from([np.uint8, np.uint8, np.uint8, np.float32, np.int64, np.bool_]))
    labels = draw(st.lists(st.sampled_from([0, 1, 2, 3, -1, 2**40, 2**62]), min_size=n, max_size=n))
    arrays = {}
    for part in ("train", "test"):
        arrays[f"{part}_images"] = np.zeros((n, *shape), kind)
        label_kind = draw(st.sampled_from([np.int64, np.int64, np.uint64, np.float64, object]))
        arrays[f"{part}_labels"] = np.array(labels, np.int64).astype(label_kind)
    if draw(st.booleans()):
        arrays.pop(draw(st.sampled_from(sorted(arrays))))
    buffer = io.BytesIO()
    save = draw(st.sampled_from([np.savez, np.savez_compressed]))
    save(buffer, **arrays)
    return _damaged(draw, buffer.getvalue()) if draw(st.booleans()) else buffer.getvalue()


def _damaged(draw: st.DrawFn, whole: bytes) -> bytes:
    data = bytearray(whole)
    for _ in range(draw(st.integers(0, 4))):
        data[draw(st.integers(0, len(data) - 1))] = draw(st.integers(0, 255))
    return bytes(data[: draw(st.one_of(st.just(len(data)), st.integers(0, len(data))))])


def is_archive(data: bytes) -> bool:
    """Whether zipfile opens it at all."""
    return zipfile.is_zipfile(io.BytesIO(data))


def refused_or_done(folder: Path, *arguments: str) -> Done:
    """Run a command; raise AssertionError unless it ends as every command must."""
    before = tree(folder)
    done = command(folder, *arguments)
    if done.code not in CODES or "Traceback" in done.stderr + done.stdout:
        raise AssertionError(f"exit {done.code}: {done.stderr}")
    if done.code == 2:
        lines = done.stderr.strip().splitlines()
        if not lines or not lines[0].startswith("Error: "):
            raise AssertionError(f"no sentence: {done.stderr!r}")
        if left := tree(folder) - before:
            raise AssertionError(f"left behind by a refused command: {left}")
    return done


def tree(folder: Path) -> set[str]:
    """What lies in a folder, its locks apart."""
    files = (path for path in folder.rglob("*") if ".lock" not in path.name)
    return {str(path.relative_to(folder)) for path in files}
