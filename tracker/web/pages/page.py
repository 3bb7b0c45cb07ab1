"""A page: read from the store in a thread, then rendered."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from tracker.web.context import context_of
from tracker.web.parameters import Parameter, values_of
from tracker.web.templating import render

#: Takes the store and the values of the parameters; returns the template's name and values.
View = Callable[..., tuple[str, Mapping[str, Any]]]


def page(path: str, view: View, parameters: Sequence[Parameter] = ()) -> Route:
    """The route of a page."""

    async def respond(request: Request) -> Response:
        asked = values_of(parameters, request.path_params, request.query_params.multi_items())

        def answer() -> bytes:
            template, values = view(context_of(request).store, **asked)
            return render(request.scope, template, asked=asked, **values)

        return HTMLResponse(await run_in_threadpool(answer))

    return Route(path, respond, methods=["GET"])
