"""A figure → a page, or a notebook's interactive plot, by plotly."""

from __future__ import annotations

from html import escape
from typing import Any

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from tracker.plots.figure import PALETTE, Figure

_DASHES = ("solid", "dash", "dot", "dashdot")


def page(figure: Figure) -> str:
    """A page that needs no network: plotly's script, of some MB, is in it."""
    text = _made(figure).to_html(include_plotlyjs=True, config={"displaylogo": False})
    return str(text)


def bundle(figure: Figure) -> dict[str, Any]:
    """What plotly's renderer of a notebook draws."""
    made: dict[str, Any] = _made(figure).to_plotly_json()
    return made


def _made(figure: Figure) -> Any:
    # Plotly reads names as HTML of its own kind.
    made = go.Figure()
    for line in figure.series:
        colour = PALETTE[line.colour]
        if line.low is not None and line.high is not None:
            # A band is two lines of no width, the second filled up to the first.
            for edge, fill in ((line.low, None), (line.high, "tonexty")):
                made.add_scatter(
                    x=line.x.tolist(), y=_plain(edge), mode="lines", line={"width": 0},
                    fill=fill, fillcolor=_pale(colour), hoverinfo="skip", showlegend=False,
                )  # fmt: skip
        made.add_scatter(
            x=line.x.tolist(),
            y=_plain(line.y),
            name=escape(line.label),
            mode="lines" if len(line.x) > 1 else "markers",
            line={"color": colour, "dash": _DASHES[line.dash], "width": 2},
            connectgaps=False,
        )
    made.update_layout(
        template="plotly_white",
        title=escape(figure.title),
        xaxis_title=figure.x_label,
        yaxis_title=escape(figure.y_label),
        yaxis_type="log" if figure.log else "linear",
        showlegend=True,
        hovermode="x unified",
    )
    if figure.notes:
        made.add_annotation(
            text="<br>".join(map(escape, figure.notes)),
            xref="paper", yref="paper", x=0, y=-0.2, showarrow=False,
        )  # fmt: skip
    return made


def _plain(values: NDArray[np.float64]) -> list[float | None]:
    return [None if value != value else value for value in values.tolist()]


def _pale(colour: str) -> str:
    red, green, blue = (int(colour[place : place + 2], 16) for place in (1, 3, 5))
    return f"rgba({red},{green},{blue},0.2)"
