"""The server: what is found under which address."""

from __future__ import annotations

import gzip
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cached_property
from importlib import import_module
from pathlib import Path

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import FileResponse, RedirectResponse, Response
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
        # What the first curve needs takes a while to load: it is there before somebody looks.
        threading.Thread(target=import_module, args=("tracker.store.chunks",), daemon=True).start()
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
    """Files whose addresses change when they do: browsers, and this process, keep them for ever."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        if scope["path_params"].get("mark") != mark():
            return await super().get_response(path, scope)
        zipped = "gzip" in Headers(scope=scope).get("accept-encoding", "")
        kept = self._kept.get((path, zipped))
        if kept is None:
            answer = await super().get_response(path, scope)
            if not isinstance(answer, FileResponse):
                return answer
            kept = await run_in_threadpool(_in_memory, answer, zipped=zipped)
            self._kept[path, zipped] = kept
        body, headers = kept
        return Response(body, headers=headers)

    @cached_property
    def _kept(self) -> dict[tuple[str, bool], tuple[bytes, dict[str, str]]]:
        """Bodies and headers, by path and whether they are compressed: some ten small files."""
        return {}


def _in_memory(answer: FileResponse, *, zipped: bool) -> tuple[bytes, dict[str, str]]:
    body = Path(answer.path).read_bytes()
    headers = {
        "Content-Type": answer.headers["content-type"],
        "Cache-Control": "public, max-age=31536000, immutable",
    }
    if zipped:
        body = gzip.compress(body, 9, mtime=0)
        # The middleware adds the second to what is not compressed yet.
        headers |= {"Content-Encoding": "gzip", "Vary": "Accept-Encoding"}
    return body, headers
