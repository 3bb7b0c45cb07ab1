"""What a server of the page is told when it starts."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass

import orjson

#: Tells worker processes their settings: the token is no argument, which others could see.
VARIABLE = "TRACKER_UI"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """A server's store, and whom it lets in."""

    #: The store's full URL.
    store: str
    #: Names by which it may be called, as they stand in a Host header, without ports.
    hosts: tuple[str, ...] = ("127.0.0.1", "localhost", "[::1]")
    #: Who has it is let in; None: everybody on this machine.
    token: str | None = None
    #: The path under which a proxy offers the page, such as `/tracker`.
    prefix: str = ""
    #: Seconds after which a read of the store is given up.
    timeout: float = 15.0
    #: Seconds between two looks for new events.
    poll: float = 0.1

    def to_environment(self) -> None:
        """Leave them to processes that are started from this one."""
        os.environ[VARIABLE] = orjson.dumps(asdict(self)).decode()


def settings_of_environment() -> Settings:
    """What a parent process left for this one."""
    values = orjson.loads(os.environ[VARIABLE])
    return Settings(**{**values, "hosts": tuple(values["hosts"])})
