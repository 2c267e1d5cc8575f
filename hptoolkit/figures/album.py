"""All figures that can be drawn of a study, what cannot, and what they say in sentences."""

from __future__ import annotations

from dataclasses import dataclass, replace

from optuna.study import Study

from hptoolkit.figures import (
    best_so_far,
    boundary,
    collapse,
    exponents,
    findings,
    learning_curves,
    search_path,
    slice_maps,
)
from hptoolkit.figures import noise as noises
from hptoolkit.figures.figure import Figure
from hptoolkit.figures.noise import Noise
from hptoolkit.figures.view import StudyView, read
from hptoolkit.sections import Search

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
    """

    figures: list[Figure]
    notes: list[str]
    findings: list[str]


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
    return Album(figures, notes, findings.sentences(view, noise, learned))


def size(figures: list[Figure]) -> int:
    """Bytes of the figures' JSON."""
    return sum(len(figure.figure.to_json().encode()) for figure in figures)


def _drawn(
    view: StudyView, noise: Noise | None, learned: exponents.Learned | str
) -> tuple[list[Figure], list[str]]:
    drawn: list[Figure | list[Figure] | str] = [
        search_path.draw(view),
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
