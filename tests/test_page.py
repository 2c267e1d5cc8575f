"""The report's page: frames that show what matters, narrow screens, and its head."""

from __future__ import annotations

import json
from itertools import pairwise

import numpy as np
import optuna
import pytest
from optuna.distributions import FloatDistribution
from optuna.trial import create_trial

import hptoolkit as hpt
from hptoolkit.attributes import DATA, DEFINITION, SAMPLER
from hptoolkit.config.definition import OwnObjective
from hptoolkit.config.load import load_study
from hptoolkit.config.schema import CoordinatesSection
from hptoolkit.reporting.facts import facts, study_command
from hptoolkit.reporting.figures import album, profiles
from hptoolkit.reporting.figures.figure import blank, frame, outside
from hptoolkit.reporting.figures.reading import read
from hptoolkit.reporting.figures.stacked import stacked
from hptoolkit.reporting.html import html
from tests import page


def test_the_frame_reaches_three_times_as_far_as_the_median() -> None:
    values = [90.0, 80.0, 70.0, 10.0, 0.0]
    low, high = frame(values, maximize=True) or (0.0, 0.0)
    # From 90 to 90 − 3·(90 − 70) = 30, and 6 % of the 60 beyond both.
    assert (low, high) == pytest.approx((26.4, 93.6))
    assert outside(values, (low, high)) == " 2 that are worse lie outside the frame."
    low, high = frame([-v for v in values], maximize=False) or (0.0, 0.0)
    assert (low, high) == pytest.approx((-93.6, -26.4))


def test_a_frame_never_reaches_beyond_the_worst() -> None:
    assert frame([1.0, 2.0, 3.0], maximize=True) == pytest.approx((0.88, 3.12))
    assert frame([5.0, 5.0], maximize=True) is None
    assert frame([], maximize=True) is None
    # Most are equal to the best: all are shown.
    assert frame([5.0, 5.0, 5.0, 1.0], maximize=True) == pytest.approx((0.76, 5.24))
    assert outside([1.0], None) == ""


