"""Fixtures: a home of its own for each test, and a PostgreSQL server for the session."""

from __future__ import annotations

import os
import signal

os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["TF_ENABLE_ONEDNN_OPTS"] = "0"

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, settings

from tests.faults.ledger import LEDGER
from tests.postgres import PostgresServer, installations, running_server

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

    from tests.browser import Seen

# Machines are noisy, and examples of real databases are slow.
settings.register_profile(
    "tracker",
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
settings.load_profile("tracker")

# Shells start background jobs with SIGINT ignored, and programs that tests start inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# The user's PGOPTIONS, PGSSLMODE … would reach our servers and every connection to them.
for _name in [name for name in os.environ if name.startswith("PG")]:
    del os.environ[_name]


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--long`: the fault tests' long variants."""
    parser.addoption("--long", action="store_true", help="fault tests: many more kills, longer")


def pytest_sessionfinish(session: pytest.Session) -> None:
    """In one of several workers: hand over what came of its faults."""
    output = getattr(session.config, "workeroutput", None)
    if output is not None:
        output["faults"] = LEDGER.told()


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Enter what a worker handed over; one that was killed has nothing to say."""
    LEDGER.enter(getattr(node, "workeroutput", {}).get("faults", {}))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what came of the faults."""
    if LEDGER.entries:
        terminalreporter.section("faults")
        terminalreporter.write_line(LEDGER.table())


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of the test's own: nothing of the user's is read or written."""
    folder = tmp_path / "home"
    monkeypatch.setenv("TRACKER_HOME", str(folder))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.delenv("TRACKER_STORE", raising=False)
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.chdir(tmp_path)
    return folder


@pytest.fixture
def one_run(tmp_path: Path) -> str:
    """The URL of a SQLite store with one run."""
    from tests.streams import fit_stream, identity
    from tracker.store.opening import open_store

    url = f"sqlite:///{tmp_path / 'runs.db'}"
    store = open_store(url, create=True)
    store.append(identity(), fit_stream(), expected_seq=0)
    store.close()
    return url


class PostgresServers:
    """Servers of each version that there is, started when first asked for."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self._running: dict[str, PostgresServer] = {}

    def of(self, version: str) -> PostgresServer:
        """A running server of this version."""
        if version not in self._running:
            (found,) = [one for one in installations() if one.version == version]
            self._running[version] = self._stack.enter_context(running_server(found))
        return self._running[version]


@pytest.fixture(scope="session")
def postgres_servers() -> Iterator[PostgresServers]:
    """Servers of every version."""
    with ExitStack() as stack:
        yield PostgresServers(stack)


@pytest.fixture(scope="session")
def postgres_server(postgres_servers: PostgresServers) -> PostgresServer:
    """A running server of the newest version; without any, the test fails."""
    return postgres_servers.of(installations()[0].version)


@pytest.fixture
def postgres_url(postgres_server: PostgresServer) -> str:
    """The URL of a fresh empty database."""
    return postgres_server.create_database()


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """A Chromium without a window."""
    from playwright.sync_api import sync_playwright

    from tests.browser import chromium

    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(
            executable_path=chromium(), args=["--no-sandbox", "--disable-dev-shm-usage"]
        )
        yield launched
        launched.close()


@pytest.fixture
def seen() -> Iterator[list[Seen]]:
    """What the pages of a test did; checked when it is over."""
    pages: list[Seen] = []
    yield pages
    for one in pages:
        one.check()


@pytest.fixture
def page(browser: Browser, seen: list[Seen]) -> Iterator[Page]:
    """A new page; errors in its console and requests to other hosts fail the test."""
    from tests.browser import watched

    context = browser.new_context(viewport={"width": 1200, "height": 900})
    made = context.new_page()
    made.set_default_timeout(15_000)
    seen.append(watched(made))
    yield made
    context.close()
