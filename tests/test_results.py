"""What a study says when it ends."""

from __future__ import annotations

import optuna

import hptoolkit as hpt
from hptoolkit.reporting.results import in_symbols, model_sentence, page_table
from hptoolkit.samplers.gp import Exponent, GPReport
from tests import page


def test_a_row_of_pages_table_names_the_run_whose_parameters_it_shows() -> None:
    sampler = hpt.CoordinateDescentSampler(
        page.COORDINATES, start=page.START, search_space=page.SEARCH_SPACE
    )
    study = optuna.create_study(sampler=sampler, direction="maximize")
    study.optimize(page.objective, n_trials=60)
    table = page_table(study, "validation_accuracy")
    assert table is not None
    runs, rates = (list(table.columns[i].cells) for i in (0, 2))
    assert len(runs) > 3
    for run, rate in zip(runs, rates, strict=True):
        assert float(str(rate)) == study.trials[int(str(run))].params["lr"]


def test_the_gp_speaks_in_the_notation_of_its_neighbours() -> None:
    report = GPReport(
        points=12,
        coordinate="lr*weight_decay/(1-momentum)",
        anchor="lr",
        exponents={"1-momentum": Exponent(-0.561, 0.04, -1.0)},
        length_scales={},
        noise=0.01,
        best={"lr": 0.256, "momentum": 0.75},
        value=0.9861,
        interval=(0.97, 0.99),
    )
    assert model_sentence(report, "validation_accuracy") == (
        "validation accuracy depends on λ · (1−ρ)^(-0.56 ± 0.04; theory -1) first of all. After 12 "
        "points it expects the best at λ = 0.256, ρ = 0.75: 98.61 % (97.00 % to 99.00 %, 95 %)."
    )


def test_why_a_search_ended_is_in_the_same_notation() -> None:
    sampler = hpt.CoordinateDescentSampler(page.COORDINATES, start=page.START)
    study = optuna.create_study(sampler=sampler)
    reason = "no step along lr*weight_decay/(1-momentum), 1-momentum, weight_decay is better"
    assert in_symbols(reason, study) == "no step along λα/(1−ρ), 1−ρ, α is better"
    assert in_symbols("my_lr and lr.x stay", study) == "my_lr and lr.x stay"
