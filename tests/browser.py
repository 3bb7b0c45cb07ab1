"""A real Chromium for tests, and a server on loopback that it looks at."""

from __future__ import annotations

import fcntl
import os
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import uvicorn
from playwright.sync_api import Page

ROOT = Path(__file__).parent.parent
_AXE = ROOT / "node_modules" / "axe-core" / "axe.min.js"
_PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_START_SECONDS = 20.0

# Asked for before a test moves it into its own folder: all test processes have the same.
_TEMP = Path(tempfile.gettempdir())


def chromium() -> str:
    """A Chromium of this machine; where we are root and there is none, Debian's is installed.

    Raises:
        RuntimeError: There is none. Tests that need it fail then; they never skip.
    """
    chosen = os.environ.get("TRACKER_CHROMIUM")
    if chosen:
        return chosen
    with (_TEMP / f"tracker-chromium-{os.getuid()}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # test processes run side by side
        return _found()


def _found() -> str:
    found = _on_path()
    if found is None and os.geteuid() == 0 and shutil.which("apt-get"):
        for command in (["update"], ["install", "-y", "--no-install-recommends", "chromium"]):
            subprocess.run(
                ["apt-get", "-qq", *command],
                check=True,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
            )
        found = _on_path()
    found = found or _of_npm()
    if found is None:
        raise RuntimeError(
            "Tests of the page need a Chromium: install one (apt-get install chromium), or name "
            "it: TRACKER_CHROMIUM=/path/to/chrome."
        )
    return found


def _on_path() -> str | None:
    return next(filter(None, map(shutil.which, _PROGRAMS)), None)


def _of_npm() -> str | None:
    """The one that an npm package carries, unpacked by its own program: for who is not root."""
    node = shutil.which("node") or shutil.which("node", path=str(ROOT / ".venv" / "bin"))
    package = ROOT / "node_modules" / "@sparticuz" / "chromium"
    if node is None or not package.exists():
        return None
    program = (
        "import('@sparticuz/chromium').then((one) => one.default.executablePath())"
        ".then((path) => console.log(path))"
    )
    done = subprocess.run(
        [node, "--input-type=module", "-e", program],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return done.stdout.strip() or None


@contextmanager
def served(app: Any, port: int = 0) -> Iterator[str]:
    """A server of an ASGI application on a free port of loopback; yields its address."""
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", port))
    config = uvicorn.Config(app, log_level="error", timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    end = time.monotonic() + _START_SECONDS
    while not server.started:
        assert thread.is_alive(), "the server did not start"
        assert time.monotonic() < end, "the server did not start in time"
        time.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(timeout=_START_SECONDS)
        listener.close()
        assert not thread.is_alive(), "the server did not stop"


@dataclass
class Seen:
    """What a page did that it should not have."""

    errors: list[str] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)
    #: Texts of console errors that a test provokes.
    expected: list[str] = field(default_factory=list)

    def check(self) -> None:
        """Fail if there is anything."""
        errors = [one for one in self.errors if not any(text in one for text in self.expected)]
        assert errors == [], errors
        assert self.foreign == [], self.foreign


def watched(page: Page) -> Seen:
    """Notes the errors of a page, and its requests to other hosts."""
    seen = Seen()

    def on_console(message: Any) -> None:
        if message.type == "error":
            seen.errors.append(f"{message.text} ({message.location.get('url')})")

    def on_request(request: Any) -> None:
        parts = urlsplit(request.url)
        if parts.scheme not in ("data", "blob") and parts.hostname != "127.0.0.1":
            seen.foreign.append(request.url)

    page.on("console", on_console)
    page.on("pageerror", lambda error: seen.errors.append(str(error)))
    page.on("request", on_request)
    return seen


def axe(page: Page) -> list[str]:
    """Serious and critical findings of axe on what a page shows."""
    page.evaluate(_AXE.read_text())
    found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    return [
        f"{one['id']} ({one['impact']}): {one['help']}: {node['html'][:200]}"
        for one in found["violations"]
        if one["impact"] in ("serious", "critical")
        for node in one["nodes"]
    ]
