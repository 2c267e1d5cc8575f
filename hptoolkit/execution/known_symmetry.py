"""The network's symmetry, tested once and kept with the study: tens of seconds at width 64."""

from __future__ import annotations

import hashlib
import json
import math
from typing import TYPE_CHECKING, Any

from hptoolkit.attributes import SYMMETRY, read
from hptoolkit.coordinates.symmetry import Symmetry, TensorSymmetry
from hptoolkit.execution import studies
from hptoolkit.training.fingerprint import digest

if TYPE_CHECKING:
    from hptoolkit.config.definition import StudyDefinition
    from hptoolkit.training.data import Split


def recall(defined: StudyDefinition, split: Split, address: str) -> Symmetry | None:
    """What a stored study of the definition keeps for this network on these images, if one does."""
    asked = _question(defined, split)
    for study in reversed(studies.searches(address, defined.name)):
        kept = read(study.user_attrs, SYMMETRY, dict)
        if kept is not None and kept.get("of") == asked:
            return Symmetry(tuple(_tensor(*row) for row in kept["tensors"]))
    return None


def as_attribute(symmetry: Symmetry, defined: StudyDefinition, split: Split) -> dict[str, Any]:
    """What a study keeps, under `SYMMETRY`."""
    tensors = [
        [t.name, t.parameters, None if math.isnan(t.slope) else t.slope, t.invariant]
        for t in symmetry.tensors
    ]
    return {"of": _question(defined, split), "share": symmetry.share, "tensors": tensors}


def _tensor(name: str, parameters: int, slope: float | None, invariant: bool) -> TensorSymmetry:
    return TensorSymmetry(name, parameters, math.nan if slope is None else slope, invariant)


def _question(defined: StudyDefinition, split: Split) -> str:
    """What the test depends on, as a digest: network, images, seed."""
    model = defined.model.model_dump(mode="json")
    parts = [model, split.image_shape, split.classes, digest(split.train), defined.seed]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]
