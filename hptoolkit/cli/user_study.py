"""Preparing a study of a user's own function."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from hptoolkit.cli.task import Task
from hptoolkit.config.load import load_function, split_axes
from hptoolkit.coordinates import Coordinates
from hptoolkit.errors import UserError
from hptoolkit.execution.user_function import Function


def prepare(
    objective: str,
    name: str | None,
    overrides: Iterable[str],
    changes: Mapping[str, Any],
    coordinates: str | None,
    start: str,
) -> Task:
    """A task for `module:function`. Raises UserError for what the built-in objective alone can."""
    if name is not None:
        raise UserError(f"Either a study ({name}) or --objective can be given, not both.")
    if start != "file":
        raise UserError("--start lr-range needs the built-in objective: give --set start.lr=…")
    if coordinates == "auto":
        raise UserError(
            "--coordinates auto needs the built-in objective: hptoolkit.coordinates.symmetry tests "
            "a model of your own; give the axes, such as 'lr*weight_decay,weight_decay'."
        )
    Function(objective).resolve()
    defined = load_function(objective, overrides, **changes)
    if coordinates is not None:
        defined = defined.over(split_axes(coordinates))
    axes = Coordinates(*defined.coordinates.axes).axes
    searched = f"axes {', '.join(axes)}" if axes else "every parameter its own axis"
    return Task(
        defined=defined,
        objective=Function(objective),
        what=f"{objective}, {defined.goal.direction} its value, {searched}",
        why="",
        notes=(),
        epochs=None,
        description=lambda: f"{objective}: {defined.goal.direction} its value, {searched}.",
    )
