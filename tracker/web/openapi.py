"""The API, told as OpenAPI 3.1."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

from tracker.web.endpoints import ARROW, Endpoint
from tracker.web.parameters import schema_of

_PROBLEM = {
    "type": "object",
    "required": ["title", "status", "detail"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
    },
}
#: What may go wrong with any request.
_PROBLEMS = {
    "400": "The request cannot be answered; detail says why, and what is expected.",
    "401": "The server wants its token: Authorization: Bearer TOKEN.",
    "403": "Another site asked.",
    "404": "There is no such run.",
    "409": "The run was written by a later version.",
    "421": "The server is not called by that name.",
    "501": "Something that this needs is not installed on the server.",
    "503": "The store is away, or needs an upgrade.",
    "504": "The store took too long.",
}


def document(endpoints: Sequence[Endpoint], prefix: str) -> dict[str, Any]:
    """The description of all addresses.

    Args:
        endpoints: The addresses.
        prefix: The path under which a proxy offers the server.
    """
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "tracker",
            "version": version("keras-event-tracker"),
            "description": "Runs, events and metrics of a store. It only reads. Numbers that "
            'JSON does not have are texts: "nan", "inf", "-inf".',
        },
        "servers": [{"url": f"{prefix}/api/v1"}],
        "paths": {one.path: {"get": _operation(one)} for one in endpoints},
        "components": {
            "schemas": {"Problem": _PROBLEM},
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _operation(one: Endpoint) -> dict[str, Any]:
    content = {"application/json": {"schema": one.schema}}
    if one.is_table:
        content[ARROW] = {"schema": {}}
    problem = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {
        "summary": one.summary,
        "operationId": one.path.strip("/").replace("/", "_").replace("{", "").replace("}", ""),
        "parameters": [schema_of(parameter) for parameter in one.all_parameters],
        "responses": {
            "200": {"description": "The answer.", "content": content},
            **{
                status: {"description": text, "content": problem}
                for status, text in _PROBLEMS.items()
            },
        },
    }
