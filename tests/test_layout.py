"""The layout: imports point one way, and what a package keeps private stays there."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import hptoolkit

ROOT = Path(hptoolkit.__file__).parent

# What stands earlier knows nothing of what stands later.
ORDER = (
    "errors",
    "attributes",
    "optuna_internals",
    "coordinates",
    "search_space",
    "samplers",
    "storage",
    "config",
    "execution",
    "tracking",
    "reporting",
    "cli",
)
# Modules of the top level that are entered from outside: they may import anything.
ENTRANCES = {"", "__main__", "study", "lr_range", "report", "proxy"}


def modules() -> dict[str, Path]:
    """Each module's file, by its dotted name within hptoolkit."""
    found = {}
    for path in ROOT.rglob("*.py"):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports(path: Path) -> Iterator[tuple[str, str]]:
    """The modules of hptoolkit that a file imports, and a name from each; in functions too."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.split(".")[0] == "hptoolkit":
                    yield alias.name.removeprefix("hptoolkit").lstrip("."), ""
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                raise AssertionError(f"{path}: relative import")
            if (node.module or "").split(".")[0] == "hptoolkit":
                for alias in node.names:
                    yield str(node.module).removeprefix("hptoolkit").lstrip("."), alias.name


def edges() -> Iterator[tuple[str, str]]:
    """Pairs of a module and one that it imports."""
    known = modules()
    for name, path in known.items():
        for module, imported in imports(path):
            deeper = f"{module}.{imported}".lstrip(".")
            yield name, deeper if deeper in known else module


def package(module: str) -> str:
    return module.partition(".")[0]


def test_imports_point_one_way() -> None:
    wrong = []
    for module, imported in edges():
        here, there = package(module), package(imported)
        if here in ENTRANCES or here == there:
            continue
        if here == "training":
            allowed = there == "errors"
        elif there == "training":
            # What trains, or speaks of what was trained.
            allowed = here in ("config", "execution", "tracking", "reporting", "cli")
        else:
            allowed = ORDER.index(there) < ORDER.index(here)
        if not allowed:
            wrong.append(f"{module} imports {imported}")
    assert not wrong


def test_every_package_has_a_place_in_the_order() -> None:
    packages = {package(module) for module in modules()} - ENTRANCES
    assert packages == {*ORDER, "training"}


def test_no_module_imports_itself_through_others() -> None:
    graph: dict[str, set[str]] = {}
    for module, imported in edges():
        if module and imported and modules()[module].name != "__init__.py":
            graph.setdefault(module, set()).add(imported)
    done: set[str] = set()

    def visit(module: str, path: tuple[str, ...]) -> None:
        assert module not in path, " → ".join((*path, module))
        if module not in done:
            for imported in graph.get(module, ()):
                visit(imported, (*path, module))
            done.add(module)

    for module in list(graph):
        visit(module, ())


def test_private_names_stay_in_their_package() -> None:
    wrong = []
    known = modules()
    for module, path in known.items():
        # A package's own modules may share what is private to it.
        here = module if path.name == "__init__.py" else module.rpartition(".")[0]
        for imported, name in imports(path):
            private = [p for p in (*imported.split("."), name) if p.startswith("_")]
            owner = imported if imported in known and known[imported].name == "__init__.py" else (
                imported.rpartition(".")[0]
            )  # fmt: skip
            if private and private != ["__version__"] and owner != here:
                wrong.append(f"{module} imports {private[0]} of {imported}")
    assert not wrong


def test_the_top_level_is_the_table_of_contents() -> None:
    files = {path.stem for path in ROOT.glob("*.py")}
    assert files == {"__init__", "attributes", "errors", "optuna_internals", *ENTRANCES} - {""}
