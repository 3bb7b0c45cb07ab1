"""The addresses of the API, by what they are about."""

from __future__ import annotations

from collections.abc import Sequence

from tracker.web.api import comparing, curves, experiments, replaying, runs, streams
from tracker.web.endpoints import Endpoint

ENDPOINTS: Sequence[Endpoint] = (
    *runs.ENDPOINTS,
    *streams.ENDPOINTS,
    *curves.ENDPOINTS,
    *comparing.ENDPOINTS,
    *replaying.ENDPOINTS,
    *experiments.ENDPOINTS,
)
