from __future__ import annotations

import inspect
from pathlib import Path

import optuna
import pytest

import hptoolkit as hpt
from hptoolkit import UserError
from hptoolkit.config.compare import differences, widened
from hptoolkit.config.load import load_study
from hptoolkit.config.start import default_kind, from_page

MINIMAL = """
[data]
name = "digits"
[training]
epochs = 2
[search_space]
lr = { low = 0.001, high = 1.0, log = true }
batch_size = { low = 16, high = 128, log = true }
"""


@pytest.fixture
def minimal(tmp_path: Path) -> str:
    path = tmp_path / "mine.toml"
    path.write_text(MINIMAL)
    return str(path)


@pytest.mark.parametrize("name", ["digits", "cifar10", "cifar10-small"])
def test_shipped_definitions_name_neither_axes_nor_start(name: str) -> None:
    defined = load_study(name)
    assert defined.start == {}
    assert default_kind(defined) == "theory"
    assert defined.coordinates.axes[0] == "lr*weight_decay/(1-momentum)"
    paged = from_page(defined)
    assert paged.start == {"lr": 0.001, "momentum": 0.5, "weight_decay": 0.01}
    point = paged.region().describe(paged.start)
    assert point["lr*weight_decay/(1-momentum)"] == pytest.approx(0.00002)


def test_pages_study_is_his() -> None:
    defined = load_study("cifar10")
    assert (defined.model.width, defined.training.epochs, defined.training.batch_size) == (
        64,
        24,
        512,
    )


def test_types_follow_the_training_fields(minimal: str) -> None:
    defined = load_study(minimal)
    assert defined.name == "mine"
    assert defined.distributions == {
        "lr": optuna.distributions.FloatDistribution(0.001, 1.0, log=True),
        "batch_size": optuna.distributions.IntDistribution(16, 128, log=True),
    }
    model, training = defined.configure({"lr": 0.5, "batch_size": 32})
    assert (training.lr, training.batch_size, training.epochs, model.width) == (0.5, 32, 2, 64)


