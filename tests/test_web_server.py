"""The command `tracker ui`: a real server process, several of them, and what it refuses."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest

from cli.ui import listener_at
from tests.test_cli import tracker as command
from tracker.web import assets


@pytest.fixture
def store(one_run: str) -> str:
    """A store with one run."""
    return one_run


@contextmanager
def serving(*options: str) -> Iterator[str]:
    """The command as a process of its own; yields the address that it says. Ends it by Ctrl-C."""
    program = [sys.executable, "-c", "from tracker.cli import main; main()", "ui", "--port", "0"]
    with subprocess.Popen([*program, *options], stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            line = process.stderr.readline()
            found = re.search(r"http://\S+", line)
            assert found, line + process.stderr.read()
            yield found[0]
            process.send_signal(signal.SIGINT)
            rest = process.stderr.read()
            assert rest == ""
            assert process.wait(20) in (0, 130)
        finally:
            process.kill()


def _get(url: str, **options: Any) -> httpx2.Response:
    end = time.monotonic() + 30
    while True:
        try:
            return httpx2.get(url, timeout=20, **options)
        except httpx2.ConnectError:
            assert time.monotonic() < end
            time.sleep(0.05)


@pytest.mark.parametrize("workers", ["1", "2"])
def test_it_serves_until_it_is_ended(store: str, workers: str) -> None:
    """By one process or several, under a prefix, whether the proxy takes it away or not."""
    with serving("--store", store, "--workers", workers, "--prefix", "/lab") as url:
        assert url.endswith("/lab/")
        for path in (url, url.replace("/lab/", "/")):
            for _ in range(4):
                page = _get(path + "runs")
                assert page.status_code == 200
                assert "/lab/assets/" in page.text
                assert _get(path + "api/v1/runs").json()[0]["name"] == "run"


def test_it_ends_although_somebody_listens(store: str) -> None:
    """Ctrl-C ends the streams of pages, too, and says nothing of them."""
    with httpx2.Client(timeout=30) as client, ExitStack() as stack:
        with serving("--store", store) as url:
            _get(url + "runs")
            address = url + "api/v1/live?run=run"
            answer = stack.enter_context(client.stream("GET", address))
            lines = answer.iter_lines()
            assert next(lines).startswith("retry")
        assert sum(line.startswith("event: run") for line in lines) >= 1


def test_a_token_is_made(store: str) -> None:
    """It is told once, in the address; without it nothing is told."""
    with serving("--store", store, "--token", "auto") as url:
        bare, _, token = url.partition("?token=")
        assert len(token) >= 32
        assert _get(bare + "runs").status_code == 401
        headers = {"Authorization": f"Bearer {token}"}
        assert _get(bare + "api/v1/runs", headers=headers).status_code == 200


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--host", "0.0.0.0"], "token"),
        (["--token", "short"], "16"),
        (["--prefix", "lab"], "/"),
        (["--host", "no such host"], "host"),
    ],
)
def test_what_it_refuses(store: str, options: list[str], told: str) -> None:
    """Before it listens, and without a traceback."""
    done = command("ui", "--store", store, *options, code=2)
    assert told in done.stderr
    assert "Traceback" not in done.stderr


def test_a_port_that_is_taken(store: str) -> None:
    """It says so, and what to do."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = str(other.getsockname()[1])
        done = command("ui", "--store", store, "--port", port, code=2)
    assert port in done.stderr
    assert "--port" in done.stderr


def test_files_of_others_that_are_missing(
    store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a source tree without them it says which command makes them."""
    monkeypatch.setattr(assets, "VENDOR", tmp_path)
    from tracker.cli.application import application
    from typer.testing import CliRunner

    done = CliRunner().invoke(application(), ["ui", "--store", store])
    assert done.exit_code != 0
    assert "make assets" in (done.output + str(done.exception))


def test_answers_are_sent_without_delay() -> None:
    """Its connections do not wait for the head of an answer to arrive before the body is sent."""
    with closing(listener_at("127.0.0.1", 0)) as listener:
        listener.listen()
        with (
            socket.create_connection(listener.getsockname()),
            closing(listener.accept()[0]) as accepted,
        ):
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
