"""The database's clock: one for all machines that write to it and read from it."""

from __future__ import annotations

from typing import Any

from sqlalchemy import BigInteger
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement


class server_now(FunctionElement[int]):  # noqa: N801 - an SQL function, named as such
    """The database's wall clock, integer microseconds since 1970 UTC."""

    type = BigInteger()
    inherit_cache = True


@compiles(server_now, "sqlite")
def _sqlite(_element: server_now, _compiler: Any, **_: Any) -> str:
    return "CAST((julianday('now') - 2440587.5) * 86400000000 AS INTEGER)"


@compiles(server_now, "postgresql")
def _postgresql(_element: server_now, _compiler: Any, **_: Any) -> str:
    return "CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS bigint)"
