"""A study's report as an object: for a notebook, a script, or a page to keep.

report = hpt.report(study)
print(report)
report.save("report.html")
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

from optuna.study import Study

from hptoolkit.errors import UserError
from hptoolkit.execution import studies
from hptoolkit.reporting import figures, html, results
from hptoolkit.reporting.facts import facts
from hptoolkit.reporting.figures import Figure

# Pixels: a report's frame in a notebook; a figure's heading, caption and margins in its own.
_FRAME, _AROUND = 900, 250


class ShownFigure(Figure):
    """A figure that a notebook shows with its title and caption, offline: 5 MB of HTML each.

    `figure` is plotly's own, to be changed, or shown as the notebook is set up to.
    """

    def _repr_html_(self) -> str:
        height = int(self.figure.layout.height) + _AROUND
        return _framed(html.html("", [self], [], "", [], [], []), height)


@dataclass(frozen=True, repr=False)
class Report:
    """What a study found. In a notebook it shows itself.

    Attributes:
        name: The study's.
        about: What it is, in a sentence.
        facts: What was trained, how and when: names and texts.
        figures: Those that can be drawn; each shows itself, too.
        findings: What was found, a sentence each.
        not_shown: What cannot be shown and why, a sentence each.
        table: The titles and a row of each run, as texts.
    """

    name: str
    about: str
    facts: tuple[tuple[str, str], ...]
    figures: tuple[ShownFigure, ...]
    findings: tuple[str, ...]
    not_shown: tuple[str, ...]
    table: tuple[tuple[str, ...], ...]

    def __str__(self) -> str:
        """What was found, as text: a sentence a line."""
        notes = (f"Not shown: {note}" for note in self.not_shown)
        return "\n".join([f"{self.name}: {self.about}", *self.findings, *notes])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return _framed(self.html(), _FRAME)

    def html(self) -> str:
        """The page's text, which needs no network."""
        return html.html(
            self.name,
            self.figures,
            self.not_shown,
            self.about,
            self.facts,
            self.findings,
            self.table,
        )

    def save(self, path: str | Path) -> Path:
        """Write the page to a file, whose folder is made. Raises UserError if it cannot be."""
        path = Path(path)
        try:
            html.write(
                path,
                self.name,
                self.figures,
                self.not_shown,
                about=self.about,
                facts=self.facts,
                findings=self.findings,
                table=self.table,
            )
        except OSError as error:
            raise UserError(
                f"The page {path} cannot be written ({error.strerror}): choose another place."
            ) from None
        return path


def report(study: Study, slices: Sequence[Study] = ()) -> Report:
    """Draw what a study found, finished or not. Fitting the GP takes a few seconds.

    Works for any Optuna study of one objective. Its coordinates are those that it searched, which
    hptoolkit's samplers keep with each trial; without them theory's, where the parameters have the
    names lr, momentum, weight_decay and batch_size.

    Args:
        study: With its trials.
        slices: Studies of slices around its configurations, shown too if it keeps a definition.

    Raises:
        UserError: It has several objectives.
    """
    if not isinstance(study, Study):
        raise UserError(f"report takes an Optuna study, not a {type(study).__name__}.")
    if len(study.directions) > 1:
        raise UserError(
            f"The study {study.study_name} has {len(study.directions)} objectives: the report is "
            "for studies with one."
        )
    defined = studies.definition_of(study)
    album = figures.make(study, defined)
    if defined is not None and slices:
        album = figures.with_slices(album, slices, defined)
    return Report(
        name=study.study_name,
        about=results.about(study, defined),
        facts=tuple(facts(study, defined)),
        figures=tuple(ShownFigure(**vars(figure)) for figure in album.figures),
        findings=tuple(album.findings),
        not_shown=tuple(album.notes),
        table=tuple(tuple(row) for row in album.table),
    )


def _framed(page: str, height: int) -> str:
    """A page in a frame of its own: its style and script stay out of the notebook.

    In ASCII, whatever encoding the page around it declares.
    """
    text = escape(page).encode("ascii", "xmlcharrefreplace").decode()
    return f'<iframe srcdoc="{text}" style="width: 100%; height: {height}px; border: 0"></iframe>'
