"""What a study command is to do: an objective, its definition, and how it is announced."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from hptoolkit.config.schema import Search

if TYPE_CHECKING:
    from hptoolkit.execution.job import MakeObjective


@dataclass(frozen=True)
class Task:
    """A prepared study.

    Attributes:
        defined: Its definition, with the start and axes that the command line asked for.
        objective: Makes the objective, in whatever process is to run it.
        what: What is tuned, for the first line.
        why: Why this study, if none was named.
        notes: Further lines to print before it starts.
        epochs: Epochs of a trial; None where they are unknown or searched.
        description: What `--describe` prints.
        attributes: What its study is to keep.
    """

    defined: Search
    objective: MakeObjective
    what: str
    why: str
    notes: tuple[str, ...]
    epochs: int | None
    description: Callable[[], str]
    attributes: Mapping[str, Any] = field(default_factory=dict)
