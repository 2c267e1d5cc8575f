"""Image data sets as uint8 arrays: load by name, check, and cut the validation split."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hptoolkit.errors import UserError, nearest
from hptoolkit.training import download, npz
from hptoolkit.training.config import DataConfig

Array = np.ndarray[Any, np.dtype[Any]]
KEYS = ("train_images", "train_labels", "test_images", "test_labels")
CLASSES = {"digits": 10, "fashion-mnist": 10, "cifar10": 10, "cifar100": 100}


@dataclass(frozen=True)
class Dataset:
    """Images uint8 (n, height, width, channels), labels int64 (n,) in 0..classes-1."""

    name: str
    train_images: Array
    train_labels: Array
    test_images: Array
    test_labels: Array
    classes: int


@dataclass(frozen=True)
class Subset:
    """The images and labels at `rows` (int64) of arrays that other subsets share, never copied."""

    all_images: Array
    all_labels: Array
    rows: Array

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def images(self) -> Array:
        """A copy: uint8 (n, height, width, channels)."""
        return np.asarray(self.all_images[self.rows])

    @property
    def labels(self) -> Array:
        """A copy: int64 (n,)."""
        return np.asarray(self.all_labels[self.rows])


@dataclass(frozen=True)
class Split:
    """What a training run sees: images to train on and images to validate on."""

    train: Subset
    validation: Subset
    classes: int

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(height, width, channels)"""
        height, width, channels = self.train.all_images.shape[1:]
        return height, width, channels


def data_folder(data_dir: str | Path | None = None) -> Path:
    """`data_dir`, else the environment variable HPTOOLKIT_DATA, else the user's cache folder."""
    chosen = data_dir or os.environ.get("HPTOOLKIT_DATA")
    if chosen:
        return Path(chosen).expanduser()
    if sys.platform == "win32":
        cache = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        cache = Path.home() / "Library" / "Caches"
    else:
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "hptoolkit"


def available(name: str, data_dir: str | Path | None = None) -> bool:
    """Whether `load` would do without a download."""
    folder = data_folder(data_dir)
    return name == "digits" or (folder / f"{name}.npz").is_file() or download.has_idx(name, folder)


def load(name: str, data_dir: str | Path | None = None) -> Dataset:
    """A data set by name: built in, or any NAME.npz in the data folder with the four arrays `KEYS`.

    fashion-mnist, cifar10 and cifar100 are downloaded (torchvision) where NAME.npz is missing, and
    kept. Raises UserError: unknown name, failed download, or a file that is not such a data set.
    """
    if name == "digits":
        return _digits()
    folder = data_folder(data_dir)
    path = folder / f"{name}.npz"
    if not path.is_file():
        if name not in CLASSES:
            raise UserError(
                f"unknown data set {name!r} (no {path} either): {nearest(name, CLASSES)}"
            )
        if download.has_idx(name, folder):
            return checked(name, download.read_idx(folder), str(folder), CLASSES[name])
        npz.write(path, download.fetch(name, folder))
    dataset = checked(name, npz.read(path, KEYS), str(path), CLASSES.get(name))
    if name not in CLASSES:
        _check_classes(dataset.train_labels, str(path))
    return dataset


