"""How axes and parameters are written: λ, ρ, α, N and λα/(1−ρ)."""

from __future__ import annotations

import re

_SYMBOLS = {"lr": "λ", "momentum": "ρ", "weight_decay": "α", "batch_size": "N", "steps": "T"}


def symbol(expression: str) -> str:
    """An axis or a parameter in the notation of the literature: `lr*weight_decay` is λα."""
    words = re.sub(r"[A-Za-z_][\w.]*", lambda m: _SYMBOLS.get(m[0], m[0]), expression)
    powers = {"**0.5": "^½", "**2": "²"}
    for power, short in powers.items():
        words = words.replace(power, short)
    return re.sub(r"(?<=[λραNT)²½])\*(?=[λραNT(])", "", words).replace("1-", "1−")
