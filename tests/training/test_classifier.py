from __future__ import annotations

from pathlib import Path

import pytest
import torch

from hptoolkit.training import DataConfig, ModelConfig, TrainingConfig, checkpoint, data, train
from hptoolkit.training.classifier import pack, unpack

QUICK = TrainingConfig(epochs=2, batch_size=64, flip=False, crop_padding=1, cutout=0, lr=0.1)


@pytest.mark.parametrize("flip_tta", [False, True])
def test_it_judges_pixels_as_the_training_judged_images(tmp_path: Path, flip_tta: bool) -> None:
    split = data.split(data.load("digits"), DataConfig())
    config = QUICK.model_copy(update={"flip_tta": flip_tta})
    model = ModelConfig(width=4)
    result = train(config, split, model=model)
    path = tmp_path / "weights.pt"
    checkpoint.write(path, pack(result.weights, model, split, flip_tta=flip_tta))

    classifier = unpack(checkpoint.read(path))
    pixels = torch.from_numpy(split.validation.images).permute(0, 3, 1, 2).float()
    with torch.no_grad():
        logits = classifier(pixels)
    labels = torch.from_numpy(split.validation.labels)
    right = (logits.argmax(1) == labels).double().mean().item()
    assert right == pytest.approx(result.validation_accuracy)
    loss = torch.nn.functional.cross_entropy(logits, labels).item()
    assert loss == pytest.approx(result.validation_loss, rel=1e-4)
