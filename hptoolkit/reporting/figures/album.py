"""All figures that can be drawn of a study, what cannot, and what they say in sentences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from optuna.study import Study

from hptoolkit.config.compare import differences
from hptoolkit.config.schema import Search
from hptoolkit.execution.studies import definition_of
from hptoolkit.reporting.figures import (
    best_so_far,
    boundary,
    collapse,
    exponents,
    findings,
    learning_curves,
    profiles,
    run_table,
    search_path,
    slice_maps,
)
from hptoolkit.reporting.figures import noise as noises
from hptoolkit.reporting.figures.figure import Figure
from hptoolkit.reporting.figures.noise import Noise
from hptoolkit.reporting.figures.reading import read
from hptoolkit.reporting.figures.view import StudyView

# The dashboard reads all figures of a study anew on each refresh: bytes of JSON in all.
LIMIT = 100_000
# Runs below which no figure is thinned any further.
_FEWEST_DRAWN = 20


@dataclass(frozen=True)
class Album:
    """What is shown of a study.

    Attributes:
        figures: Those that can be drawn, 100 kB of JSON at most in all.
        notes: A sentence for each that cannot, and on runs that figures leave out.
        findings: What was found, in sentences.
        table: The titles and a row of each run, as texts.
    """

    figures: list[Figure]
    notes: list[str]
    findings: list[str]
    table: list[list[str]]


def draw(study: Study, definition: Search | None) -> tuple[list[Figure], list[str]]:
    """The figures of a study that can be drawn, and a sentence for each that cannot.

    Args:
        study: A stored study, finished or not.
        definition: What it was made from; None for a study that hptoolkit did not make.
    """
    album = make(study, definition)
    return album.figures, album.notes


def make(study: Study, definition: Search | None) -> Album:
    """All that is shown of a study. Fitting the GP takes a few seconds."""
    view = read(study, definition)
    noise = noises.of(view, definition)
    learned = exponents.learn(study, view) if view.points else "The GP needs finished runs."
    figures, notes = _drawn(view, noise, learned)
    while size(figures) > LIMIT and view.drawn > _FEWEST_DRAWN:
        view = replace(view, drawn=min(view.drawn, len(view.runs)) // 2)
        figures, notes = _drawn(view, noise, learned)
    if len(view.runs) > view.drawn:
        notes.append(
            f"Figures draw {view.drawn} of the {len(view.runs)} runs, the best among them; numbers "
            "are those of all."
        )
    found = findings.sentences(view, noise, learned)
    return Album(figures, notes, found, run_table.rows(view))


def with_slices(album: Album, slices: Sequence[Study], definition: Search) -> Album:
    """The album with the figures of slices that were run around the study's configurations.

    A slice takes the place of what the study's own runs show of it. Those of another network,
    data or training than the study's are left out.
    """
    figures = {figure.id: figure for figure in album.figures}
    for study in slices:
        cut = definition_of(study)
        if cut is None or differences(_trained(definition), _trained(cut)):
            continue
        view = read(study, cut)
        drawn = slice_maps.draw(view, noises.of(view, cut))
        if not isinstance(drawn, str):
            figures |= {figure.id: figure for figure in drawn}
    return replace(album, figures=list(figures.values()))


def _trained(definition: Search) -> dict[str, Any]:
    """What decides the result at given parameters."""
    fields = {"name", "data", "model", "training", "metric", "objective", "vary"}
    return definition.model_dump(mode="json", include=fields)


def size(figures: list[Figure]) -> int:
    """Bytes of the figures' JSON."""
    return sum(len(figure.figure.to_json().encode()) for figure in figures)


def _drawn(
    view: StudyView, noise: Noise | None, learned: exponents.Learned | str
) -> tuple[list[Figure], list[str]]:
    drawn: list[Figure | list[Figure] | str] = [
        search_path.draw(view),
        *([profiles.draw(view, noise)] if profiles.searched_along_axes(view) else []),
        slice_maps.draw(view, noise),
        collapse.draw(view, noise, learned),
        learned if isinstance(learned, str) else exponents.draw(view, learned),
        best_so_far.draw(view, noise),
        learning_curves.draw(view, noise),
        boundary.draw(view),
    ]
    figures: list[Figure] = []
    notes: list[str] = []
    for each in drawn:
        if isinstance(each, str):
            notes.append(each)
        else:
            figures += each if isinstance(each, list) else [each]
    return figures, list(dict.fromkeys(notes))
