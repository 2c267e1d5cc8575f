"""Bad input of every kind: one sentence and exit code 2, and nothing is begun."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hptoolkit import UserError
from hptoolkit.config.load import load_study
from hptoolkit.coordinates import Coordinates
from hptoolkit.storage import check, check_writable
from hptoolkit.training import data, npz
from tests.commands import command

SMALL = ("--set", "model.width=1", "--set", "training.epochs=1", "--set", "data.train_size=100",
         "--set", "training.batch_size=16", "--mlflow", "off")  # fmt: skip


@pytest.mark.parametrize(
    ("field", "message"),
    [
        ("search_space.batch_size={low=16,high=64,step=0.5}", "a whole step is needed"),
        ("search_space.batch_size={low=16,high=64,step=inf}", "step = inf: input should be"),
        ("search_space.dropout={low=0,high=0.5,step=inf}", "step = inf: input should be"),
        ("search_space.optimizer={choices=['sgd','sgd']}", "'choices' holds 'sgd' twice"),
        ("search_space.flip={choices=[true,1]}", "'choices' holds 1 twice"),
        ("coord.refine=3000", "refine = 3000: input should be less"),
        ("coord.order=['lr','lr']", "'order' names 'lr' twice"),
        ("metric.minimum_improvement=inf", "a finite number"),
        ("training.schedule_growth=inf", "a finite number"),
        ("seed=4294967296", "seed = 4294967296: input should be less than 4294967296"),
        ("data.split_seed=4294967296", "input should be less than 4294967296"),
        ("model.width=100000", "input should be less than or equal to 65536"),
    ],
)
def test_fields_that_cannot_be_meant(field: str, message: str) -> None:
    with pytest.raises(UserError) as error:
        load_study("digits", [field])
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("axis", "message"),
    [
        ("*".join(["lr"] * 3000), "it has 8999 characters"),
        ("-" * 900 + "lr", "it has too many parts"),
        ("(" * 300 + "lr" + ")" * 300, "it does not parse"),
        ("lr**True", "the exponent 'True' is not a number"),
        ("lr**1e308", "the exponent of 'lr' is not between 1/100 and 100"),
        ("lr**1e-300", "is not between 1/100 and 100"),
        ("lr**101", "the exponent of 'lr' is not between 1/100 and 100"),
    ],
)
def test_coordinates_that_cannot_be_meant(axis: str, message: str) -> None:
    with pytest.raises(UserError) as error:
        Coordinates(axis)
    assert message in str(error.value)
    assert len(str(error.value)) < 1300


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (["model.width=65000"], "GiB of memory: take a smaller width"),
        (["search_space.width={low=1,high=65000}"], "GiB of memory: take a smaller width"),
        (["training.crop_padding=8"], "crop_padding 8 must be less than the images' 8 pixels"),
        (["training.cutout=9"], "cutout 9 must not exceed the images' 8 pixels"),
        (["search_space.cutout={low=0,high=12}"], "cutout 12 must not exceed"),
        (["search_space.crop_padding={low=0,high=12}"], "crop_padding 12 must be less"),
        (["data.train_size=200", "training.batch_size=256"], "The batch of 256 images is larger"),
    ],
)
@pytest.mark.parametrize("name", ["study", "lr_range"])
def test_what_does_not_fit_is_seen_before_anything_is_made(
    tmp_path: Path, name: str, fields: list[str], message: str
) -> None:
    sets = [part for field in fields for part in ("--set", field)]
    done = command(tmp_path, name, "digits", *sets, "--mlflow", "off")
    assert (done.code, message in done.stderr) == (2, True), done
    assert done.stderr.startswith("Error: ")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("seed", [2**32, 2**64])
@pytest.mark.parametrize("sampler", ["coord", "tpe", "qmc"])
def test_seeds_have_32_bits(tmp_path: Path, seed: int, sampler: str) -> None:
    done = command(tmp_path, "study", "digits", *SMALL, "--seed", str(seed), "--sampler", sampler)
    assert done.code == 2
    assert "seed" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_the_largest_seed_is_one(tmp_path: Path) -> None:
    for sampler in ("random", "tpe", "qmc"):
        done = command(
            tmp_path, "study", "digits", *SMALL, "--seed", str(2**32 - 1), "--trials", "1",
            "--sampler", sampler, "--fresh",
        )  # fmt: skip
        assert done.code == 0, done.stderr


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("a" * 300 + ".log", "can be no file (File name too long)"),
        ("a" * 245, "can be no file (File name too long)"),  # its lock's name is longer
        ("a\0b", "can be no file (embedded null byte)"),
        (".", "is a folder"),
        ("/dev/null", "is a pipe or a device"),
        ("sqlite://", "is kept in memory"),
        ("sqlite:///:memory:", "is kept in memory"),
        ("sqlite:///file:x?mode=memory&uri=true", "is kept in memory"),
    ],
)
def test_storages_that_can_hold_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, address: str, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError) as error:
        check(address)
    assert message in str(error.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no pipes with names")
def test_a_pipe_is_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for option, address in (("--storage", "pipe"), ("--figure", "pipe"), ("--output", "pipe")):
        with pytest.raises(UserError, match="is a pipe or a device"):
            check_writable(tmp_path / address, option)
    with pytest.raises(UserError, match="is a pipe or a device"):
        check(f"sqlite:///{tmp_path}/pipe")


def test_a_folder_is_no_figure(tmp_path: Path) -> None:
    (tmp_path / "figs").mkdir()
    done = command(tmp_path, "lr_range", "digits", *SMALL, "--figure", "figs")
    assert (done.code, "--figure figs is a folder" in done.stderr) == (2, True)
    assert list((tmp_path / "figs").iterdir()) == []


def test_a_definition_may_begin_with_a_byte_order_mark(tmp_path: Path) -> None:
    own = Path("studies/digits.toml")
    text = (own if own.exists() else Path(__file__).parents[1] / own).read_text(encoding="utf-8")
    (tmp_path / "mine.toml").write_text(text, encoding="utf-8-sig")
    assert load_study(str(tmp_path / "mine.toml")).name == "mine"


def _arrays(labels: Any = (0, 1, 2), shape: tuple[int, ...] = (8, 8, 1)) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    arrays: dict[str, Any] = {}
    for part, n in (("train", 60), ("test", 9)):
        arrays[f"{part}_images"] = rng.integers(0, 255, (n, *shape)).astype(np.uint8)
        arrays[f"{part}_labels"] = np.resize(np.array(labels), n)
    return arrays


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        (_arrays((1, 2, 3)), "the labels run from 1 to 3, expected from 0: subtract 1"),
        (_arrays((0, 2, 5)), "the 3 labels 0, 2, 5 have gaps, expected 0 to 2"),
        (_arrays((0, 2**40)), "have gaps, expected 0 to 1"),
        (_arrays((2, 3)), "the 2 labels 2, 3 have gaps"),
        (_arrays(shape=(3, 8, 8)), "have their channels first"),
        (_arrays(shape=(1, 28, 28)), r"images.transpose(0, 2, 3, 1)"),
        (_arrays(shape=(8, 8)), "must be uint8 of shape (n, height, width, channels)"),
    ],
)
def test_data_of_another_layout(tmp_path: Path, arrays: dict[str, Any], message: str) -> None:
    npz.write(tmp_path / "mine.npz", arrays)
    with pytest.raises(UserError) as error:
        data.load("mine", tmp_path)
    assert message in str(error.value)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_damaged_bytes_are_seen(tmp_path: Path, save: Any) -> None:
    path = tmp_path / "mine.npz"
    save(path, **_arrays())
    whole = path.read_bytes()
    assert len(data.load("mine", tmp_path).train_labels) == 60
    for position in range(100, len(whole) - 700, 97):
        path.write_bytes(whole[:position] + bytes([whole[position] ^ 0xFF]) + whole[position + 1 :])
        with contextlib.suppress(UserError):
            arrays = npz.read(path, data.KEYS)
            for name, array in _arrays().items():  # what was damaged is no part of the data
                np.testing.assert_array_equal(arrays[name], array)
