"""The server: what is found under which address."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from tracker.errors import TrackerError
from tracker.web import live, openapi, pages
from tracker.web.api import ENDPOINTS
from tracker.web.assets import VENDOR
from tracker.web.context import Context, context_of
from tracker.web.encoding import json_bytes
from tracker.web.guard import Guard
from tracker.web.problems import on_http_error, on_tracker_error
from tracker.web.settings import Settings, settings_of_environment
from tracker.web.templating import STATIC, mark


def application(settings: Settings) -> Starlette:
    """A server of one store; it reads, and changes nothing."""

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        yield
        app.state.context.close()

    app = Starlette(
        routes=_routes(),
        middleware=[
            Middleware(Guard, settings=settings),
            Middleware(GZipMiddleware, compresslevel=5),
        ],
        exception_handlers={
            TrackerError: on_tracker_error,
            HTTPException: on_http_error,
        },
        lifespan=lifespan,
    )
    app.state.context = Context(settings)
    return app


def from_environment() -> Starlette:
    """The server of a worker process, whose parent left its settings in the environment."""
    return application(settings_of_environment())


def _routes() -> list[BaseRoute]:
    return [
        Route("/", _home),
        *pages.ROUTES,
        Route("/api/v1/openapi.json", _openapi),
        *live.ROUTES,
        *(one.route() for one in ENDPOINTS),
        Mount("/assets/{mark}/static", _Files(directory=STATIC)),
        Mount("/assets/{mark}/vendor", _Files(directory=VENDOR, check_dir=False)),
    ]


async def _home(request: Request) -> Response:
    return RedirectResponse(context_of(request).settings.prefix + "/runs", 307)


async def _openapi(request: Request) -> Response:
    prefix = context_of(request).settings.prefix
    return Response(json_bytes(openapi.document(ENDPOINTS, prefix)), media_type="application/json")


class _Files(StaticFiles):
    """Files whose addresses change when they do: they may be kept for ever."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        answer = await super().get_response(path, scope)
        if scope["path_params"].get("mark") == mark():
            answer.headers["Cache-Control"] = "public, max-age=31536000, immutable"
        return answer
