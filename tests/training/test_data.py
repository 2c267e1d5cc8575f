from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hptoolkit.errors import UserError
from hptoolkit.training import data, npz
from hptoolkit.training.config import DataConfig


def arrays(n: int = 40, classes: int = 10) -> dict[str, data.Array]:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (n, 8, 8, 3), dtype=np.uint8)
    labels = np.arange(n) % classes
    return {
        "train_images": images,
        "train_labels": labels,
        "test_images": images[:10].copy(),
        "test_labels": labels[:10].copy(),
    }


def test_digits_are_embedded_scaled_and_split() -> None:
    digits = data.load("digits")
    assert digits.train_images.shape == (1438, 8, 8, 1)
    assert digits.test_images.shape == (359, 8, 8, 1)
    assert digits.train_images.dtype == np.uint8
    assert digits.classes == 10
    assert set(np.unique(digits.train_images)) <= {round(i * 255 / 16) for i in range(17)}
    assert np.bincount(digits.test_labels).min() >= 34
    assert np.bincount(digits.test_labels).max() <= 38
    np.testing.assert_array_equal(digits.train_images, data.load("digits").train_images)


@given(st.lists(st.integers(0, 4), min_size=1, max_size=60), st.data(), st.integers(0, 5))
def test_every_prefix_of_a_stratified_order_is_in_proportion(
    labels: list[int], draw: st.DataObject, seed: int
) -> None:
    array = np.array(labels)
    order = data.stratified_order(array, seed)
    assert sorted(order) == list(range(len(array)))
    size = draw.draw(st.integers(0, len(array)))
    chosen = np.bincount(array[order[:size]], minlength=5)
    expected = np.bincount(array, minlength=5) * size / len(array)
    # Each class is off by less than one from its own key, and the cut by as much again a class.
    assert np.all(np.abs(chosen - expected) <= 3)


def test_split_is_disjoint_stratified_and_fixed_by_its_seed() -> None:
    digits = data.load("digits")
    config = DataConfig(validation_fraction=0.25)
    parts = data.split(digits, config)
    assert len(parts.train) + len(parts.validation) == 1438
    assert len(parts.validation) == round(0.25 * 1438)
    assert not set(parts.train.rows) & set(parts.validation.rows)
    share = np.bincount(parts.validation.labels) / np.bincount(digits.train_labels)
    assert np.all(np.abs(share - 0.25) < 0.02)
    np.testing.assert_array_equal(data.split(digits, config).train.rows, parts.train.rows)
    other = data.split(digits, DataConfig(validation_fraction=0.25, split_seed=1))
    assert list(other.train.rows) != list(parts.train.rows)


def test_train_size_takes_a_stratified_subset() -> None:
    digits = data.load("digits")
    parts = data.split(digits, DataConfig(train_size=200))
    labels = np.concatenate([parts.train.labels, parts.validation.labels])
    assert len(labels) == 200
    assert np.all(np.abs(np.bincount(labels) - 20) <= 2)
    with pytest.raises(UserError, match="1438 training images"):
        data.split(digits, DataConfig(train_size=1439))


def test_a_split_without_validation_images_is_refused() -> None:
    with pytest.raises(UserError, match="both need some"):
        data.split(data.load("digits"), DataConfig(train_size=2, validation_fraction=0.1))


def test_the_split_for_the_test_holds_all_training_images() -> None:
    digits = data.load("digits")
    parts = data.split_for_test(digits, DataConfig())
    assert len(parts.train) == 1438
    np.testing.assert_array_equal(parts.validation.images, digits.test_images)


def test_an_npz_is_used_without_download_and_mapped(tmp_path: Path) -> None:
    npz.write(tmp_path / "cifar10.npz", arrays())
    assert data.available("cifar10", tmp_path)
    loaded = data.load("cifar10", tmp_path)
    np.testing.assert_array_equal(loaded.train_images, arrays()["train_images"])
    assert isinstance(loaded.train_images, np.memmap)
    assert loaded.classes == 10
    assert [path.name for path in tmp_path.iterdir()] == ["cifar10.npz"]


