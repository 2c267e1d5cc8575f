"""What is tuned: a definition with the objective that it is about."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Self

from hptoolkit.config.schema import Search

if TYPE_CHECKING:
    from optuna.trial import Trial


@dataclass(frozen=True)
class Problem(ABC):
    """A definition and its objective, all checked. It can be pickled and sent to a worker.

    Attributes:
        defined: The definition, with the start and axes that the command line asked for.
        notes: What to tell before its study starts, a line each.
        attributes: What its study is to keep, as user attributes.
    """

    defined: Search
    notes: tuple[str, ...]
    attributes: Mapping[str, Any] = field(default_factory=dict, kw_only=True)

    def over_raw_axes(self) -> Self:
        """The same, searched over the raw parameters; see `Search.over_raw_axes`."""
        return replace(self, defined=self.defined.over_raw_axes())

    @abstractmethod
    def headline(self, study: str) -> str:
        """A study's name and what it tunes, in a clause."""

    @abstractmethod
    def describe(self) -> str:
        """What would be evaluated and searched, in a few lines."""

    @abstractmethod
    def objective(
        self, device: str, on_epoch: Callable[[Trial, Any], None]
    ) -> Callable[[Trial], float]:
        """The objective, for this process, on "cpu", "cuda", …; `on_epoch` hears of each epoch."""
