"""The modules beside a user's file, found as `python FILE` finds them, without hiding a library.

Python itself looks in the file's folder first, so that a `random.py` or `torch.py` there takes the
place of the library, for whoever imports it later. Here libraries come first, then the file's
folder, then the current one.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType


class _Siblings(MetaPathFinder):
    """Finds top-level modules in a folder that no library is called."""

    def __init__(self, folder: str) -> None:
        self.folder = folder

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if path is not None or is_taken(name):
            return None
        return PathFinder.find_spec(name, [self.folder])


def find_beside(folder: Path) -> None:
    """Let modules in a folder be imported, in this process and those that it starts."""
    if any(isinstance(f, _Siblings) and f.folder == str(folder) for f in sys.meta_path):
        return
    sys.meta_path.insert(0, _Siblings(str(folder)))
    if str(folder) not in sys.path:
        sys.path.append(str(folder))


def is_taken(name: str) -> bool:
    """Whether a library has a name: the standard one, or one that is installed."""
    if name in sys.stdlib_module_names or name in sys.builtin_module_names:
        return True
    own = {finder.folder for finder in sys.meta_path if isinstance(finder, _Siblings)}
    own.add(str(Path.cwd()))
    installed = [entry for entry in sys.path if str(Path(entry or ".").absolute()) not in own]
    return PathFinder.find_spec(name, installed) is not None
