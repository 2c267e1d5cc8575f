"""Figures: their data against values worked out by hand, their estimators against closed forms."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.trial import TrialState, create_trial

from hptoolkit.config.definition import OwnObjective
from hptoolkit.config.load import load_study
from hptoolkit.config.schema import CoordinatesSection
from hptoolkit.coordinates.monomial import Factor
from hptoolkit.execution.slices.lattice import Slice, points
from hptoolkit.reporting.figures import album, best_so_far, boundary, draw, findings, slice_maps
from hptoolkit.reporting.figures import noise as noises
from hptoolkit.reporting.figures.axes_pair import pairs
from hptoolkit.reporting.figures.collapse import shares_by_side, shares_explained
from hptoolkit.reporting.figures.exponents import Learned, Trade, learn
from hptoolkit.reporting.figures.noise import Noise, binomial, equals_of_best, pooled
from hptoolkit.reporting.figures.reading import read
from hptoolkit.reporting.figures.variance import explained
from hptoolkit.reporting.figures.view import StudyView

SPACE: dict[str, BaseDistribution] = {
    "lr": FloatDistribution(1e-3, 100.0, log=True),
    "momentum": FloatDistribution(0.0, 0.99),
}
AXES = ("lr/(1-momentum)", "1-momentum")


def defined(axes: tuple[str, ...] = AXES) -> OwnObjective:
    return OwnObjective(
        name="mine", objective="mine.py:f", coordinates=CoordinatesSection(axes=axes)
    )


def study_of(rows: list[tuple[Any, ...]], direction: str = "maximize") -> optuna.Study:
    """A study of (λ, ρ, value or state, curve, reason) rows."""
    study = optuna.create_study(direction=direction, study_name="mine")
    for lr, momentum, value, *more in rows:
        curve = more[0] if more else []
        state = value if isinstance(value, TrialState) else TrialState.COMPLETE
        study.add_trial(
            create_trial(
                state=state,
                value=None if isinstance(value, TrialState) else value,
                params={"lr": lr, "momentum": momentum},
                distributions=SPACE,
                intermediate_values=dict(enumerate(curve, 1)),
                user_attrs={"pruned_reason": more[1]} if len(more) > 1 else {},
            )
        )
    return study


def ridge(exponent: float, levels: tuple[int, int] = (9, 5), noise: float = 0.0) -> optuna.Study:
    """Results that depend on λ · (1−ρ)^exponent alone, on a lattice of factors of two."""
    rng = np.random.default_rng(0)
    lattice = Slice(("lr", "momentum"), {"lr": 1.0, "momentum": 0.75}, levels, 2.0, 1)
    design, _ = points(lattice, defined_coordinates(), SPACE)
    rows = []
    for point in design:
        lr, momentum = point["lr"], point["momentum"]
        place = math.log2(lr * (1 - momentum) ** exponent) - math.log2(0.25**exponent)
        rows.append((lr, momentum, 90 - place**2 + noise * rng.normal()))
    return study_of(rows)


def defined_coordinates() -> Any:
    from hptoolkit import Coordinates

    return Coordinates(*AXES)


def view_of(study: optuna.Study, axes: tuple[str, ...] = AXES) -> StudyView:
    return read(study, defined(axes))


# --- the share of variance -------------------------------------------------------------------


def test_an_axis_that_decides_explains_everything_and_a_foreign_one_nothing() -> None:
    rng = np.random.default_rng(0)
    x = rng.uniform(-3, 3, 200)
    assert explained(x, 3 * x + 1) == pytest.approx(1.0, abs=1e-5)
    assert explained(x, np.sin(2 * x)) > 0.99
    assert explained(x, rng.normal(size=200)) < 0.05
    assert explained(np.zeros(200), x) == 0.0


@pytest.mark.parametrize("deviation", [0.3, 1.0])
def test_under_noise_it_is_the_signals_share(deviation: float) -> None:
    """y = sin x + noise: R² tends to var(sin x) / (var(sin x) + σ²)."""
    shares, true = [], []
    for seed in range(10):
        rng = np.random.default_rng(seed)
        x = rng.uniform(-3, 3, 200)
        signal = np.sin(x)
        shares.append(explained(x, signal + deviation * rng.normal(size=200)))
        true.append(np.var(signal) / (np.var(signal) + deviation**2))
    assert np.mean(shares) == pytest.approx(np.mean(true), abs=0.05)


def test_on_a_lattice_repeated_places_are_no_advantage() -> None:
    """Results that only know the other axis: the eleven at each place do not predict the one."""
    x, y = (a.ravel().astype(float) for a in np.meshgrid(range(11), range(7)))
    assert explained(y, x) == 0.0
    assert explained(x, x**2) > 0.99
    # y = x + y: an axis has its own share, var(x) = 10 of var(x) + var(y) = 14.
    assert explained(x, x + y) == pytest.approx(10 / 14, abs=0.05)


def test_too_few_points_have_no_share() -> None:
    assert math.isnan(explained(np.arange(5.0), np.arange(5.0)))
    assert math.isnan(explained(np.arange(9.0), np.ones(9)))


def test_the_right_coordinate_explains_what_the_raw_axis_does_not() -> None:
    view = view_of(ridge(-1.0))
    shares = shares_explained(view)
    assert shares["lr/(1-momentum)"] > 0.97
    assert shares["lr"] < 0.8
    assert shares["1-momentum"] < 0.2


def test_each_side_of_the_best_has_shares_of_its_own() -> None:
    """Up to the best the results follow λ/(1−ρ) alone, beyond it λ alone."""
    rows = []
    for i in range(-5, 7):
        for j in range(5):
            # log2 of λ/(1−ρ), 0 at the best, and of λ.
            value = -float(i * i) if i <= 0 else -float(2 * i + (i - j) ** 2)
            rows.append((2.0 ** (i - j), 1 - 0.5**j, value))
    view = view_of(study_of(rows))
    (below, raw_below), (above, raw_above) = shares_by_side(view, pairs(view)[0])
    assert below > 0.95
    assert raw_below < 0.8
    assert raw_above > above


# --- noise -----------------------------------------------------------------------------------


def test_pooled_deviation_and_binomial_bound() -> None:
    # Within {1, 3}: 2; within {5, 5, 8}: 6; 3 degrees of freedom.
    assert pooled([[1.0, 3.0], [5.0, 5.0, 8.0], [4.0]]) == (pytest.approx(math.sqrt(8 / 3)), 3)
    assert pooled([[1.0], [2.0]]) == (0.0, 0)
    assert binomial(0.9, 100) == pytest.approx(0.03)


def test_repeats_are_one_configuration_and_tell_the_noise() -> None:
    rows = [(1.0, 0.5, 0.8), (1.0, 0.5, 0.9), (2.0, 0.5, 0.84), (4.0, 0.5, 0.3)]
    view = view_of(study_of(rows))
    assert [point.value for point in view.points] == pytest.approx([0.85, 0.84, 0.3])
    noise = noises.of(view, None)
    assert noise is not None
    assert noise.deviation == pytest.approx(math.sqrt(0.005))
    assert noise.source == "pooled over repeats, 1 degree of freedom"
    # Two deviations of the difference of a mean of two and a single run: 2·0.0707·√1.5 = 0.173.
    assert noise.difference(2, 1) == pytest.approx(0.1732, abs=1e-4)
    assert [point.value for point in equals_of_best(view, noise)] == pytest.approx([0.85, 0.84])


def test_runs_at_the_edge_of_divergence_say_nothing_of_the_noise_about_the_best() -> None:
    """Repeats there differ by tens of per cent, and all would be within such noise of the best."""
    rows = [(1.0, 0.5, 0.90), (1.0, 0.5, 0.92), (2.0, 0.5, 0.80), (8.0, 0.5, 0.7), (8.0, 0.5, 0.2)]
    view = view_of(study_of(rows))
    noise = noises.of(view, None)
    assert noise is not None
    assert noise.deviation == pytest.approx(math.sqrt(0.0002))
    assert noise.source == "pooled over repeats of the better half, 1 degree of freedom"
    assert [point.value for point in equals_of_best(view, noise)] == pytest.approx([0.91])


def test_without_repeats_an_accuracy_has_the_binomial_bound() -> None:
    digits = load_study("digits")
    assert noises.validation_images(digits) == 288
    assert noises.validation_images(load_study("cifar10-small")) == 2000
    study = optuna.create_study(direction="maximize")
    params = {"lr": 0.1, "momentum": 0.5, "weight_decay": 0.01}
    trial = create_trial(value=0.9, params=params, distributions=digits.distributions)
    study.add_trial(trial)
    noise = noises.of(read(study, digits), digits)
    assert noise is not None
    assert noise.deviation == pytest.approx(math.sqrt(0.09 / 288))
    assert noise.source.startswith("binomial, 288 validation images")
    assert noises.of(view_of(study_of([(1.0, 0.5, 0.8)])), None) is None


def test_repeats_that_agree_are_not_taken_for_no_repeats() -> None:
    """Three runs of one configuration with the same accuracy on the same few images."""
    digits = load_study("digits")
    study = optuna.create_study(direction="maximize")
    params = {"lr": 0.1, "momentum": 0.5, "weight_decay": 0.01}
    for _ in range(3):
        study.add_trial(create_trial(value=0.9, params=params, distributions=digits.distributions))
    view = read(study, digits)
    noise = noises.of(view, digits)
    assert noise is not None
    assert "repeated with another seed" not in noise.source
    assert noise.source == "binomial, 288 validation images; the repeats do not differ"


# --- what the figures show -------------------------------------------------------------------


def test_a_slice_shows_every_point_at_its_place_over_both_pairs_of_axes() -> None:
    view = view_of(ridge(-1.0, (3, 3)))
    (figure,) = slice_maps.draw(view, None)
    assert not isinstance(figure, str)
    assert figure.id == "slice-momentum"
    raw, mixed = (trace for trace in figure.figure.data if trace.type == "heatmap")
    assert list(raw.x) == [0.5, 1.0, 2.0]
    assert list(raw.y) == [0.125, 0.25, 0.5]
    # 90 − (log2 λ − log2 (1−ρ) − 2)²: 0 off on the diagonal.
    assert [list(row) for row in raw.z] == [[90, 89, 86], [89, 90, 89], [86, 89, 90]]
    assert list(mixed.x) == [1.0, 2.0, 4.0, 8.0, 16.0]
    upright = list(mixed.x).index(4.0)
    assert [row[upright] for row in mixed.z] == [90, 90, 90]
    assert [row[0] for row in mixed.z] == [None, None, 86]
    line = next(
        t for t in figure.figure.data if t.name == "lr/(1−ρ) constant" or "λ" in (t.name or "")
    )
    # The line through the best, at 45° over raw axes.
    assert np.diff(np.log2(line.x)) == pytest.approx(np.diff(np.log2(line.y)))
    assert figure.figure.layout.yaxis.scaleanchor == "x"


def test_runs_off_the_slice_are_left_out_or_named_a_projection() -> None:
    axes = ("lr*decay/(1-momentum)", "1-momentum", "decay")
    space = {**SPACE, "decay": FloatDistribution(1e-4, 1.0, log=True)}
    study = optuna.create_study(direction="maximize")
    for i in range(4):
        for j in range(4):
            for decay in (0.01,) if (i, j) != (0, 0) else (0.01, 0.1):
                params = {"lr": 2.0**i, "momentum": 1 - 0.5**j, "decay": decay}
                value = float(i - (decay > 0.05) * 9)
                study.add_trial(create_trial(value=value, params=params, distributions=space))
    # The decay itself takes two values, which make no slice.
    (figure,) = slice_maps.draw(read(study, defined(axes)), None)
    assert not isinstance(figure, str)
    heat = next(trace for trace in figure.figure.data if trace.type == "heatmap")
    assert sum(v is not None for row in heat.z for v in row) == 16
    assert "projected" not in figure.caption
    assert "decay = 0.01" in figure.caption


def test_best_so_far_and_what_it_skips() -> None:
    rows = [
        (1.0, 0.5, 0.3), (2.0, 0.5, TrialState.PRUNED), (4.0, 0.5, 0.5), (8.0, 0.5, 0.4),
    ]  # fmt: skip
    runs = list(view_of(study_of(rows)).runs)
    assert best_so_far.best_after(runs, maximize=True) == [0.3, 0.3, 0.5, 0.5]
    assert best_so_far.best_after(runs, maximize=False) == [0.3, 0.3, 0.3, 0.3]
    assert best_so_far.best_after(runs[1:2], maximize=True) == [None]


def test_the_path_joins_the_improvements_over_both_axes() -> None:
    rows = [(1.0, 0.5, 0.3), (2.0, 0.5, 0.2), (4.0, 0.75, 0.5)]
    figures, _ = draw(study_of(rows), defined())
    path = next(figure for figure in figures if figure.id == "search-path")
    lines = [t for t in path.figure.data if t.mode == "lines+markers+text"]
    assert [list(t.x) for t in lines] == [[1.0, 4.0], [2.0, 16.0]]
    assert [list(t.y) for t in lines] == [[0.5, 0.25], [0.5, 0.25]]
    assert list(lines[0].text) == ["0", "1"]


def test_learning_curves_tell_pruned_from_diverged() -> None:
    rows = [
        (1.0, 0.5, 0.9, [0.5, 0.9]),
        (2.0, 0.5, TrialState.PRUNED, [0.1, 0.2], "median pruner after epoch 2"),
        (4.0, 0.5, TrialState.PRUNED, [0.3, 0.1], "diverged: loss is nan"),
    ]
    figures, _ = draw(study_of(rows), defined())
    curves = next(figure for figure in figures if figure.id == "learning-curves")
    by_name = {trace.name: trace for trace in curves.figure.data}
    assert list(by_name["pruned (1)"].y) == [0.1, 0.2, None]
    assert list(by_name["diverged or failed (1)"].y) == [0.3, 0.1, None]
    assert list(by_name["run 0: λ 1, ρ 0.5"].y) == [0.5, 0.9]


def test_a_loss_that_is_out_of_the_frame_is_counted_in_the_caption() -> None:
    rng = np.random.default_rng(0)
    rows = [(10 ** rng.uniform(-3, 2), rng.uniform(0, 0.99), 0.1 + 0.01 * i) for i in range(10)]
    figures, _ = draw(study_of([*rows, (90.0, 0.5, 7.0), (80.0, 0.5, 9.0)], "minimize"), defined())
    collapse = next(figure for figure in figures if figure.id == "collapse")
    assert collapse.figure.layout.yaxis.range[1] < 1
    assert "2 that are worse lie outside the frame." in collapse.caption
    figures, _ = draw(study_of(rows, "minimize"), defined())
    collapse = next(figure for figure in figures if figure.id == "collapse")
    assert "outside the frame" not in collapse.caption


def test_epochs_are_counted_from_0_or_from_1() -> None:
    study = optuna.create_study()

    def objective(trial: optuna.Trial) -> float:
        trial.suggest_float("lr", 1e-3, 1.0, log=True)
        for epoch in range(5):
            trial.report(1.0 / (epoch + 1), epoch + trial.number)
        return 0.2

    study.optimize(objective, n_trials=2)
    assert [run.epochs for run in read(study, None).runs] == [5, 5]


def test_a_slant_is_called_45_degrees_where_both_axes_have_one_scale() -> None:
    (lattice,) = slice_maps.draw(view_of(ridge(-1.0)), None)
    assert not isinstance(lattice, str)
    assert "at 45°, along" in lattice.caption
    rng = np.random.default_rng(0)
    rows = [(10 ** rng.uniform(-3, 2), rng.uniform(0, 0.99), float(i)) for i in range(12)]
    (scattered,) = slice_maps.draw(view_of(study_of(rows)), None)
    assert not isinstance(scattered, str)
    assert scattered.figure.layout.yaxis.scaleanchor is None
    assert "at 45°, along" not in scattered.caption


# --- the exponents ---------------------------------------------------------------------------


def test_a_trade_in_words_with_its_error() -> None:
    """λ · N^−0.848 held: doubling N wants 2^0.848 = 1.8 times λ, ± ln 2 · 0.16 · 1.8 = 0.2."""
    trade = Trade(Factor("batch_size"), -0.848, 0.16, -1.0)
    ratio, error = trade.ratio()
    assert ratio == pytest.approx(1.8, abs=0.001)
    assert error == pytest.approx(math.log(2) * 0.16 * 1.8, abs=0.001)
    assert trade.sentence() == (
        "On this problem, doubling the batch wants 1.8 ± 0.2 times the learning rate (theory: 2)."
    )
    # λ/(1−ρ): half of 1−ρ wants half of λ.
    halved = Trade(Factor("momentum", complement=True), -1.0, 0.1, -1.0).ratio()
    assert halved == (pytest.approx(0.5), pytest.approx(math.log(2) * 0.05))
    # λα: half the decay wants twice λ.
    assert Trade(Factor("weight_decay"), 1.0, 0.0, 1.0).ratio() == (2.0, 0.0)


@pytest.mark.parametrize("exponent", [-1.0, -0.5])
def test_exponents_are_fitted_to_the_runs_of_any_study(exponent: float) -> None:
    study = ridge(exponent, noise=0.1)
    learned = learn(study, view_of(study))
    assert isinstance(learned, Learned)
    (trade,) = learned.trades
    assert trade.theory == -1.0
    assert trade.informed
    assert trade.exponent == pytest.approx(exponent, abs=0.1)
    assert 0 < trade.error < 0.15


def test_a_parameter_that_the_runs_do_not_vary_has_no_exponent() -> None:
    study = study_of([(2.0**i, 0.5, -float(i * i)) for i in range(-4, 5)])
    learned = learn(study, view_of(study))
    assert learned == "The GP's exponents need runs that vary a parameter of the first coordinate."


# --- the boundary ----------------------------------------------------------------------------


DIGITS = load_study("digits")


def digits_run(**changes: float) -> StudyView:
    """The view of a study of the digits with one run; λ 1e-5..100, ρ 0..0.99, α 1e-6..1."""
    params = {"lr": 0.1, "momentum": 0.5, "weight_decay": 0.01} | changes
    study = optuna.create_study(direction="maximize")
    study.add_trial(create_trial(value=0.9, params=params, distributions=DIGITS.distributions))
    return read(study, DIGITS)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, []),
        ({"lr": 60.0}, ["search_space.lr.high=1000."]),
        ({"lr": 1e-5}, ["search_space.lr.low=1e-06."]),
        ({"momentum": 0.985}, ["search_space.momentum.high=0.999."]),
        ({"momentum": 0.0}, ["is 0: it does without momentum."]),
    ],
)
def test_a_best_near_the_edge_says_which_way_to_widen(
    changes: dict[str, float], expected: list[str]
) -> None:
    advice = boundary.advice(digits_run(**changes))
    assert len(advice) == len(expected)
    for sentence, ending in zip(advice, expected, strict=True):
        assert sentence.endswith(ending)


def edge_of(value: Any, distribution: BaseDistribution, name: str = "x") -> str:
    """What is said of a plain study's best at `value`."""
    study = optuna.create_study(direction="maximize")
    space = {"lr": FloatDistribution(1e-3, 1.0, log=True), name: distribution}
    params = {"lr": 0.03, name: value}
    study.add_trial(create_trial(value=1.0, params=params, distributions=space))
    return " ".join(boundary.advice(read(study, None)))


