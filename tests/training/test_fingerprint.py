from __future__ import annotations

import hashlib

import numpy as np

from hptoolkit.training import data
from hptoolkit.training.config import DataConfig
from hptoolkit.training.data import Subset
from hptoolkit.training.fingerprint import digest

IMAGES = np.arange(6 * 2 * 3 * 1, dtype=np.uint8).reshape(6, 2, 3, 1)
LABELS = np.array([0, 1, 0, 1, 2, 2])


def of(rows: list[int], images: np.ndarray = IMAGES, labels: np.ndarray = LABELS) -> str:
    return digest(Subset(images, labels, np.array(rows)))


def test_it_is_the_sha_of_shape_images_and_labels() -> None:
    content = b"(2, (2, 3, 1))" + IMAGES[[4, 1]].tobytes() + b"".join(
        int(LABELS[row]).to_bytes(8, "little") for row in (4, 1)
    )  # fmt: skip
    assert of([4, 1]) == hashlib.sha256(content).hexdigest()[:16]


def test_it_tells_rows_pixels_and_labels_apart_and_nothing_else() -> None:
    other = IMAGES.copy()
    other[4, 0, 0, 0] += 1
    relabelled = LABELS.copy()
    relabelled[4] = 0
    digests = [of([4, 1]), of([1, 4]), of([4]), of([4, 1], other), of([4, 1], IMAGES, relabelled)]
    assert len(set(digests)) == 5
    # Pixels that the subset does not have, and where its rows stand, are of no account.
    assert of([4, 1], labels=LABELS.astype(np.int32)) == of([4, 1])
    assert of([1, 0], IMAGES[[1, 4]], LABELS[[1, 4]]) == of([4, 1])


def test_more_rows_than_are_read_at_once() -> None:
    images = np.random.default_rng(0).integers(0, 255, (10_000, 2, 2, 1), dtype=np.uint8)
    labels = np.zeros(10_000, dtype=np.int64)
    rows = np.arange(10_000)
    whole = hashlib.sha256(b"(10000, (2, 2, 1))")
    for first in range(0, 10_000, 4096):
        whole.update(images[first : first + 4096].tobytes())
        whole.update(labels[first : first + 4096].tobytes())
    assert digest(Subset(images, labels, rows)) == whole.hexdigest()[:16]


def test_training_and_validation_images_differ() -> None:
    split = data.split(data.load("digits"), DataConfig())
    assert digest(split.train) != digest(split.validation)
    other = data.split(data.load("digits"), DataConfig(split_seed=1))
    assert digest(split.train) != digest(other.train)
