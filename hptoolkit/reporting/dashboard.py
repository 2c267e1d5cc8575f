"""A study in optuna-dashboard: the project's figures as custom plots, and a note to read first."""

from __future__ import annotations

import json
import re
import warnings
from typing import TYPE_CHECKING, Any

from optuna.study import Study

from hptoolkit.attributes import COORDINATES, ERROR, HISTORY, PRUNED_REASON
from hptoolkit.config.schema import Search
from hptoolkit.coordinates.symbols import symbol

if TYPE_CHECKING:
    from hptoolkit.reporting.figures import Album
    from hptoolkit.reporting.figures.figure import Figure

# The dashboard gives a custom plot half of the page's width, and this height whatever it asks for.
_HEIGHT = 450
# A panel whose axes differ by more than this factor does not keep equal scales there.
_SQUEEZED = 1.8

_YOURS = "*hptoolkit writes what stands above this line anew; what you write below it stays.*"


def show(study: Study, definition: Search | None, album: Album) -> None:
    """Put figures and note on the study's page, in the place of earlier ones.

    The dashboard reads all of it at each refresh, so it is for a study that has ended, not for
    every trial; an album has 100 kB at most.
    """
    with warnings.catch_warnings():
        # Its samplers, which are not used here, call torch.jit.script when they are imported.
        warnings.simplefilter("ignore", FutureWarning)
        from optuna_dashboard import get_note, save_note, save_plotly_graph_object

    for number, figure in enumerate(album.figures, start=1):
        for row, panels in enumerate(rows_of(figure.figure)):
            title = f"{number}. {figure.title}{', continued' if row else ''}"
            name = f"{figure.id}-{row + 1}" if row else figure.id
            save_plotly_graph_object(study, _fitted(panels, title), graph_object_id=name)
    before, line, yours = get_note(study).partition(_YOURS)
    text = note(study, definition, album)
    save_note(study, f"{text}\n\n{_YOURS}\n\n{(yours if line else before).strip()}".rstrip() + "\n")


def note(study: Study, definition: Search | None, album: Album) -> str:
    """What the study is, what was found, and how to read its figures, in Markdown."""
    from hptoolkit.reporting.results import about

    coordinates = (
        f" `{COORDINATES}` ({', '.join(map(symbol, definition.coordinates.axes))})"
        if definition is not None and definition.coordinates.axes
        else f" `{COORDINATES}`"
    )
    reading = [
        f"Trials hold raw parameters; what was searched is their user attribute{coordinates}. "
        f"`{HISTORY}` has every epoch, `{PRUNED_REASON}` and `{ERROR}` say why a trial ended "
        "early.",
        "Numbered figures on the page *History* are hptoolkit's (the dashboard shows them in no "
        "order of its own: go by the numbers); the others are Optuna's own, over raw parameters.",
        "Its plot *Hyperparameter Importance* ranks otherwise than the shares of variance here: it "
        "asks how much of the variance a random forest (fANOVA) gives to each raw parameter over "
        "its whole range, including runs far from the best; the shares say how well one axis by "
        "itself predicts the finished runs. A search that follows one axis makes them differ most.",
        f"The same figures with their captions on one page: "
        f"`python -m hptoolkit.report {study.study_name}`.",
        *(
            f"**{number}. {figure.title}.** {_plain(_caption(figure))}"
            for number, figure in enumerate(album.figures, start=1)
        ),
    ]
    parts = [f"# {_plain(study.study_name)}", _plain(about(study, definition))]
    for title, lines in (
        ("What was found", [_plain(line) for line in album.findings]),
        ("How to read it", reading),
        ("What cannot be shown", [_plain(line) for line in album.notes]),
    ):
        if lines:
            parts += [f"## {title}", "\n".join(f"- {line}" for line in lines)]
    return "\n\n".join(parts)


def _plain(text: str) -> str:
    """A sentence with a user's names and values in it, which are not to be read as Markdown."""
    return re.sub(r"([\\`*_\[\]<>~|])", r"\\\1", text)


def rows_of(figure: Any) -> list[Any]:
    """A figure's rows of panels, a figure each, since the dashboard has no room for two.

    A row is made of the y-axes that share a part of the height, with what is drawn on them. Legend
    and colour bar go with each.
    """
    import plotly.graph_objects as go

    drawn = json.loads(figure.to_json())
    layout = drawn["layout"]
    axes = [name for name in layout if name.startswith("yaxis")]
    spans = sorted({tuple(layout[name].get("domain", (0.0, 1.0))) for name in axes}, reverse=True)
    if len(spans) < 2:
        return [figure]
    rows = []
    for span in spans:
        of_row = {
            name: layout[name]
            for name in axes
            if tuple(layout[name].get("domain", (0.0, 1.0))) == span
        }
        ids = {name.replace("axis", "") for name in of_row}
        anchors = {axis.get("anchor", "x") for axis in of_row.values()}
        row = {
            name: {**value, "domain": [0.0, 1.0]} if name in of_row else value
            for name, value in layout.items()
            if name not in axes or name in of_row
            if not name.startswith("xaxis") or name.replace("axis", "") in anchors
        }
        row["annotations"] = [
            {**note, "y": 1.0} if note.get("yref") == "paper" else note
            for note in layout.get("annotations", ())
            if _stands_in(note, ids, span)
        ]
        row["shapes"] = [
            s for s in layout.get("shapes", ()) if s.get("yref", "y").split()[0] in ids
        ]
        traces = [trace for trace in drawn["data"] if trace.get("yaxis", "y") in ids]
        rows.append(go.Figure({"data": traces, "layout": row}))
    return rows


def _stands_in(note: dict[str, Any], ids: set[str], span: tuple[float, ...]) -> bool:
    """Whether a text belongs to a row: on one of its axes, or the title above its panels."""
    if note.get("yref") == "paper":
        return abs(float(note["y"]) - span[-1]) < 1e-6
    return str(note.get("yref", "y")).split()[0] in ids


def _is_squeezed(figure: Any) -> bool:
    """Whether equal scales on both axes would leave a strip of the dashboard's wide frame."""
    ratios = [
        (y.range[1] - y.range[0]) / (x.range[1] - x.range[0])
        for x, y in zip(figure.select_xaxes(), figure.select_yaxes(), strict=False)
        if y.scaleanchor and x.range and y.range
    ]
    return any(not 1 / _SQUEEZED < ratio < _SQUEEZED for ratio in ratios)


def _caption(figure: Figure) -> str:
    """A figure's caption as it holds in the dashboard."""
    squeezed = _is_squeezed(figure.figure)
    return figure.caption.replace("at 45°", "at a slant") if squeezed else figure.caption


def _fitted(figure: Any, title: str) -> Any:
    """A copy of the figure at the dashboard's size, with the title that the dashboard lacks."""
    import plotly.graph_objects as go

    fitted = go.Figure(figure)
    if _is_squeezed(figure):
        fitted.update_yaxes(scaleanchor=None, scaleratio=None, constrain=None)
        fitted.update_xaxes(constrain=None)
    fitted.update_layout(
        height=_HEIGHT,
        title={"text": title, "x": 0.01, "font": {"size": 16}},
        margin={"t": 80, "b": 80},
        legend={"y": -0.22},
    )
    return fitted
