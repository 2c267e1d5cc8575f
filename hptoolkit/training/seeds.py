"""The three sources of randomness in a training run, each with a seed of its own."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

Varied = Literal["init", "order", "augment", "all"]


@dataclass(frozen=True)
class Seeds:
    """`init`: weights; `order`: the batches; `augment`: crops, flips, cutouts and dropout."""

    init: int
    order: int
    augment: int

    @classmethod
    def same(cls, seed: int) -> Seeds:
        return cls(seed, seed, seed)

    def vary(self, what: Varied, seed: int) -> Seeds:
        """These seeds with one source (or all) replaced: which part of the noise comes from it?"""
        return Seeds.same(seed) if what == "all" else replace(self, **{what: seed})
