"""What Optuna keeps private and hptoolkit uses: that it is still there, and used in one place."""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path

import optuna
import pytest
from optuna.distributions import BaseDistribution, FloatDistribution
from optuna.storages import BaseStorage, InMemoryStorage, JournalStorage, RDBStorage, get_storage
from optuna.storages.journal import JournalFileBackend
from optuna.study import Study
from optuna.trial import TrialState

import hptoolkit
from hptoolkit import optuna_internals as internals

ROOT = Path(hptoolkit.__file__).parent
HOME = Path(internals.__file__)
SAMPLERS = Path(inspect.getfile(optuna.samplers)).parent

# Not Optuna's: a module of torch, and a function of the operating system.
OTHERS = {"_dynamo", "_exit"}


@pytest.fixture
def study() -> Study:
    return optuna.create_study(storage=InMemoryStorage(), study_name="a study")


def dropped(name: str) -> str:
    return (
        f"Optuna {optuna.__version__} has no {name} any more, or another one: see what its own "
        f"samplers do instead, and change {HOME.name}."
    )


@pytest.mark.parametrize("name", ["_storage", "_study_id", "_trial_id", "_contains"])
def test_optunas_own_samplers_use_it_too(name: str) -> None:
    sources = (path.read_text(encoding="utf-8") for path in SAMPLERS.rglob("*.py"))
    assert any(re.search(rf"\.{name}\b", source) for source in sources), dropped(name)


def test_the_storage_of_a_study(study: Study) -> None:
    assert hasattr(study, "_storage"), dropped("Study._storage")
    storage = internals.storage_of(study)
    assert isinstance(storage, BaseStorage)
    assert [s.study_name for s in storage.get_all_studies()] == ["a study"]


def test_the_number_of_a_study_in_its_storage(study: Study) -> None:
    assert hasattr(study, "_study_id"), dropped("Study._study_id")
    storage = internals.storage_of(study)
    assert internals.study_id_of(study) == storage.get_study_id_from_name("a study")


def test_the_number_of_a_trial_in_its_storage(study: Study) -> None:
    optuna.create_study(storage=internals.storage_of(study), study_name="another").ask()
    running = study.ask()
    for trial in (running, study.trials[0]):
        assert hasattr(trial, "_trial_id"), dropped(f"{type(trial).__name__}._trial_id")
        # The other study's trial has number 0 too.
        assert internals.trial_id_of(trial) == 1
    internals.storage_of(study).set_trial_user_attr(internals.trial_id_of(running), "seen", True)
    assert study.trials[0].user_attrs == {"seen": True}


def test_what_a_distribution_contains() -> None:
    assert hasattr(BaseDistribution, "_contains"), dropped("BaseDistribution._contains")
    stepped = FloatDistribution(0.0, 1.0, step=0.25)
    assert internals.contains(stepped, 0.75)
    assert not internals.contains(stepped, 0.8)
    assert not internals.contains(stepped, 1.25)


def test_where_enqueued_parameters_are_kept(study: Study) -> None:
    study.enqueue_trial({"x": 0.5})
    kept = study.trials[0].system_attrs.get(internals.FIXED_PARAMS)
    assert kept == {"x": 0.5}, dropped(repr(internals.FIXED_PARAMS))


def test_where_constraints_are_kept(study: Study) -> None:
    study.ask().set_constraint("c", 0.25)
    names = study.trials[0].system_attrs
    assert any(name.startswith(internals.CONSTRAINTS) for name in names), dropped(
        repr(internals.CONSTRAINTS)
    )


def test_every_operation_that_optuna_writes_into_a_journal_is_known(tmp_path: Path) -> None:
    path = tmp_path / "studies.log"
    storage = JournalStorage(JournalFileBackend(str(path)))
    study = optuna.create_study(storage=storage, study_name="a study")
    study.set_user_attr("name", 1)
    study.enqueue_trial({"x": 0.5})
    trial = study.ask({"x": FloatDistribution(0, 1)})
    trial.report(0.25, 1)
    trial.set_user_attr("name", 1)
    study.tell(trial, 0.5)
    optuna.delete_study(study_name="a study", storage=storage)
    logs = list(JournalFileBackend(str(path)).read_logs(0))
    written = {log["op_code"] for log in logs}
    assert len(written) >= 8
    assert written <= internals.JOURNAL_OPERATIONS, dropped("JournalOperation")
    assert 99 not in internals.JOURNAL_OPERATIONS


