"""An address of the API: its parameters, what it answers, and in which forms."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tracker.errors import InvalidArgument
from tracker.store.sql import SqlStore
from tracker.web.context import context_of
from tracker.web.encoding import json_bytes
from tracker.web.parameters import Parameter, values_of

if TYPE_CHECKING:
    import pandas as pd

ARROW = "application/vnd.apache.arrow.stream"

#: The form of an answer that is a table.
FORMAT = Parameter(
    "format", "json, or arrow: an Arrow stream; or say so in Accept.", choices=("json", "arrow")
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """One address under /api/v1."""

    path: str
    summary: str
    #: Takes the store and the values of the parameters by name; returns what JSON can have, or a
    #: frame, which is a list of rows in JSON, and can be had as Arrow, too.
    answer: Callable[..., Any]
    parameters: Sequence[Parameter] = ()
    #: Whether it answers with a frame.
    is_table: bool = False
    #: What it answers, as a JSON schema.
    schema: dict[str, Any] = field(default_factory=lambda: {"type": "object"})

    @property
    def all_parameters(self) -> list[Parameter]:
        """Those of its own, and the form of tables."""
        return [*self.parameters, *([FORMAT] if self.is_table else [])]

    def route(self) -> Route:
        """The route that answers it."""

        async def respond(request: Request) -> Response:
            asked = values_of(
                self.all_parameters, request.path_params, request.query_params.multi_items()
            )
            return await run_in_threadpool(self._response, request, asked)

        return Route(f"/api/v1{self.path}", respond, methods=["GET"])

    def _response(self, request: Request, asked: dict[str, Any]) -> Response:
        form = asked.pop("format", None)
        store: SqlStore = context_of(request).store
        found = self.answer(store, **asked)
        if not self.is_table:
            return Response(json_bytes(found), media_type="application/json")
        accepts = request.headers.get("accept", "")
        if form == "arrow" or (form is None and ARROW in accepts):
            return Response(arrow_bytes(found), media_type=ARROW)
        return Response(json_bytes(found), media_type="application/json")


def arrow_bytes(frame: pd.DataFrame) -> bytes:
    """A frame as an Arrow stream.

    Raises:
        InvalidArgument: A column has values of several types, which Arrow does not.
    """
    import pyarrow as pa

    from tracker.frames import NOT_ARROW

    try:
        table = pa.Table.from_pandas(frame, preserve_index=False)
    except NOT_ARROW as error:
        raise InvalidArgument(f"This is no Arrow table: {error}. Take format=json.") from error
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue()
