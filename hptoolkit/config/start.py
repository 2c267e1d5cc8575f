"""Where a study's search begins: from theory, at Page's bad start, or where its file says."""

from __future__ import annotations

from typing import Any

from hptoolkit.config.definition import OwnObjective, StudyDefinition
from hptoolkit.coordinates.monomial import Factor
from hptoolkit.coordinates.start import MOMENTUM, RULES, Beginning, begin, run_steps
from hptoolkit.coordinates.theory import FACTS
from hptoolkit.errors import UserError, nearest
from hptoolkit.optuna_internals import contains
from hptoolkit.search_space.axis import numeric_range, to_value

KINDS = ("theory", "file", "page", "lr-range")

# Deliberately bad: where D. Page's search in "How to Train Your ResNet 5" begins.
PAGE: dict[str, float] = {"lr": 0.001, "momentum": 0.5, "weight_decay": 0.01}

_ROLES = ("lr", "momentum", "weight_decay")


def check_kind(kind: str | None) -> None:
    """Raises UserError for a start that there is not."""
    if kind is not None and kind not in KINDS:
        raise UserError(f"Unknown start {kind!r}: {nearest(kind, KINDS)}.")


def default_kind(defined: StudyDefinition) -> str:
    """Theory's start where the definition names none and theory knows one."""
    return "theory" if not defined.start and theory_knows(defined) else "file"


def theory_knows(defined: StudyDefinition) -> bool:
    """Whether theory has a start for the optimizer, and the study searches something it sets."""
    searched = any(role in defined.search_space for role in _ROLES)
    return defined.training.optimizer in RULES and searched


def own_from_theory(defined: OwnObjective) -> tuple[OwnObjective, Beginning]:
    """An own objective's definition with theory's start, for what its coordinates name.

    Raises UserError where the optimizer, the steps or what is searched are not known.
    """
    searched = [role for role in _ROLES if role in defined.system.names]
    if not defined.optimizer or not searched:
        raise UserError(
            "--start theory needs to know the optimizer, the steps of a run and the parameters: "
            "give --set optimizer=adamw, --set constants.steps=1000, and --coordinates of lr, "
            "momentum and weight_decay."
        )
    known = defined.constants
    begun = begin(
        defined.optimizer,
        run_steps(*(known.get(n) for n in ("steps", "epochs", "n_train", "batch_size"))),
        # What is not searched is not known: no decay, and the usual momentum.
        fixed={
            role: known.get(role, MOMENTUM if role == "momentum" else 0.0)
            for role in _ROLES
            if role not in searched
        },
    )
    return defined.model_copy(update={"start": begun.params}), begun


def own_default_kind(defined: OwnObjective) -> str:
    """Theory's start where all that it needs is known and the definition names none."""
    known = defined.constants.keys()
    runs = "steps" in known or {"epochs", "n_train", "batch_size"} <= known
    named = any(role in defined.system.names for role in _ROLES)
    return "theory" if not defined.start and defined.optimizer and runs and named else "file"


def own_from_page(defined: OwnObjective) -> OwnObjective:
    """An own objective's definition from Page's bad start, for what its coordinates name."""
    start = {name: PAGE[name] for name in defined.system.names if name in PAGE}
    return defined.model_copy(update={"start": start})


def from_page(defined: StudyDefinition) -> StudyDefinition:
    """The definition from Page's bad start. Raises UserError where it does not apply."""
    start = {name: value for name, value in PAGE.items() if name in defined.search_space}
    if not start:
        raise UserError(
            "--start page is a start of lr, momentum and weight_decay, of which this study "
            "searches none: use --start file or theory."
        )
    return _begun(defined, start)


def from_theory(
    defined: StudyDefinition,
    n_train: int,
    *,
    measured: float | None = None,
) -> tuple[StudyDefinition, Beginning]:
    """The definition with theory's start, and what that comes to.

    What theory does not set begins at the definition's own value where that is in its range.

    Args:
        defined: The definition; its start is replaced.
        n_train: Training images.
        measured: See `theory_start`; the built-in networks' weights are normalised.

    Raises:
        UserError: Theory knows no start for the definition, or bounds on coordinates keep it out.
    """
    if not theory_knows(defined):
        raise UserError(
            f"--start theory knows none for the optimizer {defined.training.optimizer!r} with "
            f"{', '.join(defined.search_space)} searched: use --start file, and --set start.NAME=…"
        )
    others = _own_values(defined)
    _, training = defined.configure(others)
    uses = FACTS[training.optimizer].hyperparameters
    held = {"momentum": training.momentum if "momentum" in uses else 0.0}
    held |= {"lr": training.lr, "weight_decay": training.weight_decay}
    spaces = defined.distributions
    searched = {role: spaces[role] for role in _ROLES if role in spaces}
    begun = begin(
        training.optimizer,
        max(n_train // training.batch_size, 1) * training.epochs,
        measured=measured,
        decoupled=training.decoupled_decay,
        fixed={role: value for role, value in held.items() if role not in searched},
        bounds={
            role: numeric_range(Factor(role), distribution)
            for role, distribution in searched.items()
        },
    )
    factors = {role: Factor(role, complement=role == "momentum") for role in _ROLES}
    start = {
        role: to_value(searched[role], value, factors[role]) for role, value in begun.params.items()
    }
    return _begun(defined, others | start), begun


def _begun(defined: StudyDefinition, start: dict[str, Any]) -> StudyDefinition:
    begun = defined.model_copy(update={"start": start})
    if not begun.lacks_constants:
        begun.region()
    return begun


def _own_values(defined: StudyDefinition) -> dict[str, Any]:
    """The definition's own values of what is searched and theory does not set, where in range."""
    own = {**defined.model.model_dump(), **defined.training.model_dump()}
    return {
        name: own[name]
        for name, distribution in defined.distributions.items()
        if name not in _ROLES and _contains(distribution, own[name])
    }


def _contains(distribution: Any, value: Any) -> bool:
    try:
        return contains(distribution, value)
    except (TypeError, ValueError):
        return False
