"""Params, tags and metrics as MLflow takes them: their keys and values within its limits."""

from __future__ import annotations

import json
import math
import re
import sys
from collections.abc import Iterable, Mapping
from numbers import Real
from typing import Any, NamedTuple

from hptoolkit.storage.urls import redact

_LONGEST_KEY, _LONGEST_PARAM, _LONGEST_TAG = 250, 6000, 8000
_LARGEST = sys.float_info.max


class Point(NamedTuple):
    """One value of a metric. Timestamp in milliseconds since 1970."""

    key: str
    value: float
    timestamp: int
    step: int


def points(values: Mapping[str, Any], timestamp: int, step: int) -> list[Point]:
    """Metrics of one moment; values that are no numbers are left out.

    What is infinite is logged as NaN: MLflow would write 1.8e308, and draw it.
    """
    return [
        Point(key, float(value) if abs(value) <= _LARGEST else math.nan, timestamp, step)
        for key, value in _keyed(values).items()
        if _is_number(value)
    ]


def params(values: Mapping[str, Any]) -> dict[str, str]:
    """Values as MLflow params: text, nested mappings flattened to dotted names.

    Addresses lose their credentials.
    """
    texts = {key: as_text(value) for key, value in _keyed(dict(_flatten(values))).items()}
    return {
        key: _shorten(redact(text) if "://" in text else text, _LONGEST_PARAM)
        for key, text in texts.items()
    }


def tags(values: Mapping[str, str]) -> dict[str, str]:
    """Texts as MLflow tags."""
    return {key: _shorten(value, _LONGEST_TAG) for key, value in _keyed(values).items()}


def coordinate_metrics(coordinates: object) -> dict[str, Any]:
    """Coordinates by a metric's name: `lr*a/(1-m)` is `coordinates/lr x a per 1-m`.

    MLflow refuses operators in a name; the expressions themselves are a tag of the run.
    """
    if not isinstance(coordinates, Mapping):
        return {}
    return {f"coordinates/{_in_words(axis)}": value for axis, value in coordinates.items()}


def as_text(value: object) -> str:
    """A text as it is, any other value as JSON."""
    return value if isinstance(value, str) else json.dumps(value, default=str)


def _is_number(value: object) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


def _flatten(values: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _keyed(values: Mapping[str, Any]) -> dict[str, Any]:
    """The mapping with keys that MLflow takes; no two are merged."""
    keyed: dict[str, Any] = {}
    for name, value in values.items():
        path = re.sub(r"[^\w.\- /]", "_", name)
        # MLflow refuses a key that, read as a path, is not in its normal form.
        path = "/".join(part for part in path.split("/") if part.strip(".")) or "_"
        key, count = path[:_LONGEST_KEY].rstrip("/"), 1
        while key in keyed:
            count += 1
            key = f"{path[: _LONGEST_KEY - 10]} {count}"
        keyed[key] = value
    return keyed


def _in_words(expression: str) -> str:
    for operator, word in (("**", "pow"), ("^", "pow"), ("*", "x"), ("/", "per")):
        expression = expression.replace(operator, f" {word} ")
    return " ".join(re.sub(r"[()]", " ", expression).split())


def _shorten(text: str, longest: int) -> str:
    """The text, or its two ends: a traceback says at its end what went wrong."""
    half = longest // 2 - 1
    return text if len(text) <= longest else f"{text[:half]}…{text[-half:]}"
