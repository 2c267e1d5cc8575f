from __future__ import annotations

import json
import math

import optuna
import plotly.graph_objects as go
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.trial import create_trial
from optuna_dashboard import get_note, save_note
from plotly.subplots import make_subplots

from hptoolkit.reporting import dashboard
from hptoolkit.reporting.figures import Album, Figure, make
from tests.page import COORDINATES, SEARCH_SPACE, START, objective


def studied(trials: int = 12) -> optuna.Study:
    import hptoolkit as hpt

    sampler = hpt.CoordinateDescentSampler(COORDINATES, search_space=SEARCH_SPACE, start=START)
    study = optuna.create_study(study_name="page", sampler=sampler, direction="maximize")
    study.optimize(objective, n_trials=trials)
    return study


def plots(study: optuna.Study) -> dict[str, dict[str, object]]:
    """The custom plots by id, as the dashboard's own server puts them together."""
    from optuna_dashboard._custom_plot_data import get_plotly_graph_objects

    kept = study._storage.get_study_system_attrs(study._study_id)
    return {name: json.loads(text) for name, text in get_plotly_graph_objects(kept).items()}


def test_the_figures_are_custom_plots_in_100_kb() -> None:
    study = studied()
    album = make(study, None)
    assert album.figures
    for _ in range(2):  # the second time in the place of the first
        dashboard.show(study, None, album)
    shown = plots(study)
    assert {figure.id for figure in album.figures} <= set(shown)
    assert sum(len(json.dumps(plot)) for plot in shown.values()) < 100_000
    for plot in shown.values():
        assert plot["layout"]["height"] == 450  # type: ignore[index]
        assert plot["layout"]["title"]["text"][0].isdigit()  # type: ignore[index]


def test_the_note_says_what_was_found_and_how_to_read_it() -> None:
    study = studied()
    album = make(study, None)
    dashboard.show(study, None, album)
    note = get_note(study)
    assert note.startswith("# page\n\n12 runs")
    for text in (*album.findings, *album.notes, *(f.caption for f in album.figures)):
        assert text in note
    assert "python -m hptoolkit.report page" in note


def test_what_a_user_wrote_in_the_note_stays() -> None:
    study = studied(3)
    album = Album([], [], ["first"], [])
    save_note(study, "My own words.")
    dashboard.show(study, None, album)
    assert get_note(study).endswith("My own words.\n")
    save_note(study, get_note(study) + "And more.")
    dashboard.show(study, None, Album([], [], ["second"], []))
    note = get_note(study)
    assert "second" in note
    assert "first" not in note
    assert note.endswith("My own words.\nAnd more.\n")
    assert note.count("My own words.") == 1


def test_rows_of_panels_are_plots_of_their_own() -> None:
    figure = make_subplots(rows=2, cols=2, subplot_titles=list("abcd"), vertical_spacing=0.3)
    for i, (row, column) in enumerate(((1, 1), (1, 2), (2, 1), (2, 2))):
        figure.add_scatter(x=[i], y=[i], row=row, col=column)
    figure.add_hline(y=3, row=2, col=1)
    figure.add_annotation(text="inside", x=0, y=1, row=1, col=2)
    first, second = dashboard.rows_of(figure)
    assert [trace.x[0] for trace in first.data] == [0, 1]
    assert [trace.x[0] for trace in second.data] == [2, 3]
    assert [note.text for note in first.layout.annotations] == ["a", "b", "inside"]
    assert [note.text for note in second.layout.annotations] == ["c", "d"]
    assert (len(first.layout.shapes), len(second.layout.shapes)) == (0, 1)
    assert first.layout.yaxis.domain == (0, 1)
    assert second.layout.yaxis3.domain == (0, 1)
    assert math.isclose(second.layout.annotations[0].y, 1)


def test_one_row_is_left_as_it_is() -> None:
    figure = go.Figure(go.Scatter(x=[0], y=[0]))
    assert dashboard.rows_of(figure) == [figure]
    described = Figure("a-b", "Title", "Caption.", figure)
    study = studied(3)
    dashboard.show(study, None, Album([described], [], [], []))
    assert list(plots(study)) == ["a-b"]
    assert figure.layout.height is None


def test_what_a_user_calls_things_is_neither_markdown_nor_html() -> None:
    study = optuna.create_study(study_name="a_b_<i>", direction="maximize")
    for i, choice in enumerate(("<b>x", "*y*", "[z](javascript:0)")):
        study.add_trial(
            create_trial(
                value=float(i),
                params={"kind": choice, "lr": 0.1 * (i + 1)},
                distributions={
                    "kind": CategoricalDistribution(("<b>x", "*y*", "[z](javascript:0)")),
                    "lr": FloatDistribution(0.01, 1.0, log=True),
                },
                intermediate_values={1: 0.0, 2: float(i)},
            )
        )
    album = make(study, None)
    text = dashboard.note(study, None, album)
    assert "# a\\_b\\_\\<i\\>" in text
    assert "[z](javascript:0)" not in text
    assert "\\[z\\](javascript:0)" in text
    curves = next(figure for figure in album.figures if figure.id == "learning-curves")
    names = [trace.name for trace in curves.figure.data]
    assert any("&lt;b&gt;x" in name for name in names)
    assert not any("<b>" in name for name in names)