def test_ranges_in_somebodys_code_are_widened_there() -> None:
    assert edge_of(0.49, FloatDistribution(0.0, 0.5)) == (
        "The best x = 0.49 lies near the upper end of its range, 0.5: widen it to 0.75 where it is "
        "suggested."
    )


def test_a_wider_range_is_one_that_can_be() -> None:
    """Less momentum is less ρ down to none, images come whole, and a share does not go below 0."""
    momentum = edge_of(0.55, FloatDistribution(0.5, 0.99), "momentum")
    assert "the lower end of its range, 0.5: widen it to 0 where" in momentum
    batch = edge_of(16, IntDistribution(16, 512, log=True), "batch_size")
    assert "the lower end of its range, 16: widen it to 2 where" in batch
    assert edge_of(1, IntDistribution(1, 64, log=True)).endswith(
        "the lower end of its range, 1, and cannot go further."
    )
    assert edge_of(0.0, FloatDistribution(0.0, 0.5)).endswith(
        "the lower end of its range, 0, and cannot go further."
    )


# --- the album -------------------------------------------------------------------------------


def test_all_figures_of_a_large_study_stay_under_100_kb() -> None:
    rng = np.random.default_rng(0)
    rows = []
    for _ in range(700):
        lr, momentum = 10 ** rng.uniform(-3, 2), rng.uniform(0, 0.99)
        value = -abs(math.log(lr / (1 - momentum)))
        rows.append((lr, momentum, value, [value * (1 + 1 / e) for e in range(1, 31)]))
    study = study_of(rows)
    made = album.make(study, defined())
    assert album.size(made.figures) <= 100_000
    ids = [figure.id for figure in made.figures]
    assert len(ids) == len(set(ids)) >= 6
    assert any("of the 700 runs" in note for note in made.notes)
    path = next(figure for figure in made.figures if figure.id == "search-path")
    drawn = {value for trace in path.figure.data if trace.mode == "markers" for value in trace.x}
    best = max(study.trials, key=lambda t: t.value or 0.0)
    assert float(f"{best.params['lr']:.4g}") in drawn