def test_any_field_can_be_overridden(minimal: str) -> None:
    defined = load_study(
        minimal,
        [
            "training.epochs=7",
            "search_space.lr.high=10.0",
            'coordinates.box."lr"=[0.01, 1.0]',
            "metric.name=validation_loss",
        ],
        seed=3,
        trials=None,
    )
    assert defined.training.epochs == 7
    assert defined.search_space["lr"].high == 10.0
    assert defined.coordinates.box == {"lr": (0.01, 1.0)}
    assert defined.goal.direction == "minimize"
    assert defined.seed == 3


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("training.epoch=3", "'training.epoch': did you mean 'epochs'"),
        ("trainin.epochs=3", "'trainin': did you mean 'training'"),
        ("search_space.lr.hi=3", "'search_space.lr.hi': did you mean 'high'"),
        ("metric.nam=validation_loss", "'metric.nam': did you mean 'name'"),
        ("training.lr=0.0", "training.lr = 0.0"),
        ("training.lr=-1", "training.lr = -1"),
        ("training.momentum=1.0", "training.momentum = 1.0"),
        ("training.epochs=many", "training.epochs = 'many'"),
        ("search_space.lrr={low=1.0, high=2.0}", "did you mean 'lr'"),
        ("search_space.lr.low=2.0", "lies above high"),
        ("search_space.lr.low=-1.0", "begins above 0"),
        ("search_space.lr.choices=[0.1]", "either 'low' and 'high', or 'choices'"),
        ("start.lr=5.0", "lr = 5.0 there, allowed is a number from 0.001 to 1"),
        ("start.momentum=0.5", "'momentum', which the search space lacks"),
        ("coordinates.axes=['lr*batch_size','batch_size*lr']", "singular"),
        ("coordinates.axes=['lr/(1-momentum)','1-momentum']", "need momentum"),
        ("coordinates.axes=['lr+batch_size']", "not a monomial"),
        ("name='a/b'", "name = 'a/b'"),
        ("training", "not FIELD=VALUE"),
        ("=3", "not FIELD=VALUE"),
        ("a b=3", "is not a field"),
        ("pruner=medain", "pruner = 'medain'"),
        ("start.lr='abc'", "lr = 'abc' there, allowed is a number"),
        ("search_space.lr.high=inf", "search_space.lr.high"),
        ("search_space.batch_size={choices=['a', 'b']}", "lets batch_size be 'a'"),
        ("search_space.batch_size.low=16.5", "lets batch_size be 16.5"),
        ("search_space.optimizer={choices=['adm']}", "lets optimizer be 'adm'"),
        ("search_space.dropout={low=0.5, high=2.0}", "lets dropout be 2.0"),
        ("coord.factor=inf", "coord.factor"),
        ("seed=9223372036854775808", "seed"),
        ("search_space.batch_size={low=16, high=64, step=0.5}", "a whole step is needed"),
        ("search_space.batch_size={low=16, high=64, step=inf}", "search_space.batch_size.step"),
        ("search_space.lr={low=0.0, high=0.5, step=inf}", "search_space.lr.step"),
        ("search_space.batch_size={choices=[16, 32, 16]}", "holds 16 twice"),
    ],
)
def test_bad_fields(minimal: str, override: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        load_study(minimal, [override])


def test_momentum_of_one_is_no_logarithm() -> None:
    with pytest.raises(UserError, match=r"lets momentum be 1\.0: Input should be less than 1"):
        load_study("digits", ["search_space.momentum.high=1.0"])


def test_a_parameter_that_the_optimizer_ignores_is_not_searched() -> None:
    with pytest.raises(UserError, match="names momentum, which the optimizer 'adagrad' does not"):
        load_study("digits", ["training.optimizer=adagrad"])
    load_study("digits", ["training.optimizer=muon"])


def test_unknown_study_names_the_nearest() -> None:
    with pytest.raises(UserError, match="'digitz': did you mean 'digits'"):
        load_study("digitz")


def test_not_toml(tmp_path: Path) -> None:
    path = tmp_path / "broken.toml"
    path.write_text("[data\nname=1")
    with pytest.raises(UserError, match=r"broken\.toml is not a valid TOML file"):
        load_study(str(path))
    with pytest.raises(UserError, match="There is no file"):
        load_study(str(tmp_path / "absent.toml"))


def test_a_missing_section_is_named(tmp_path: Path) -> None:
    path = tmp_path / "part.toml"
    path.write_text(MINIMAL.replace("[training]\nepochs = 2\n", ""))
    with pytest.raises(UserError, match="'training' is missing"):
        load_study(str(path))


def test_differences_and_widening(minimal: str) -> None:
    before = load_study(minimal)
    longer = load_study(minimal, ["training.epochs=3"])
    assert differences(before.identity("coord"), longer.identity("coord")) == [
        "training.epochs was 2 and is 3"
    ]
    assert not widened(before, longer, "coord")
    wider = load_study(minimal, ["search_space.lr.high=2.0"])
    assert widened(before, wider, "coord")
    assert not widened(wider, before, "coord")
    linear = load_study(minimal, ["search_space.lr.log=false"])
    assert not widened(before, linear, "coord")


def test_budget_and_description_do_not_make_another_study(minimal: str) -> None:
    before = load_study(minimal)
    after = load_study(minimal, ["description='new'"], trials=7)
    assert differences(before.identity("coord"), after.identity("coord")) == []


def test_options_of_another_sampler_do_not_make_another_study() -> None:
    before = load_study("digits")
    after = load_study("digits", ["grid.zooms=3"])
    assert differences(before.identity("coord"), after.identity("coord")) == []
    assert differences(before.identity("grid"), after.identity("grid")) == [
        "grid.zooms was 1 and is 3"
    ]


@pytest.mark.parametrize(
    ("section", "sampler"),
    [("coord", hpt.CoordinateDescentSampler), ("grid", hpt.GridSampler),
     ("random", hpt.RandomSampler)],
)  # fmt: skip
def test_a_section_holds_the_keywords_of_its_sampler(section: str, sampler: type) -> None:
    keywords = inspect.signature(sampler).parameters
    every = {"coordinates", "search_space", "box", "start", "seed", "minimum_improvement"}
    options = getattr(load_study("digits"), section)
    assert set(type(options).model_fields) == keywords.keys() - every
    defaults = type(options)()
    for name in type(options).model_fields:
        if (section, name) != ("grid", "zooms"):  # a study file's grid is to end sooner
            assert (getattr(defaults, name) or None) == (keywords[name].default or None)


def test_raw_axes_search_the_same_region() -> None:
    box = 'coordinates.box."lr*weight_decay/(1-momentum)"=[1e-5, 1e-2]'
    defined = load_study("digits", [box])
    raw = defined.over_raw_axes()
    assert set(raw.coordinates.axes) == {"lr", "1-momentum", "weight_decay"}
    inside = {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.001}
    outside = {"lr": 1.0, "momentum": 0.9, "weight_decay": 0.1}
    for region in (defined.region(), raw.region()):
        assert region.contains(region.encode(inside))
        assert not region.contains(region.encode(outside))