def _digits() -> Dataset:
    """scikit-learn's 1797 digits of 8x8 pixels, grey levels 0..16 to 0..255; a fifth is test."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    images = np.rint(digits.images * (255 / 16)).astype(np.uint8)[..., None]
    labels = digits.target.astype(np.int64)
    order = stratified_order(labels, seed=0)
    test, train = np.split(order, [round(len(order) / 5)])
    return Dataset("digits", images[train], labels[train], images[test], labels[test], 10)


def checked(
    name: str, arrays: dict[str, Array], source: str, classes: int | None = None
) -> Dataset:
    """A Dataset of the arrays `KEYS`, if they are one. `classes` None: the largest label plus one.

    Raises UserError naming `source` and the array that is wrong.
    """
    for part in ("train", "test"):
        images, labels = arrays[f"{part}_images"], arrays[f"{part}_labels"]
        if images.ndim == 4 and _is_channels_first(images.shape):
            raise UserError(
                f"{source}: {part}_images of shape {images.shape} have their channels first, "
                "expected is (n, height, width, channels): images.transpose(0, 2, 3, 1)"
            )
        if images.dtype != np.uint8 or images.ndim != 4 or 0 in images.shape:
            raise UserError(
                f"{source}: {part}_images must be uint8 of shape (n, height, width, channels), "
                f"got {images.dtype} {images.shape}"
            )
        if not np.issubdtype(labels.dtype, np.integer) or labels.shape != (len(images),):
            raise UserError(
                f"{source}: {part}_labels must be {len(images)} integers, one an image, "
                f"got {labels.dtype} {labels.shape}"
            )
    if arrays["train_images"].shape[1:] != arrays["test_images"].shape[1:]:
        raise UserError(
            f"{source}: training images are {arrays['train_images'].shape[1:]}, "
            f"test images {arrays['test_images'].shape[1:]}, expected one shape"
        )
    n_classes = classes or int(arrays["train_labels"].max()) + 1
    for part in ("train", "test"):
        low, high = arrays[f"{part}_labels"].min(), arrays[f"{part}_labels"].max()
        if low < 0 or high >= n_classes:
            raise UserError(
                f"{source}: {part}_labels must lie in 0..{n_classes - 1}, got {low}..{high}"
            )
    return Dataset(
        name,
        arrays["train_images"],
        arrays["train_labels"].astype(np.int64),
        arrays["test_images"],
        arrays["test_labels"].astype(np.int64),
        n_classes,
    )


def _is_channels_first(shape: tuple[int, ...]) -> bool:
    return shape[1] in (1, 3, 4) and min(shape[2:]) > 4


def _check_classes(labels: Array, source: str) -> None:
    """Raise UserError if the training labels leave out classes: each would be an output unused."""
    found = np.unique(labels)
    count = len(found)
    if found[-1] == count - 1:
        return
    if found[0] == 1 and found[-1] == count:
        raise UserError(
            f"{source}: the labels run from 1 to {count}, expected from 0: subtract 1 from them"
        )
    shown = ", ".join(map(str, found[:6].tolist())) + (", …" if count > 6 else "")
    raise UserError(
        f"{source}: the {count} labels {shown} have gaps, expected 0 to {count - 1}: number them "
        "anew, by np.unique(labels, return_inverse=True)"
    )


def stratified_order(labels: Array, seed: int) -> Array:
    """A random order of the rows in which every prefix holds each class in proportion.

    The i-th of a class's c rows (in random order) gets the key (i + u)/c, one u a class; rows are
    sorted by key, so the first k hold each class k·c/n times, give or take one.
    """
    rng = np.random.default_rng(seed)
    keys = np.empty(len(labels))
    for label in np.unique(labels):
        rows = rng.permutation(np.flatnonzero(labels == label))
        keys[rows] = (np.arange(len(rows)) + rng.random()) / len(rows)
    return np.argsort(keys, kind="stable")


def split(dataset: Dataset, config: DataConfig) -> Split:
    """Training and validation images, stratified, by `config.split_seed`; the test set untouched.

    Raises UserError if `train_size` exceeds the data or a part would be empty.
    """
    rows = _training_rows(dataset, config)
    n_validation = round(config.validation_fraction * len(rows))
    if not 0 < n_validation < len(rows):
        raise UserError(
            f"validation_fraction {config.validation_fraction} of {len(rows)} images leaves "
            f"{len(rows) - n_validation} to train and {n_validation} to validate: both need some"
        )
    order = rows[stratified_order(dataset.train_labels[rows], config.split_seed + 1)]
    validation, train = np.split(order, [n_validation])
    return Split(
        Subset(dataset.train_images, dataset.train_labels, np.sort(train)),
        Subset(dataset.train_images, dataset.train_labels, np.sort(validation)),
        dataset.classes,
    )


def split_for_test(dataset: Dataset, config: DataConfig) -> Split:
    """All (`train_size`) training images to train on, the test set in the place of validation."""
    return Split(
        Subset(dataset.train_images, dataset.train_labels, _training_rows(dataset, config)),
        Subset(dataset.test_images, dataset.test_labels, np.arange(len(dataset.test_labels))),
        dataset.classes,
    )


def _training_rows(dataset: Dataset, config: DataConfig) -> Array:
    n, size = len(dataset.train_labels), config.train_size
    if size is None:
        return np.arange(n)
    if size > n:
        raise UserError(f"train_size {size} is more than the {n} training images of {dataset.name}")
    return np.sort(stratified_order(dataset.train_labels, config.split_seed)[:size])
