"""What a study shows while it runs: one live line a trial and a row when it ends.

In a pipe the rows are plain lines, and an epoch gets one at most every ten seconds.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from optuna.trial import FrozenTrial, Trial, TrialState

from hptoolkit.notation import duration, metric, number, symbol
from hptoolkit.samplers._base import COORDINATES
from hptoolkit.storage import ERROR, PRUNED_REASON

if TYPE_CHECKING:
    from rich.console import Console
    from rich.live import Live

    from hptoolkit.training import EpochReport

_QUIET_SECONDS = 10.0
_OUTCOMES = {
    TrialState.COMPLETE: "",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
}


@dataclass
class Progress:
    """The terminal's view of a study.

    Args:
        console: Where to write.
        names: Raw parameters, in the order of the columns; empty: as the first trial has them.
        axes: Coordinates to show after them.
        metric_name, maximize: What is judged, and which way.
        epochs: Epochs of a training, for `3/10`; None where they are searched.
        best: The best value so far, of a study that is continued.
        on_end: Called with each trial that has ended.
    """

    console: Console
    names: list[str]
    axes: list[str]
    metric_name: str
    maximize: bool
    epochs: int | None = None
    best: float | None = None
    on_end: Callable[[FrozenTrial], None] | None = None
    _live: Live | None = field(default=None, init=False)
    _began: float = field(default=0.0, init=False)
    _spoke: float = field(default=0.0, init=False)

    def __enter__(self) -> Self:
        if self.console.is_terminal:
            from rich.live import Live

            self._live = Live("", console=self.console, transient=True, refresh_per_second=8)
            self._live.start()
        if self.names:
            self._print_titles()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def _print_titles(self) -> None:
        titles = [*map(symbol, (*self.names, *self.axes)), self.metric_name.replace("_", " ")]
        self._print(self._row("run", titles, "time", ""))

    def trial_began(self, trial: Trial) -> None:
        self._began = self._spoke = time.monotonic()

    def epoch_ended(self, trial: Trial, epoch: EpochReport) -> None:
        """Show an epoch of the trial that runs."""
        now = time.monotonic()
        of = f"/{self.epochs}" if self.epochs else ""
        best = "none yet" if self.best is None else metric(self.metric_name, self.best)
        line = (
            f"run {trial.number}: epoch {epoch.epoch}{of}, loss {epoch.validation_loss:.4f}, "
            f"accuracy {100 * epoch.validation_accuracy:.2f} %, {duration(now - self._began)}, "
            f"best so far {best}"
        )
        if self._live is not None:
            self._live.update(line)
        elif now - self._spoke > _QUIET_SECONDS:
            self._print(line)
            self._spoke = now

    def trial_ended(self, trial: FrozenTrial) -> None:
        """Show the row of a trial that has ended, and keep the best value."""
        if not self.names and trial.params:
            self.names = list(trial.params)
            self._print_titles()
        coordinates = trial.user_attrs.get(COORDINATES, {})
        values: list[Any] = [trial.params.get(name, "") for name in self.names]
        values += [coordinates.get(axis, "") for axis in self.axes]
        shown = "" if trial.value is None else metric(self.metric_name, trial.value)
        seconds = duration(trial.duration.total_seconds()) if trial.duration else ""
        note = _OUTCOMES.get(trial.state, "")
        reason = trial.user_attrs.get(PRUNED_REASON) or _last_line(trial.user_attrs.get(ERROR))
        if note and reason:
            note = f"{note}: {reason}"
        if trial.state == TrialState.COMPLETE and trial.value is not None and self._is_best(trial):
            self.best, note = trial.value, "best so far"
        if self._live is not None:
            self._live.update("")
        self._print(self._row(str(trial.number), [*map(number, values), shown], seconds, note))
        if self.on_end is not None:
            self.on_end(trial)

    def _is_best(self, trial: FrozenTrial) -> bool:
        if self.best is None or trial.value is None:
            return True
        return trial.value > self.best if self.maximize else trial.value < self.best

    def _row(self, run: str, cells: list[str], time_spent: str, note: str) -> str:
        widths = [10] * (len(cells) - 1) + [max(10, len(self.metric_name))]
        padded = [f"{cell:>{width}}" for cell, width in zip(cells, widths, strict=True)]
        return f"{run:>4} {' '.join(padded)} {time_spent:>12}  {note}".rstrip()

    def _print(self, line: str) -> None:
        self.console.print(line, markup=False, highlight=False, soft_wrap=True)


def _last_line(text: str | None) -> str:
    return text.strip().rpartition("\n")[2] if text else ""
