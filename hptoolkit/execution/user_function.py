"""A user's own function of a trial, by name: `package.module:function`, `file.py:function`."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from optuna.trial import Trial

from hptoolkit.config import start as starts
from hptoolkit.config.definition import OwnObjective
from hptoolkit.config.load import load_function, split_axes
from hptoolkit.errors import UserError, nearest
from hptoolkit.execution.problem import Problem
from hptoolkit.execution.siblings import find_beside, is_taken
from hptoolkit.execution.start import theory_line


@dataclass(frozen=True)
class FunctionProblem(Problem):
    """A user's function, imported once a process."""

    defined: OwnObjective

    def headline(self, study: str) -> str:
        return f"Study {study}: {self.defined.objective}, {self._aim}"

    def describe(self) -> str:
        return f"{self.defined.objective}: {self._aim}."

    def objective(
        self, device: str, on_epoch: Callable[[Trial, Any], None]
    ) -> Callable[[Trial], float]:
        return resolve(self.defined.objective)

    @property
    def _aim(self) -> str:
        axes = self.defined.coordinates.axes
        searched = f"axes {', '.join(axes)}" if axes else "every parameter its own axis"
        return f"{self.defined.goal.direction} its value, {searched}"


def prepare(
    objective: str,
    name: str | None,
    overrides: Iterable[str],
    changes: Mapping[str, Any],
    coordinates: str | None,
    start: str | None,
) -> FunctionProblem:
    """The problem of `module:function`; the arguments are those of `builtin_study.prepare`.

    Raises UserError for what the built-in objective alone can, and as `resolve` does.
    """
    if name is not None:
        raise UserError(f"Either a study ({name}) or --objective can be given, not both.")
    if start == "lr-range":
        raise UserError("--start lr-range needs the built-in objective: give --set start.lr=…")
    if coordinates == "auto":
        raise UserError(
            "--coordinates auto needs the built-in objective: hptoolkit.coordinates.symmetry tests "
            "a model of your own; give the axes, such as 'lr*weight_decay,weight_decay'."
        )
    resolve(objective)
    defined = load_function(objective, overrides, **changes)
    if coordinates is not None:
        defined = defined.over(split_axes(coordinates))
    problem = of_definition(defined)
    kind = start or starts.own_default_kind(defined)
    if kind == "theory":
        defined, place = starts.own_from_theory(defined)
        return FunctionProblem(defined, (theory_line(defined.optimizer, place),))
    if kind == "page":
        return FunctionProblem(starts.own_from_page(defined), ())
    return problem


def of_definition(defined: OwnObjective) -> FunctionProblem:
    """The problem of a definition as it is. Raises UserError as `resolve` and `Coordinates` do."""
    resolve(defined.objective)
    _ = defined.system  # refuses axes that are none
    return FunctionProblem(defined, ())


@cache
def resolve(name: str) -> Callable[[Trial], float]:
    """The function. Raises UserError if there is no such module or function."""
    module_name, colon, function_name = name.rpartition(":")
    if not colon or not module_name or not function_name:
        raise UserError(
            f"--objective {name!r} is not MODULE:FUNCTION, such as mypackage.train:objective."
        )
    with _in_words(module_name):
        module = _load(module_name)
    function: Any = getattr(module, function_name, None)
    if function is None:
        functions = [n for n, v in vars(module).items() if callable(v) and not n.startswith("_")]
        hint = nearest(function_name, functions) if functions else "it has no function"
        raise UserError(f"The module {module_name} has no {function_name!r}: {hint}.")
    if not callable(function):
        raise UserError(f"{name} is a {type(function).__name__}: a function of a trial is needed.")
    checked: Callable[[Trial], float] = function
    return checked


def _load(name: str) -> ModuleType:
    if not name.endswith(".py"):
        here = str(Path.cwd())
        if here not in sys.path:
            sys.path.insert(0, here)
        return importlib.import_module(name)
    path = Path(name).absolute()
    if not path.is_file():
        raise UserError(f"There is no file {name}: give --objective FILE.py:FUNCTION.")
    find_beside(path.parent)
    # A file called torch.py is not to be what others import as torch.
    taken = path.stem in sys.modules or is_taken(path.stem)
    module_name = f"objective_{path.stem}" if taken else path.stem
    spec = importlib.util.spec_from_file_location(module_name, path)
    if spec is None or spec.loader is None:
        raise UserError(f"{name} is no Python file: give --objective FILE.py:FUNCTION.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[module_name]
        raise
    return module


@contextmanager
def _in_words(name: str) -> Iterator[None]:
    """Turn whatever a user's module raises, `sys.exit()` too, into a UserError."""
    held = _Held(sys.stderr)
    sys.stderr = held
    try:
        yield
    except UserError:
        raise
    except SystemExit as error:
        held.drop()  # argparse tells the usage of another program
        raise UserError(
            f"--objective: {name} cannot be imported, it calls sys.exit({error.code!r}), as "
            "argparse does: read a command line under if __name__ == '__main__' only."
        ) from None
    except ModuleNotFoundError as error:
        raise UserError(
            f"--objective: no module {error.name!r} can be imported for {name}, from its folder, "
            f"{Path.cwd().name}/ or the environment. Give MODULE:FUNCTION or FILE.py:FUNCTION."
        ) from None
    except Exception as error:  # whatever a user's module raises
        raise UserError(
            f"--objective: {name} cannot be imported, it raises {type(error).__name__}: {error}. "
            "Mend it, and try again."
        ) from error
    finally:
        sys.stderr = held.stream
        held.release()


class _Held:
    """A stream that keeps what is written until it is released; then it passes everything on."""

    def __init__(self, stream: Any) -> None:
        self.stream = stream
        self._kept: list[str] | None = []

    def write(self, text: str) -> int:
        if self._kept is None:
            return int(self.stream.write(text))
        self._kept.append(text)
        return len(text)

    def drop(self) -> None:
        """Forget what was written."""
        self._kept = []

    def release(self) -> None:
        kept, self._kept = self._kept or [], None
        self.stream.write("".join(kept))

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)
