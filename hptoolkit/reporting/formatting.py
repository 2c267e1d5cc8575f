"""How labels, numbers, metrics and times are written for people."""

from __future__ import annotations

from typing import Any

from hptoolkit.coordinates.symbols import symbol

_LABELS = {
    "lr": "learning rate λ",
    "momentum": "momentum ρ",
    "1-momentum": "1−ρ (ρ: momentum)",
    "weight_decay": "weight decay α",
    "batch_size": "batch size N (images)",
}


def label(expression: str) -> str:
    """An axis' title: a raw parameter in words with its symbol and unit, a coordinate as it is."""
    return _LABELS.get(expression, symbol(expression))


def metric_label(name: str) -> str:
    """The title of a metric's axis, with its unit."""
    unit = {"accuracy": " (%)", "loss": " (nats)"}.get(name.rpartition("_")[2], "")
    return f"{name.replace('_', ' ')}{unit}"


def number(value: Any) -> str:
    """A value in few characters: three significant digits for a float."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def metric(name: str, value: float) -> str:
    """A metric's value: an accuracy in per cent, a loss as it is; extreme ones by a power."""
    scale, digits, unit = (100, 2, " %") if name.endswith("accuracy") else (1, 4, "")
    shown = scale * value
    plain = shown == 0 or 10**-digits <= abs(shown) < 1e7
    return f"{shown:.{digits}f}{unit}" if plain else f"{shown:.4g}{unit}"


def duration(seconds: float) -> str:
    """Seconds as `8.2 s`, `3 min 20 s` or `2 h 05 min`."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return (
        f"{minutes} min {rest:02d} s"
        if minutes < 60
        else f"{minutes // 60} h {minutes % 60:02d} min"
    )
