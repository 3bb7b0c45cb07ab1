"""Who is let in: each rule refuses, and would let through if it were switched off."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from tests.streams import fit_stream, identity
from tests.test_cli import tracker as command
from tracker.store.opening import connect_store, upgrade_store
from tracker.web import guard
from tracker.web.application import application
from tracker.web.assets import VENDOR
from tracker.web.settings import Settings
from tracker.web.templating import STATIC, asset

_TOKEN = "a token of some length"


@pytest.fixture
def store(one_run: str) -> str:
    """A store with one run."""
    return one_run


@contextmanager
def client(store: str, **more: Any) -> Iterator[TestClient]:
    """A client of a server; follows no redirect."""
    app = application(Settings(store=store, **more))
    with TestClient(app, base_url="http://127.0.0.1:8265", follow_redirects=False) as made:
        yield made


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8265", "127.0.0.1.evil", ""])
def test_other_names_are_refused(store: str, host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that somebody else's DNS leads here gets nothing, of pages, files nor the API."""
    with client(store) as made:
        for path in ("/runs", asset("page.css"), "/api/v1/runs", "/none"):
            answer = made.get(path, headers={"Host": host})
            assert answer.status_code == 421
            assert "run" not in answer.text.replace("runs", "")
        for own in ("127.0.0.1", "localhost:99", "[::1]:99", "LOCALHOST"):
            assert made.get("/runs", headers={"Host": own}).status_code == 200
    monkeypatch.setattr(guard, "_name", lambda _host: "localhost")
    with client(store) as made:
        assert made.get("/runs", headers={"Host": host or "x"}).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image"},
        {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "cors", "Sec-Fetch-Dest": "empty"},
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "iframe"},
    ],
    ids=str,
)
def test_other_sites_are_refused(
    store: str, headers: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever another site makes a browser ask for; a link to a page of ours is no harm."""
    with client(store) as made:
        assert made.get("/api/v1/runs", headers=headers).status_code == 403
        own = {"Origin": "http://127.0.0.1:8265", "Sec-Fetch-Site": "same-origin"}
        assert made.get("/api/v1/runs", headers=own).status_code == 200
        link = {
            "Sec-Fetch-Site": "cross-site",
            "Sec-Fetch-Mode": "navigate",
            "Sec-Fetch-Dest": "document",
        }
        assert made.get("/runs", headers=link).status_code == 200
    monkeypatch.setattr(guard, "_is_foreign", lambda _headers: False)
    with client(store) as made:
        assert made.get("/api/v1/runs", headers=headers).status_code == 200


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"])
def test_it_only_reads(store: str, method: str) -> None:
    """Every other method is refused, everywhere."""
    with client(store) as made:
        for path in ("/runs", "/api/v1/runs", asset("page.css")):
            answer = made.request(method, path)
            assert answer.status_code == 405
            assert answer.headers["Allow"] == "GET, HEAD"


def test_the_store_is_opened_for_reading_only(store: str) -> None:
    """Even code of the server cannot write."""
    with client(store) as made:
        made.get("/runs")
        opened = made.app.state.context.store  # type: ignore[attr-defined]
        with pytest.raises(Exception, match=r"readonly|read-only"):
            opened.append(identity("more", 2), fit_stream(), expected_seq=0)


def test_a_token_is_wanted_once(store: str) -> None:
    """In the address it is taken, becomes a cookie that no script reads, and leaves the address."""
    with client(store, token=_TOKEN) as made:
        for path in ("/runs", asset("page.css"), "/api/v1/runs", "/api/v1/live?run=run"):
            assert made.get(path).status_code == 401
        assert made.get("/runs?token=wrong").status_code == 401
        assert made.get("/runs", headers={"Cookie": f"{guard.COOKIE}={_TOKEN}"}).status_code == 401
        answer = made.get(f"/runs?where=epochs>1&token={_TOKEN}")
        assert answer.status_code == 303
        assert answer.headers["Location"] == "/runs?where=epochs%3E1"
        cookie = answer.headers["Set-Cookie"]
        assert _TOKEN not in cookie
        assert "HttpOnly" in cookie
        assert "samesite=strict" in cookie.lower()
        assert made.get("/runs").status_code == 200, "the client keeps the cookie"
        made.cookies.clear()
        bearer = {"Authorization": f"Bearer {_TOKEN}"}
        assert made.get("/api/v1/runs", headers=bearer).status_code == 200
        wrong = {"Authorization": "Bearer wrong"}
        assert made.get("/api/v1/runs", headers=wrong).status_code == 401
    with client(store) as made:
        assert made.get("/runs").status_code == 200, "without a token the rule is off"


def test_every_answer_has_its_limits(store: str) -> None:
    """Pages, files, JSON, refusals and faults: a strict policy, no sniffing, no frames."""
    with client(store) as made:
        made.app.state.context.close()  # type: ignore[attr-defined]
        for path in ("/runs", asset("page.css"), "/api/v1/runs", "/none", "/runs?where=("):
            headers = made.get(path).headers
            policy = headers["Content-Security-Policy"]
            assert "default-src 'self'" in policy
            assert "frame-ancestors 'none'" in policy
            assert "unsafe" not in policy
            assert headers["X-Content-Type-Options"] == "nosniff"
            assert headers["Referrer-Policy"] == "no-referrer"


def test_a_fault_shows_no_trace(
    store: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It is in the log; the page says that there is one, within all limits."""

    def broken(*_arguments: Any, **_more: Any) -> Any:
        raise RuntimeError("secret detail")

    monkeypatch.setattr("tracker.web.pages.runs.found_runs", broken)
    monkeypatch.setattr("tracker.query.listed_runs", broken)
    with client(store) as made:
        for path in ("/runs", "/api/v1/runs"):
            answer = made.get(path)
            assert answer.status_code == 500
            assert "secret detail" not in answer.text
            assert "Traceback" not in answer.text
            assert "Content-Security-Policy" in answer.headers
    assert "secret detail" in caplog.text


def test_texts_of_a_store_are_inert(tmp_path: Path) -> None:
    """Names, params, tags, notes and errors are escaped wherever a page shows them."""
    evil = "<script>alert(1)</script>'\"><img src=x onerror=alert(1)>"
    url = f"sqlite:///{tmp_path / 'runs.db'}"
    opened = connect_store(url, create=True)
    upgrade_store(opened)
    records = fit_stream(name=evil, params={evil: evil})
    opened.append(identity(evil[:60]), records, expected_seq=0)
    opened.close()
    with client(url) as made:
        for path in ("/runs", "/runs?view=charts", f"/runs?cols=name,params.`{evil}`"):
            text = made.get(path).text
            assert "<script>alert" not in text
            assert not re.search(r"<img[^>]*onerror", text)


def test_a_prefix_is_in_every_address(store: str) -> None:
    """Behind a proxy that strips it, and behind one that does not."""
    with client(store, prefix="/tracker") as made:
        for base in ("", "/tracker"):
            text = made.get(f"{base}/runs").text
            found = re.findall(r'(?:href|src|action|hx-get)="([^"]*)"', text)
            assert found
            assert all(one.startswith(("/tracker/", "#")) for one in found), found
            assert made.get(f"{base}/api/v1/runs").status_code == 200
            assert made.get(base + asset("page.css")).status_code == 200
        servers = made.get("/tracker/api/v1/openapi.json").json()["servers"]
        assert servers == [{"url": "/tracker/api/v1"}]


def test_addresses_that_others_see_need_a_token(store: str) -> None:
    """The command refuses to start there without; a short one is refused, too."""
    done = command("ui", "--host", "0.0.0.0", "--store", store, code=2)
    assert "--token" in done.stderr
    done = command("ui", "--token", "short", "--store", store, code=2)
    assert "16 characters" in done.stderr


def test_files_are_sent_as_they_are_and_kept(store: str) -> None:
    """Compressed for those who can have it; for ever under today's address only."""
    with client(store) as made:
        for name, path in (
            ("page.css", STATIC / "page.css"),
            ("vendor/uPlot.iife.min.js", VENDOR / "uPlot.iife.min.js"),
        ):
            for encoding in ("gzip", "identity", "gzip"):
                answer = made.get(asset(name), headers={"Accept-Encoding": encoding})
                assert answer.content == path.read_bytes()
                assert ("content-encoding" in answer.headers) == (encoding == "gzip")
                assert "Accept-Encoding" in answer.headers["vary"]
                assert "immutable" in answer.headers["cache-control"]
        old = made.get("/assets/0123456789ab/static/page.css")
        assert "immutable" not in old.headers.get("cache-control", "")
        for none in ("none.js", "../templates/base.html", "%2e%2e/templates/base.html"):
            assert made.get(asset(none)).status_code == 404
