"""The page of a range test."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hptoolkit.reporting import html
from hptoolkit.reporting.figures.figure import BAND, BLUE, GREY, Figure, axis, blank, brief
from hptoolkit.training.lr_range import RangeTest


def draw(test: RangeTest, name: str, path: Path, facts: Sequence[tuple[str, str]] = ()) -> None:
    """Draw the loss over the learning rate, with the suggestion and its spread, as a page.

    Args:
        test: The test.
        name: What was tested.
        path: The HTML file; its folder is made.
        facts: What stands in the page's head, names and texts.
    """
    suggestion = test.suggestion
    spread = f"a factor of {suggestion.uncertainty:.2g}"
    html.write(
        path,
        f"Range test of {name}",
        [Figure("range-test", "Loss against the learning rate", _caption(test), _figure(test))],
        [],
        facts=facts,
        findings=[
            f"Suggested: a peak of λ = {suggestion.high:.2g} at most, and {suggestion.low:.2g} at "
            f"least; the standard error of the former is {spread} ({len(test.highs)} ramps of "
            "different seeds).",
        ],
    )


def _figure(test: RangeTest) -> Any:
    figure = blank()
    figure.add_scatter(
        x=[brief(lr) for lr in test.lrs], y=[brief(loss) for loss in test.losses], mode="markers",
        name="a batch of the first ramp", marker={"size": 4, "opacity": 0.5, "color": GREY},
    )  # fmt: skip
    figure.add_scatter(
        x=[brief(lr) for lr in test.lrs], y=[brief(loss) for loss in test.smoothed], mode="lines",
        name="smoothed", line={"color": BLUE, "width": 2.5},
    )  # fmt: skip
    high, factor = test.suggestion.high, test.suggestion.uncertainty
    figure.add_vrect(x0=high / factor, x1=high * factor, line_width=0, fillcolor=BAND)
    marks = {
        "suggested minimum": test.suggestion.low,
        "suggested maximum": high,
        "lowest loss": test.suggestion.minimum,
    }
    for mark, lr in marks.items():
        figure.add_vline(x=lr, line_dash="dot")
        # Unlike a line, a text stands at the logarithm on a logarithmic axis.
        figure.add_annotation(
            x=math.log10(lr), y=1, yref="paper", text=mark, textangle=-90, showarrow=False,
            xanchor="left", yanchor="top",
        )  # fmt: skip
    figure.update_xaxes(**axis("lr", test.lrs))
    figure.update_yaxes(title_text="training loss (nats)", range=[0, 1.3 * test.losses[0]])
    return figure


def _caption(test: RangeTest) -> str:
    each = ", ".join(f"{high:.2g}" for high in sorted(test.highs))
    return (
        "The rate rises until the loss explodes. The suggested maximum is twice the rate at which "
        "the loss has made half its fall, which lies below the lowest loss: there a constant rate "
        f"is already too high for a peak. The ramps gave {each}; the band is one standard error "
        "about their median."
    )
