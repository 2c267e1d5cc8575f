"""A training run's state in a file, so that the run can go on after its process has gone."""

from __future__ import annotations

import glob
import hashlib
import io
import json
import os
import tempfile
import warnings
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch

from hptoolkit.training.config import ModelConfig
from hptoolkit.training.seeds import Seeds
from hptoolkit.training.trainer import Trainer


def write(path: Path, state: dict[str, Any]) -> None:
    """Replace the file at `path` in one step; its folder is made. Raises OSError.

    `state`: tensors, numbers and strings in dictionaries, lists and tuples. A failed write leaves
    the old file, and nothing else.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    content = io.BytesIO()
    torch.save(state, content)
    handle, temporary = tempfile.mkstemp(".tmp", f"{path.name}.", path.parent)
    try:
        with open(handle, "wb") as file:
            file.write(content.getbuffer())
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def read(path: Path) -> dict[str, Any] | None:
    """What `write` wrote; None if there is no file, or it is damaged or something else.

    Nothing but tensors and plain values is unpickled.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception:  # whatever torch raises for a file that is not one of its own
        return None
    return state if isinstance(state, dict) else None


def remove(path: Path) -> None:
    """Delete the file, what killed writes left beside it, and the folder if it is then empty."""
    with suppress(OSError):  # it is no more than a leftover
        for leftover in (path, *path.parent.glob(f"{glob.escape(path.name)}.*.tmp")):
            leftover.unlink(missing_ok=True)
        path.parent.rmdir()


def fingerprint(trainer: Trainer, model: ModelConfig | None, seeds: Seeds) -> str:
    """A digest of all that decides a run, before its first step: another run has another one.

    The images count by their rows, labels, and each channel's exact mean and deviation; a network
    of the user's own by what it prints and its first weights.
    """
    network = trainer.network
    plain = {
        "config": trainer.config.model_dump(mode="json"),
        "model": model.model_dump(mode="json") if model else repr(network),
        "seeds": [seeds.init, seeds.order, seeds.augment],
        "torch": torch.__version__,
        "device": trainer.device.type,
        "compiled": trainer.forward is not network,
    }
    digest = hashlib.sha256(json.dumps(plain).encode())
    tensors = [trainer.norm.mean, trainer.norm.scale, *network.state_dict().values()]
    for images in (trainer.images, trainer.validation):
        tensors += [images.rows, images.labels[images.rows]]
    for tensor in tensors:
        digest.update(f"{tensor.dtype}{tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    return digest.hexdigest()


class Checkpoint:
    """The checkpoint of one run in one file, which is passed over if it is of another run.

    Args:
        path: The file.
        mark: The run's `fingerprint`.
    """

    def __init__(self, path: Path, mark: str) -> None:
        self.path, self.mark = path, mark

    def load(self, trainer: Trainer) -> dict[str, Any] | None:
        """Bring the trainer to where the run was; what was saved with it, or None."""
        saved = read(self.path)
        if saved is None or saved.get("fingerprint") != self.mark:
            return None
        trainer.restore(saved["trainer"])
        return dict(saved["progress"])

    def save(self, trainer: Trainer, progress: dict[str, Any]) -> None:
        """Write the trainer's state, and `progress` with it. Warns if that cannot be done."""
        state = {"fingerprint": self.mark, "trainer": trainer.snapshot(), "progress": progress}
        try:
            write(self.path, state)
        except OSError as error:
            warnings.warn(
                f"No checkpoint could be written to {self.path} ({error.strerror}): the training "
                "goes on, but would start anew if it were interrupted",
                stacklevel=2,
            )

    def remove(self) -> None:
        remove(self.path)
