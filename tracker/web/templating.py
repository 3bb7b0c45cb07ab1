"""Templates → HTML. Whatever comes from a store is escaped: nothing of it is ever markup."""

from __future__ import annotations

import math
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from functools import cache
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.types import Scope

from tracker.web.assets import VENDOR

HERE = Path(__file__).parent
STATIC = HERE / "static"
#: What becomes of halves of characters.
_ERRORS = "backslashreplace"


def route_path(scope: Scope) -> str:
    """The path that was asked for, below the server's prefix."""
    path: str = scope["path"]
    return path.removeprefix(scope.get("root_path", ""))


def render(scope: Scope, template: str, **values: Any) -> bytes:
    """A template with values; `url` in it makes addresses under the server's prefix."""
    root = scope["app"].state.context.settings.prefix

    def url(path: str, **query: Any) -> str:
        given: list[tuple[str, str]] = []
        for name, value in query.items():
            if isinstance(value, list | tuple):
                given += [(name, str(one)) for one in value]
            elif value not in (None, ""):
                given.append((name, str(value)))
        return f"{root}{path}" + (f"?{urlencode(given, errors=_ERRORS)}" if given else "")

    page = _environment().get_template(template).render(url=url, root=root, **values)
    return page.encode("utf-8", _ERRORS)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "number": number,
        "moment": moment,
        "length_text": length,
        "shown": shown,
    }
    environment.globals |= {"asset": asset, "version": version("keras-event-tracker")}
    return environment


@cache
def mark() -> str:
    """Changes whenever one of the static files does.

    It is a folder of their addresses, so that modules which import each other by relative
    addresses are never of two versions.
    """
    digest = sha256()
    for folder in (STATIC, VENDOR):
        for file in sorted(folder.glob("*")):
            digest.update(file.name.encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()[:12]


def asset(name: str) -> str:
    """The path of a static file."""
    folder, _, rest = name.rpartition("/")
    return f"/assets/{mark()}/{folder or 'static'}/{rest}"


def number(value: Any) -> str:
    """A number as people read it; nothing for None."""
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.5g}" if math.isfinite(value) else str(value)
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def moment(value: Any) -> str:
    """Microseconds since 1970 as ISO 8601 in UTC; scripts show it in the browser's zone."""
    if value is None:
        return ""
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=value)).isoformat(
        timespec="milliseconds"
    )


def length(seconds: Any) -> str:
    """Seconds as people say them."""
    if seconds is None:
        return ""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours < 48 else f"{hours // 24} d {hours % 24} h"


def shown(value: Any) -> str:
    """Any value in one cell."""
    if isinstance(value, float):
        return number(value)
    if isinstance(value, str | int) or value is None:
        return "" if value is None else str(value)
    if isinstance(value, Iterable) and not isinstance(value, dict):
        return ", ".join("None" if one is None else shown(one) for one in value)
    return str(value)
