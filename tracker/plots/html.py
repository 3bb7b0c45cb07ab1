"""A figure → a page, or a notebook's interactive plot, by plotly."""

from __future__ import annotations

from html import escape
from typing import Any

import plotly.graph_objects as go

from tracker.plots.figure import PALETTE, Figure
from tracker.plots.thinning import thinned

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
        x, y = thinned(line.x, line.y)
        made.add_scatter(
            x=x.tolist(),
            y=[value if value == value else None for value in y.tolist()],
            name=escape(line.label),
            mode="lines" if len(x) > 1 else "markers",
            line={"color": PALETTE[line.colour], "dash": _DASHES[line.dash], "width": 2},
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
