"""The pages: rendered on the server, all state in the address."""

from __future__ import annotations

from starlette.routing import Route

from tracker.web.pages import compare, experiments, run, runs, travel

ROUTES: list[Route] = [
    *runs.ROUTES,
    *travel.ROUTES,
    *run.ROUTES,
    *compare.ROUTES,
    *experiments.ROUTES,
]
