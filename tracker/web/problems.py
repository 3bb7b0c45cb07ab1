"""What went wrong, as a page for people or as JSON for programs (RFC 9457)."""

from __future__ import annotations

import logging
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Scope

from tracker import errors
from tracker.masking import mask_text
from tracker.web.encoding import json_bytes
from tracker.web.templating import render, route_path

_log = logging.getLogger("tracker.web")

# The first class that an error is an instance of decides.
_STATUSES: tuple[tuple[type[errors.TrackerError], int, str], ...] = (
    (errors.RunNotFound, 404, "No such run"),
    (errors.AmbiguousRun, 404, "More than one run"),
    (errors.QueryTimeout, 504, "It took too long"),
    (errors.StoreBusy, 503, "The store is busy"),
    (errors.StoreUnreachable, 503, "The store is away"),
    (errors.SchemaMismatch, 503, "The store needs an upgrade"),
    (errors.DriverMissing, 503, "A driver is missing"),
    (errors.ExtraMissing, 501, "Something is not installed"),
    (errors.StoreCorrupt, 500, "The store is damaged"),
    (errors.StoreFailure, 500, "The store failed"),
    (errors.EventsTooNew, 409, "Events of a later version"),
    (errors.InvalidFilter, 400, "The filter cannot be understood"),
    (errors.TrackerError, 400, "That cannot be answered"),
)


def problem(scope: Scope, status: int, title: str, detail: str, **more: Any) -> Response:
    """The answer: JSON under /api, a piece of a page for htmx, else a whole page."""
    headers = {name.decode().lower() for name, _ in scope.get("headers", [])}
    if route_path(scope).startswith("/api/"):
        body = {"type": "about:blank", "title": title, "status": status, "detail": detail, **more}
        return Response(json_bytes(body), status, media_type="application/problem+json")
    template = "problem_piece.html" if "hx-request" in headers else "problem.html"
    return Response(
        render(scope, template, title=title, detail=detail, status=status),
        status,
        media_type="text/html",
    )


async def on_tracker_error(request: Request, error: Exception) -> Response:
    """Ours: they say what was wrong, what was expected and what to do."""
    status, title = next(
        (status, title) for kind, status, title in _STATUSES if isinstance(error, kind)
    )
    answer = problem(request.scope, status, title, mask_text(str(error)))
    if status == 503:
        answer.headers["Retry-After"] = "2"
    return answer


async def on_http_error(request: Request, error: Exception) -> Response:
    """Starlette's: pages that do not exist."""
    status = error.status_code if isinstance(error, HTTPException) else 500
    return problem(request.scope, status, "No such page", "There is nothing at this address.")


def fault(scope: Scope, error: Exception) -> Response:
    """Everything else is a fault of ours: told in the log, not on the page."""
    _log.error("A fault of the tracker at %s", scope["path"], exc_info=error)
    return problem(
        scope, 500, "A fault of the tracker",
        f"{type(error).__name__}. The server's log has more; please report it.",
    )  # fmt: skip
