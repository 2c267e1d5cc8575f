"""Commands that are printed can be pasted as they stand, in the folder where they are printed."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from hptoolkit.errors import command, program


def fake_environment(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An environment's folder of programs, the one that runs us."""
    programs = folder / "env" / "bin"
    programs.mkdir(parents=True)
    for name in ("python", "optuna-dashboard"):
        (programs / name).write_text("#!/bin/sh\n")
        (programs / name).chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(programs / "python"))
    return programs


def test_an_environment_that_is_not_active_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_environment(tmp_path, monkeypatch)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    assert program("optuna-dashboard") == "env/bin/optuna-dashboard"
    assert command("report", "my study") == "env/bin/python -m hptoolkit.report 'my study'"


def test_the_python_of_another_environment_on_the_path_is_not_meant(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "python").write_text("#!/bin/sh\n")
    (other / "python").chmod(0o755)
    fake_environment(tmp_path, monkeypatch)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", str(other))
    assert program("python") == "env/bin/python"


def test_an_active_environment_needs_no_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs = fake_environment(tmp_path, monkeypatch)
    monkeypatch.setenv("PATH", str(programs))
    assert command("study") == "python -m hptoolkit.study"


def test_a_folder_with_a_space_is_quoted_and_elsewhere_it_is_absolute(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs = fake_environment(tmp_path / "my work", monkeypatch)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("PATH", "")
    assert program("python") == f"'{programs / 'python'}'"