def test_figures_are_plain_json_without_plotlys_template() -> None:
    figures, _ = draw(ridge(-1.0), defined())
    for figure in figures:
        content = json.loads(figure.figure.to_json())
        assert "colorway" not in json.dumps(content["layout"].get("template", {}))
        assert figure.caption.endswith(".")
        # Binary arrays would need a newer plotly.js than the dashboard's.
        assert "bdata" not in json.dumps(content)


def test_a_study_without_a_finished_trial_says_so() -> None:
    study = study_of([(1.0, 0.5, TrialState.PRUNED), (2.0, 0.5, TrialState.FAIL)])
    made = album.make(study, defined())
    assert made.figures == []
    assert made.findings == ["None of the 2 runs has finished with a value yet."]
    assert len(made.notes) >= 5


def test_one_parameter_shows_what_there_is() -> None:
    study = optuna.create_study(direction="minimize")
    study.optimize(lambda trial: trial.suggest_float("lr", 1e-3, 1.0, log=True), n_trials=8)
    figures, notes = draw(study, None)
    assert [figure.id for figure in figures] == ["best-so-far", "boundary"]
    assert any("path needs coordinates" in note for note in notes)
    assert any("Learning curves need" in note for note in notes)


def test_a_plain_optuna_study_gets_theorys_axes_by_its_names() -> None:
    study = ridge(-1.0)
    view = read(study, None)
    assert view.coordinates.axes == ("lr/(1-momentum)", "1-momentum")
    assert not view.searched
    assert pairs(view)[0].slope == -1.0


