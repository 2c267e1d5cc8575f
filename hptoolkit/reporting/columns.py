"""Columns of a table that is printed row by row as it grows: fitted to the width, never broken."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.cells import cell_len, set_cell_size

# The shortest place for a note that still tells something: "best so far".
_NOTE = 11


@dataclass(frozen=True)
class Column:
    """A column of right-aligned cells.

    Attributes:
        title: Its head.
        rank: Of several that do not fit, the one with the highest rank is left out first; 0 stays.
        short: A shorter head, for a narrow terminal.
        least: Cells have so many characters at most, nearly always.
    """

    title: str
    rank: int
    short: str = ""
    least: int = 9


@dataclass(frozen=True)
class Layout:
    """The columns that are shown: their places among all, heads and widths."""

    places: tuple[int, ...]
    heads: tuple[str, ...]
    widths: tuple[int, ...]
    width: int | None

    def titles(self) -> str:
        """The head of the table."""
        return self._line(self.heads, "")

    def row(self, cells: Sequence[str], note: str = "") -> str:
        """One row, of a cell for each column whether it is shown or not; the note is cut to fit."""
        return self._line([cells[place] for place in self.places], " ".join(note.split()))

    def _line(self, shown: Sequence[str], note: str) -> str:
        padded = [f"{cell:>{width}}" for cell, width in zip(shown, self.widths, strict=True)]
        line = f"{' '.join(padded)}  {note}".rstrip()
        if self.width is not None and cell_len(line) > self.width:
            return f"{set_cell_size(line, self.width - 1).rstrip()}…"
        return line


def fit(columns: Sequence[Column], width: int | None) -> Layout:
    """The columns that fit into so many characters, beside a note; all of them for None."""
    places = list(range(len(columns)))
    heads = [column.title for column in columns]
    if width is not None and _needed(columns, heads, places) > width:
        heads = [column.short or column.title for column in columns]
        while places and _needed(columns, heads, places) > width:
            last = max(places, key=lambda place: (columns[place].rank, place))
            if columns[last].rank == 0:
                break
            places.remove(last)
    widths = [max(len(heads[place]), columns[place].least) for place in places]
    return Layout(tuple(places), tuple(heads[p] for p in places), tuple(widths), width)


def _needed(columns: Sequence[Column], heads: Sequence[str], places: Sequence[int]) -> int:
    cells = sum(max(len(heads[place]), columns[place].least) + 1 for place in places)
    return cells + 1 + _NOTE
