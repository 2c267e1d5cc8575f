"""The figure of a range test."""

from __future__ import annotations

import math
import os
from pathlib import Path

from hptoolkit.training.lr_range import RangeTest


def draw(test: RangeTest, name: str, path: Path) -> None:
    """Draw the loss over the learning rate, with the suggestion, as a page of its own."""
    import plotly.graph_objects as go

    figure = go.Figure()
    figure.add_scatter(x=test.lrs, y=test.losses, mode="markers", name="a batch of the first ramp",
                       marker={"size": 4, "opacity": 0.5})  # fmt: skip
    figure.add_scatter(x=test.lrs, y=test.smoothed, mode="lines", name="smoothed")
    marks = {
        "suggested minimum": test.suggestion.low,
        "suggested maximum": test.suggestion.high,
        "lowest loss": test.suggestion.minimum,
    }
    low, high = (test.suggestion.high * test.suggestion.uncertainty**sign for sign in (-1, 1))
    figure.add_vrect(x0=low, x1=high, opacity=0.15, line_width=0, fillcolor="gray")
    for mark, lr in marks.items():
        figure.add_vline(x=lr, line_dash="dot")
        # Unlike a line, a text stands at the logarithm on a logarithmic axis.
        figure.add_annotation(
            x=math.log10(lr), y=1, yref="paper", text=mark, textangle=-90, showarrow=False,
            xanchor="left", yanchor="top",
        )  # fmt: skip
    figure.update_layout(
        title=f"Range test of {name}: the maximum is twice where the loss has made half its fall",
        xaxis={"type": "log", "title": "learning rate λ", "exponentformat": "power"},
        yaxis={"title": "training loss (nats)", "range": [0, 1.3 * test.losses[0]]},
        template="plotly_white",
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.part")
    part.write_text(figure.to_html(include_plotlyjs=True), encoding="utf-8")
    os.replace(part, path)