def test_values_that_have_no_logarithm_leave_their_parameter_out_of_the_coordinates() -> None:
    """No weight decay, the most usual choice, and a momentum of None."""
    rng = np.random.default_rng(0)
    space = {
        **SPACE,
        "weight_decay": CategoricalDistribution([0, 1e-4, 1e-3]),
        "batch_size": CategoricalDistribution([None, 32]),
    }
    study = optuna.create_study(direction="maximize")
    for i in range(12):
        lr, momentum = 10 ** rng.uniform(-3, 2), rng.uniform(0, 0.99)
        params = {
            "lr": lr,
            "momentum": momentum,
            "weight_decay": (0, 1e-4, 1e-3)[i % 3],
            "batch_size": (None, 32)[i % 2],
        }
        value = -abs(math.log(lr / (1 - momentum)))
        study.add_trial(create_trial(value=value, params=params, distributions=space))
    assert read(study, None).coordinates.axes == AXES
    figures, _ = draw(study, None)
    assert {"search-path", "slice-momentum", "collapse"} <= {figure.id for figure in figures}


def test_findings_name_the_equals_of_the_best() -> None:
    rows = [(1.0, 0.5, 0.80), (2.0, 0.5, 0.79), (4.0, 0.5, 0.5)]
    view = view_of(study_of(rows))
    found = findings.sentences(view, Noise(0.01, "by hand"), "")
    assert found[0].startswith("Best: λ = 1, ρ = 0.5, with value 0.8000 (run 0).")
    assert found[1] == "1 other configuration is within the noise of the best: λ 2 (0.7900)."


def test_the_table_has_a_row_for_each_run() -> None:
    rows = [(1.0, 0.5, 0.8, [0.1, 0.8]), (2.0, 0.5, TrialState.PRUNED, [0.1], "diverged: loss")]
    table = album.make(study_of(rows), defined()).table
    assert table[0] == ["run", "λ", "ρ", "λ/(1−ρ)", "value", "epochs", "time", ""]
    assert table[1][:6] == ["0", "1", "0.5", "2", "0.8000", "2"]
    assert table[2][4:6] == ["", "1"]
    assert table[2][-1] == "diverged: loss"


@pytest.mark.filterwarnings("ignore:Choices for a categorical distribution")
def test_choices_that_are_lists_or_nan_make_points() -> None:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    choices: list[Any] = [[64], math.nan]
    study.optimize(lambda t: float(str(t.suggest_categorical("c", choices)) == "nan"), n_trials=8)
    assert sorted(point.value for point in read(study, None).points) == [0.0, 1.0]
