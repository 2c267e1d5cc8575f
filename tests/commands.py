"""The commands in this process: a fraction of a second each, where a process of its own takes two.

What only a process of its own shows (signals, imports, workers) is tested by one.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

from hptoolkit.cli import app
from hptoolkit.execution import builtin_study, user_function


@dataclass(frozen=True)
class Done:
    """How a command ended: its exit code and what it wrote."""

    code: int
    stdout: str
    stderr: str

    @property
    def outcome(self) -> dict[str, Any]:
        """The JSON object of its last line."""
        found: dict[str, Any] = json.loads(self.stdout.splitlines()[-1])
        return found


def command(folder: Path, *arguments: str, columns: int = 200) -> Done:
    """Run `python -m hptoolkit.ARGUMENTS` in a folder; an unexpected exception is raised."""
    out, err = io.StringIO(), io.StringIO()
    path, finders, modules = list(sys.path), list(sys.meta_path), dict(sys.modules)
    code = 0
    with (
        _inside(folder, {"COLUMNS": str(columns)}),
        patch.object(sys, "argv", ["hptoolkit", *arguments[1:]]),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        try:
            app.run(arguments[0])
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 1
        finally:
            sys.path[:], sys.meta_path[:] = path, finders
            _forget_own(folder, modules)
    return Done(code, out.getvalue(), err.getvalue())


def _forget_own(folder: Path, before: Mapping[str, Any]) -> None:
    """Drop what is kept once a process: data sets, and modules imported from the folder."""
    user_function.resolve.cache_clear()
    builtin_study.load_split.cache_clear()
    for name in sys.modules.keys() - before.keys():
        file = getattr(sys.modules[name], "__file__", None) or ""
        if file.startswith(str(folder)):
            del sys.modules[name]


@contextlib.contextmanager
def _inside(folder: Path, environment: Mapping[str, str]) -> Iterator[None]:
    before = Path.cwd()
    os.chdir(folder)
    try:
        with patch.dict(os.environ, environment):
            yield
    finally:
        os.chdir(before)
