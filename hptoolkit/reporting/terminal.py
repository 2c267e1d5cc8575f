"""What a study shows while it runs: a live line for each trial that runs, a row when it ends.

In a pipe the rows are plain lines, and a trial that runs gets one at most every ten seconds.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from optuna.trial import FrozenTrial, Trial, TrialState

from hptoolkit.attributes import AT_CHANCE, COORDINATES, ERROR, OWNER, PRUNED_REASON, read
from hptoolkit.coordinates.symbols import symbol
from hptoolkit.reporting.columns import Column, Layout, fit
from hptoolkit.reporting.formatting import duration, metric, number
from hptoolkit.samplers.incumbent import Standings

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
        standings: The configurations so far, of a study that is continued.
        on_end: Called with each trial that has ended.
    """

    console: Console
    names: list[str]
    axes: list[str]
    metric_name: str
    maximize: bool
    epochs: int | None = None
    standings: Standings | None = None
    on_end: Callable[[FrozenTrial], None] | None = None
    _live: Live | None = field(default=None, init=False)
    _standings: Standings = field(init=False)
    _own: int | None = field(default=None, init=False)  # the trial that this process runs
    _lines: dict[int, str] = field(default_factory=dict, init=False)  # of the trials that run
    _began: dict[int, float] = field(default_factory=dict, init=False)
    _spoke: dict[int, float] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        self._standings = self.standings or Standings(maximize=self.maximize)

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
        self._print(self._layout().titles())

    def trial_began(self, trial: Trial) -> None:
        """This process runs a trial, and will tell of its epochs."""
        self._own = trial.number
        self._began[trial.number] = self._spoke[trial.number] = time.monotonic()

    def epoch_ended(self, trial: Trial, epoch: EpochReport) -> None:
        """Show an epoch of the trial that this process runs."""
        result = (
            f"loss {epoch.validation_loss:.4f}, accuracy {100 * epoch.validation_accuracy:.2f} %"
        )
        self._show(trial.number, self._line(trial.number, "", epoch.epoch, result))

    def show_running(self, trials: Sequence[FrozenTrial]) -> None:
        """Show the last report of each of the trials that run, wherever they do."""
        running = {trial.number for trial in trials}
        for gone in self._began.keys() - running - {self._own}:
            self._forget(gone)
        for trial in trials:
            if trial.number == self._own:
                continue
            if trial.number not in self._began:
                self._began[trial.number] = self._spoke[trial.number] = time.monotonic()
            reports = trial.intermediate_values
            epoch = max(reports, default=0)
            result = f"{self.metric_name.replace('_', ' ')} "
            result += metric(self.metric_name, reports[epoch]) if reports else "not reported yet"
            line = self._line(trial.number, _who(trial), epoch, result)
            self._show(trial.number, line, quiet=not reports)
        if not self._lines:
            self._update_live()

    def _line(self, number: int, who: str, epoch: int, result: str) -> str:
        of = f"/{self.epochs}" if self.epochs else ""
        found = self._standings.best()
        best = "none yet" if found is None else metric(self.metric_name, found.value)
        spent = duration(time.monotonic() - self._began.get(number, time.monotonic()))
        return f"run {number}{who}: epoch {epoch}{of}, {result}, {spent}, best so far {best}"

    def _show(self, number: int, line: str, *, quiet: bool = False) -> None:
        now = time.monotonic()
        self._lines[number] = line
        if self._live is not None:
            self._update_live()
        elif not quiet and now - self._spoke.get(number, now) > _QUIET_SECONDS:
            self._print(line)
            self._spoke[number] = now

    def _update_live(self) -> None:
        if self._live is not None:
            from rich.text import Text

            lines = "\n".join(self._lines[n] for n in sorted(self._lines))
            self._live.update(Text(lines, no_wrap=True, overflow="ellipsis"))

    def _forget(self, number: int) -> None:
        for of_trials in (self._lines, self._began, self._spoke):
            of_trials.pop(number, None)

    def trial_ended(self, trial: FrozenTrial) -> None:
        """Show the row of a trial that has ended, and keep the best value."""
        if not self.names and trial.params:
            self.names = list(trial.params)
            self._print_titles()
        coordinates = read(trial.user_attrs, COORDINATES, dict) or {}
        values: list[Any] = [trial.params.get(name, "") for name in self.names]
        values += [coordinates.get(axis, "") for axis in self.axes]
        shown = "" if trial.value is None else metric(self.metric_name, trial.value)
        seconds = duration(trial.duration.total_seconds()) if trial.duration else ""
        note = _OUTCOMES.get(trial.state, "")
        reason = read(trial.user_attrs, PRUNED_REASON, str)
        reason = reason or _last_line(read(trial.user_attrs, ERROR, str))
        if note and reason:
            note = f"{note}: {reason}"
        if trial.state == TrialState.COMPLETE and self._is_best(trial):
            note = "best so far"
        if read(trial.user_attrs, AT_CHANCE, str):
            note = ", ".join(filter(None, (note, "at chance")))
        self._forget(trial.number)
        self._update_live()
        cells = [str(trial.number), *map(number, values), shown, seconds]
        self._print(self._layout().row(cells, note))
        if self.on_end is not None:
            self.on_end(trial)

    def _is_best(self, trial: FrozenTrial) -> bool:
        """Count a run; whether its configuration, its repeats pooled, is better than the best."""
        before = self._standings.best()
        point = self._standings.add(trial.number, trial.params, trial.value)
        if point is None or self._standings.best() is not point:
            return False
        sign = 1.0 if self.maximize else -1.0
        return before is None or sign * point.value > sign * before.value

    def _layout(self) -> Layout:
        """The columns: a terminal that is too narrow loses the time, then raw parameters."""
        title = self.metric_name.replace("_", " ")
        columns = [
            Column("run", 0, least=4),
            *(Column(symbol(name), 2 + i) for i, name in enumerate(self.names)),
            *(Column(symbol(axis), 1 + i) for i, axis in enumerate(self.axes)),
            Column(title, 0, short=title.rpartition(" ")[2]),
            Column("time", 2 + len(self.names), least=10),
        ]
        return fit(columns, self.console.width if self.console.is_terminal else None)

    def _print(self, line: str) -> None:
        self.console.print(line, markup=False, highlight=False, soft_wrap=True)


def _who(trial: FrozenTrial) -> str:
    """The process that runs a trial, with its machine if that is another one."""
    host, _, process = (read(trial.user_attrs, OWNER, str) or "").rpartition(":")
    where = "" if host in ("", socket.gethostname()) else f" on {host}"
    return f" (process {process}{where})" if process else ""


def _last_line(text: str | None) -> str:
    return text.strip().rpartition("\n")[2] if text else ""