@pytest.mark.parametrize(("columns", "rows"), [(2, 1), (3, 1), (2, 2)])
def test_stacked_panels_are_as_wide_as_the_screen_and_do_not_overlap(
    columns: int, rows: int
) -> None:
    titles = [f"panel {i}" for i in range(columns * rows)]
    figure = blank(columns, rows, titles, shared_yaxes=True)
    for place in range(columns * rows):
        where = {"row": place // columns + 1, "col": place % columns + 1}
        figure.add_scatter(x=[1, 2], y=[1, 2], marker={"coloraxis": "coloraxis"}, **where)
        figure.update_yaxes(title_text=f"y{where['row']}" if where["col"] == 1 else "", **where)
    figure.update_layout(coloraxis={"colorbar": {"title": {"text": "c"}}})
    layout = stacked(figure)
    assert layout is not None
    spans = []
    for name, axis in layout.items():
        if name.startswith("xaxis"):
            assert axis["domain"] == [0.0, 1.0]
        if name.startswith("yaxis"):
            assert axis["showticklabels"]
            spans.append((*axis["domain"], axis["title"]["text"]))
    spans.sort(reverse=True)
    # A panel that stood beside another has its title.
    assert [title for *_, title in spans] == [
        f"y{row + 1}" for row in range(rows) for _ in range(columns)
    ]
    assert len(spans) == columns * rows
    assert all(a[0] > b[1] for a, b in pairwise(spans))
    # In the order in which one reads them, each heading at the top of its panel.
    heads = sorted(layout["annotations"], key=lambda note: -note["y"])
    assert [note["text"] for note in heads] == titles
    assert [note["y"] for note in heads] == pytest.approx([top for _, top, _ in spans])
    assert layout["coloraxis"]["colorbar"]["orientation"] == "h"
    assert layout["height"] >= 300 * len(spans)


def test_a_single_panel_stays_as_it_is() -> None:
    assert stacked(blank()) is None


def search() -> tuple[optuna.Study, OwnObjective]:
    """Page's search on a response without noise, by line searches."""
    sampler = hpt.CoordinateDescentSampler(
        page.COORDINATES, start=page.START, search_space=page.SEARCH_SPACE
    )
    study = optuna.create_study(sampler=sampler, direction="maximize", study_name="mine")
    study.optimize(page.objective, n_trials=60)
    defined = OwnObjective(
        name="mine",
        objective="mine.py:f",
        start=page.START,
        coordinates=CoordinatesSection(axes=page.COORDINATES.axes),
    )
    study.set_user_attr(SAMPLER, "coord")
    study.set_user_attr(DEFINITION, defined.identity("coord"))
    return study, defined


def test_a_coordinate_search_is_drawn_as_profiles_not_as_slivers_of_slices() -> None:
    study, defined = search()
    figures, _ = album.draw(study, defined)
    ids = [figure.id for figure in figures]
    assert "profiles" in ids
    assert not [each for each in ids if each.startswith("slice")]


def test_a_profile_holds_the_runs_that_differ_from_the_best_along_one_axis() -> None:
    study, defined = search()
    view = read(study, defined)
    axis = page.COORDINATES.axes[0]
    points = profiles.profile(view, axis)
    best = study.best_trial
    others = page.COORDINATES.axes[1:]
    place = page.COORDINATES.from_raw(best.params)
    expected = [
        trial.value
        for trial in sorted(study.trials, key=lambda t: page.COORDINATES.from_raw(t.params)[axis])
        if all(
            page.COORDINATES.from_raw(trial.params)[o] == pytest.approx(place[o]) for o in others
        )
    ]
    assert [point.value for point in points] == pytest.approx(expected)
    assert max(point.value for point in points) == best.value
    assert len(points) >= 3


def test_the_command_repeats_what_differs_from_the_file() -> None:
    study = optuna.create_study(study_name="digits-grid")
    study.set_user_attr(SAMPLER, "grid")
    defined = load_study("digits", ["training.epochs=2", "data.name='digits'"], seed=3)
    line = study_command(study, defined) or ""
    assert line.endswith(
        "-m hptoolkit.study digits --sampler grid --set seed=3 --set training.epochs=2"
    )
    plain = study_command(study, load_study("digits")) or ""
    assert plain.endswith("-m hptoolkit.study digits --sampler grid")
    study.set_user_attr(SAMPLER, "slice-lr-momentum")
    assert study_command(study, defined) is None


def test_the_head_says_what_was_trained() -> None:
    study = optuna.create_study(study_name="digits-grid")
    study.set_user_attr(SAMPLER, "grid")
    data = {"name": "digits", "training": {"images": 1150}, "validation": {"images": 288}}
    study.add_trial(
        create_trial(
            value=1.0,
            params={"lr": 0.5},
            distributions={"lr": FloatDistribution(0.1, 1.0)},
            user_attrs={DATA: data},
        )
    )
    found = dict(facts(study, load_study("digits", seed=7)))
    assert found["data"] == "digits, 1150 images to train on, 288 to validate"
    assert found["network"] == "Page's, width 8"
    assert found["training"] == "nesterov, 10 epochs of batch 64, schedule piecewise"
    assert found["search"].startswith("sampler grid, axes λα/(1−ρ)")
    assert found["search"].endswith("seed 7")
    assert f"optuna {optuna.__version__}" in found["drawn"]


def test_no_text_of_a_user_ends_the_script_of_a_narrow_figure() -> None:
    figure = blank(2, 1, ["</script><b>", "b"])
    figure.add_scatter(x=np.arange(3), y=np.arange(3), row=1, col=1)
    from hptoolkit.reporting.figures.figure import Figure

    text = html("s", [Figure("f", "t", "c", figure)], [], "", [], [], [])
    part = text.split('narrow["f"] = ', 1)[1].split(";</script>", 1)[0]
    assert "</script>" not in part
    assert json.loads(part.replace("<\\/", "</"))["annotations"][0]["text"] == "</script><b>"
