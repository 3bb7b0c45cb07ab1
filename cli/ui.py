"""`tracker ui`: the web page."""

from __future__ import annotations

import os
import secrets
import socket
from typing import TYPE_CHECKING, Annotated

import typer

from .options import StoreOption, store_option
from .output import say

if TYPE_CHECKING:
    from tracker.web.settings import Settings

_SHORTEST, _MADE = 16, "auto"
_LOCAL = ("127.0.0.1", "::1", "localhost")


def add_to(app: typer.Typer) -> None:
    """Add this command to the application."""
    app.command("ui")(ui)


def ui(
    host: Annotated[
        str,
        typer.Option(
            metavar="ADDRESS", help="Where it listens; others than this machine's own need --token."
        ),
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: any that is free.")] = 8265,
    token: Annotated[
        str | None,
        typer.Option(
            envvar="TRACKER_UI_TOKEN",
            metavar="TEXT",
            help="Only who has it is let in: 16 characters or more, or auto to have one made.",
            show_default=False,
        ),
    ] = None,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(
            "--allow-host", metavar="NAME", help="A name it may be called by; repeatable."
        ),
    ] = None,
    prefix: Annotated[
        str, typer.Option(metavar="PATH", help="The path under which a proxy offers it: /tracker.")
    ] = "",
    workers: Annotated[int, typer.Option(min=1, max=64, help="Processes that answer.")] = 1,
    open_browser: Annotated[bool, typer.Option("--open", help="Open it in the browser.")] = False,
    store: StoreOption = None,
) -> None:
    """Show runs in the browser: curves, comparisons, time travel. It reads only.

    Example: tracker ui --open
    """
    settings = _settings(host, token, allow_host, prefix, store)
    import uvicorn

    listener = listener_at(host, port)
    port = listener.getsockname()[1]
    query = f"?token={settings.token}" if settings.token else ""
    shown = f"[{host}]" if ":" in host else host
    address = f"http://{shown}:{port}{settings.prefix}/{query}"
    say(f"The page is at {address}  Ctrl-C ends it.")
    if open_browser:
        typer.launch(address)
    settings.to_environment()
    uvicorn.run(
        "tracker.web.application:from_environment",
        factory=True,
        fd=listener.fileno(),
        workers=workers,
        log_level="critical",  # faults of requests are told by tracker.web itself
        server_header=False,
        timeout_graceful_shutdown=2,
    )


def _settings(
    host: str, token: str | None, names: list[str] | None, prefix: str, store: str | None
) -> Settings:
    from tracker.errors import ExtraMissing, InvalidArgument

    try:
        from tracker.web.assets import missing
        from tracker.web.settings import Settings
    except ImportError as error:
        raise ExtraMissing(
            f"The page needs {error.name}. Install it: pip install 'keras-event-tracker[ui]'"
        ) from error
    gone = missing()
    if gone:
        raise ExtraMissing(f"Files of the page are missing ({', '.join(gone)}). Do: make assets")
    if token == _MADE:
        token = secrets.token_urlsafe(24)
    if token is not None and len(token) < _SHORTEST:
        raise InvalidArgument(f"The token must have {_SHORTEST} characters or more, or be auto.")
    if host not in _LOCAL and token is None:
        raise InvalidArgument(
            f"At {host} others on the network can see the page: give --token auto, or a token of "
            "your own (or TRACKER_UI_TOKEN)."
        )
    if prefix and (not prefix.startswith("/") or prefix.endswith("/")):
        raise InvalidArgument(
            f"prefix must begin with / and not end with it. Received: {prefix!r}."
        )
    default = Settings(store="").hosts
    own = f"[{host}]" if ":" in host else host.lower()
    hosts = (*default, own, *(name.lower() for name in names or []))
    return Settings(store=store_option(store), hosts=hosts, token=token, prefix=prefix)


def listener_at(host: str, port: int) -> socket.socket:
    """A socket that listens there: whether the port is free is told before anything starts."""
    from tracker.errors import InvalidArgument

    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    # Accepted ones inherit it. Without, the body of an answer waits 40 ms for its head to arrive:
    # asyncio sets it, but takes what comes by number for a Unix socket.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if os.name == "posix":
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except (OSError, OverflowError) as error:
        listener.close()
        told = getattr(error, "strerror", None) or error
        raise InvalidArgument(
            f"{host}:{port} cannot be used: {told}. Choose another port with --port, or 0 for any."
        ) from error
    listener.set_inheritable(True)
    return listener