def test_compressed_files_and_own_names_load_too(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "own.npz", **arrays(classes=4))  # type: ignore[arg-type]
    loaded = data.load("own", tmp_path)
    np.testing.assert_array_equal(loaded.train_images, arrays()["train_images"])
    assert loaded.classes == 4


def test_the_environment_names_the_data_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HPTOOLKIT_DATA", str(tmp_path))
    assert not data.available("cifar10")
    npz.write(tmp_path / "cifar10.npz", arrays())
    assert data.available("cifar10")
    assert data.data_folder("elsewhere") == Path("elsewhere")


def test_a_truncated_file_is_one_clear_sentence(tmp_path: Path) -> None:
    path = tmp_path / "cifar10.npz"
    npz.write(path, arrays())
    content = path.read_bytes()
    for size in (0, 10, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:size])
        with pytest.raises(UserError, match="not a readable npz file"):
            data.load("cifar10", tmp_path)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"train_images": np.zeros((40, 8, 8, 3))}, "must be uint8"),
        ({"train_images": np.zeros((40, 8, 8), np.uint8)}, "of shape"),
        ({"train_labels": np.zeros(40)}, "integers"),
        ({"train_labels": np.zeros(39, int)}, "40 integers"),
        ({"train_labels": np.full(40, 10)}, "0..9"),
        ({"test_labels": np.full(10, -1)}, "0..9"),
        ({"test_images": np.zeros((10, 9, 9, 3), np.uint8)}, "one shape"),
        ({"train_labels": np.array([None] * 40)}, "Python objects"),
    ],
)
def test_wrong_arrays_are_named(
    tmp_path: Path, changed: dict[str, data.Array], message: str
) -> None:
    np.savez(tmp_path / "cifar10.npz", **(arrays() | changed))  # type: ignore[arg-type]
    with pytest.raises(UserError, match=message):
        data.load("cifar10", tmp_path)


def test_a_missing_array_is_named(tmp_path: Path) -> None:
    part = arrays()
    del part["test_labels"]
    np.savez(tmp_path / "cifar10.npz", **part)  # type: ignore[arg-type]
    with pytest.raises(UserError, match="test_labels"):
        data.load("cifar10", tmp_path)


def test_unknown_names_get_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="did you mean 'cifar10'"):
        data.load("cifar-10", tmp_path)


def test_a_failed_download_says_where_to_put_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(variable, "http://127.0.0.1:9")  # nothing listens there
    monkeypatch.delenv("no_proxy", raising=False)
    with pytest.raises(UserError, match=r"put cifar10\.npz .* into"):
        data.load("cifar10", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_gzipped_idx_files_are_read(tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (20, 28, 28), dtype=np.uint8)
    labels = (np.arange(20) % 10).astype(np.uint8)
    for prefix in ("train", "t10k"):
        sizes = np.array(images.shape, ">u4").tobytes()
        body = bytes([0, 0, 8, 3]) + sizes + images.tobytes()
        (tmp_path / f"{prefix}-images-idx3-ubyte.gz").write_bytes(gzip.compress(body))
        body = bytes([0, 0, 8, 1]) + np.array([20], ">u4").tobytes() + labels.tobytes()
        (tmp_path / f"{prefix}-labels-idx1-ubyte.gz").write_bytes(gzip.compress(body))
    assert data.available("fashion-mnist", tmp_path)
    loaded = data.load("fashion-mnist", tmp_path)
    np.testing.assert_array_equal(loaded.test_images, images[..., None])
    np.testing.assert_array_equal(loaded.train_labels, labels)
    (tmp_path / "t10k-labels-idx1-ubyte.gz").write_bytes(gzip.compress(body[:-3]))
    with pytest.raises(UserError, match="t10k-labels"):
        data.load("fashion-mnist", tmp_path)


def test_a_failed_write_leaves_nothing(tmp_path: Path) -> None:
    class Unwritable:
        def __array__(self) -> None:
            raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"):
        npz.write(tmp_path / "x.npz", {"a": Unwritable()})  # type: ignore[dict-item]
    assert list(tmp_path.iterdir()) == []