@pytest.mark.parametrize("name", internals.DATABASE_OPERATIONS)
def test_the_cache_before_a_database_calls(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert hasattr(RDBStorage, name), dropped(f"RDBStorage.{name}")
    called: list[str] = []
    operation = getattr(RDBStorage, name)

    def noted(self: RDBStorage, *args: object, **kwargs: object) -> object:
        called.append(name)
        return operation(self, *args, **kwargs)

    monkeypatch.setattr(RDBStorage, name, noted)
    study = optuna.create_study(storage=get_storage("sqlite://"))
    study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=1)
    assert study.best_trial.state == TrialState.COMPLETE
    assert called, dropped(f"call of RDBStorage.{name} in the cache")


def test_the_cache_before_a_database_calls_nothing_else_that_is_private() -> None:
    """Else an operation would not be tried again when its server restarts."""
    cache = type(get_storage("sqlite://"))
    called = set(re.findall(r"self\._backend\.(_\w+)\(", inspect.getsource(cache)))
    # Heartbeats: of optuna's own, which hptoolkit does not use.
    assert called - {"_get_stale_trial_ids"} == set(internals.DATABASE_OPERATIONS)


def private(name: str) -> bool:
    return name.startswith("_") and not (name.startswith("__") and name.endswith("__"))


def private_names(path: Path) -> Iterator[tuple[int, str]]:
    """Line and name of what a module uses of others although it is private."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        match node:
            case ast.Attribute(value=ast.Name(id="self" | "cls")):
                pass
            case ast.Attribute(value=ast.Call(func=ast.Name(id="super"))):
                pass
            case ast.Attribute(attr=name) if private(name):
                yield node.lineno, name
            case ast.ImportFrom(module=str(module), names=names):
                if module.partition(".")[0] == "optuna":
                    parts = [*module.split("."), *(alias.name for alias in names)]
                    yield from ((node.lineno, part) for part in parts if private(part))
            case ast.Import(names=names):
                for alias in names:
                    yield from ((node.lineno, p) for p in alias.name.split(".") if private(p))
            case ast.Constant(value=str(text)) if re.fullmatch(r"_[a-z]\w*", text):
                yield node.lineno, text  # for getattr, or a table of names


def test_no_other_module_uses_what_optuna_keeps_private() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{line}: {name}"
        for path in sorted(ROOT.rglob("*.py"))
        if path != HOME and path.parent.name != "training"  # which imports nothing of Optuna
        for line, name in private_names(path)
        if name not in OTHERS
    ]
    assert not found, f"use a public call, or {HOME.name} with the reason"


def classes() -> Iterator[type]:
    """The classes of hptoolkit that extend one of Optuna's."""
    for module in pkgutil.walk_packages(hptoolkit.__path__, "hptoolkit."):
        if module.name.endswith(("__main__", "engines.ray")):
            continue
        for _, kind in inspect.getmembers(importlib.import_module(module.name), inspect.isclass):
            ours = kind.__module__ == module.name
            if ours and any(base.__module__.startswith("optuna.") for base in kind.__mro__[1:]):
                yield kind


def own_names(kind: type) -> set[str]:
    """The private names that a class's own methods use of `self`."""
    return set(re.findall(r"\bself\.(_[a-z]\w*)", inspect.getsource(kind)))


def test_no_class_shares_a_private_name_with_the_class_of_optunas_that_it_extends() -> None:
    kinds = list(classes())
    assert {"JournalFile", "Database", "RandomSampler"} <= {kind.__name__ for kind in kinds}
    for kind in kinds:
        optunas = [base for base in kind.__mro__ if base.__module__.startswith("optuna.")]
        shared = own_names(kind) & set().union(*(own_names(base) for base in optunas))
        assert not shared, f"{kind.__name__} uses {shared} of {optunas[0].__name__}"
