"""A few hundred random bad inputs: see tests/fuzz.py. Thousands: benchmarks/fuzz.py."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hptoolkit import UserError
from hptoolkit.config import sampler_factory
from hptoolkit.config.load import load_function, load_study
from hptoolkit.training import data
from hptoolkit.training.config import DataConfig
from tests import fuzz
from tests.commands import command

TIMES = int(os.environ.get("HPTOOLKIT_FUZZ", "1"))  # how many times as many cases
QUICK: dict[str, Any] = {
    "deadline": None,
    "derandomize": TIMES == 1,
    "database": None,
    "suppress_health_check": list(HealthCheck),
}


OWN = """
def f(trial):
    x = trial.suggest_float("x", 0.001, 1.0, log=True)
    return x * trial.suggest_float("y", 0.0, 0.9) * trial.suggest_int("n", 1, 8)

def g(trial):
    if trial.suggest_categorical("choice", ["a", "[b]"]) == "a":
        return trial.suggest_float("x", 0.001, 1.0, log=True)
    return trial.suggest_float("z", 0.001, 1.0, log=True)
"""


@contextlib.contextmanager
def folder() -> Iterator[Path]:
    """A folder with what a command may stumble over."""
    with tempfile.TemporaryDirectory() as name:
        path = Path(name)
        (path / "own.py").write_text(OWN)
        (path / "folder").mkdir()
        (path / "empty.log").touch()
        if hasattr(os, "mkfifo"):
            os.mkfifo(path / "pipe")
        yield path


@settings(max_examples=300 * TIMES, **QUICK)
@given(st.lists(fuzz.FIELDS, min_size=1, max_size=3), st.sampled_from(fuzz.SAMPLERS))
def test_a_definition_is_one_or_is_refused(fields: list[str], sampler: str) -> None:
    with contextlib.suppress(UserError):
        defined = load_study("digits", fields)
        defined.identity(sampler)
        sampler_factory.sampler(sampler, defined)


@settings(max_examples=60 * TIMES, **QUICK)
@given(st.lists(fuzz.FIELDS, max_size=2), fuzz.TEXTS)
def test_a_definition_of_a_function_is_one_or_is_refused(fields: list[str], name: str) -> None:
    with contextlib.suppress(UserError):
        load_function(f"{name}:f", fields)


@settings(max_examples=60 * TIMES, **QUICK)
@given(st.binary(max_size=60))
def test_a_toml_file_is_a_definition_or_is_refused(content: bytes) -> None:
    with folder() as path:
        (path / "mine.toml").write_bytes(content)
        with contextlib.suppress(UserError):
            load_study(str(path / "mine.toml"))


@settings(max_examples=120 * TIMES, **QUICK)
@given(fuzz.archives())
def test_an_archive_is_a_data_set_or_is_refused(content: bytes) -> None:
    with folder() as path:
        (path / "mine.npz").write_bytes(content)
        with contextlib.suppress(UserError):
            data.split(data.load("mine", path), DataConfig(name="mine"))


@settings(max_examples=30 * TIMES, **QUICK)
@given(fuzz.command_lines())
def test_a_command_does_it_or_says_why_not(arguments: list[str]) -> None:
    with folder() as path:
        fuzz.refused_or_done(path, *arguments)


@settings(max_examples=40 * TIMES, **QUICK)
@given(fuzz.searches())
def test_a_search_is_run_or_refused(arguments: list[str]) -> None:
    with folder() as path:
        done = command(path, *arguments)
        assert done.code in fuzz.CODES
        assert "Traceback" not in done.stderr
        assert done.code != 2 or done.stderr.startswith("Error: "), done


@settings(max_examples=40 * TIMES, **QUICK)
@given(fuzz.journals())
def test_a_storage_is_read_or_is_refused(content: bytes) -> None:
    with folder() as path:
        (path / "mine.log").write_bytes(content)
        fuzz.refused_or_done(path, "report", "--storage", "mine.log")


@pytest.mark.parametrize("address", ["sqlite:///own.py", "own.py", "pipe", "folder", "a\0b"])
def test_what_is_no_storage_stays_as_it_is(address: str) -> None:
    with folder() as path:
        before = (path / "own.py").read_bytes()
        done = fuzz.refused_or_done(path, "study", "digits", "--storage", address)
        assert done.code == 2
        assert (path / "own.py").read_bytes() == before
