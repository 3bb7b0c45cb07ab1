"""The harness of browser tests sees what it is there to see."""

from __future__ import annotations

import pytest
from playwright.sync_api import Browser, Page
from starlette.applications import Starlette
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from tests.browser import axe, served, watched

_BAD = (
    "<!doctype html><html lang=en><title>x</title><main><h1>x</h1><img src='/none.png'>"
    "<img alt='' src='http://localhost:1/x.png'><script>undefined_name()</script></main>"
)
_GOOD = "<!doctype html><html lang=en><title>x</title><main><h1>x</h1></main>"


def _app() -> Starlette:
    return Starlette(
        routes=[
            Route("/bad", lambda _request: HTMLResponse(_BAD)),
            Route("/good", lambda _request: HTMLResponse(_GOOD)),
            Route("/favicon.ico", lambda _request: Response()),
        ]
    )


def test_what_is_wrong_with_a_page_is_seen(browser: Browser) -> None:
    """Errors of scripts, files that are missing, requests to other hosts, images without text."""
    made = browser.new_context().new_page()
    found = watched(made)
    with served(_app()) as url:
        made.goto(f"{url}/bad", wait_until="networkidle")
        assert any("image-alt" in one for one in axe(made))
        made.context.close()
    with pytest.raises(AssertionError, match="undefined_name"):
        found.check()
    assert any("404" in one for one in found.errors)
    assert found.foreign == ["http://localhost:1/x.png"]
    found.errors.clear()
    with pytest.raises(AssertionError, match="localhost:1"):
        found.check()


def test_a_good_page_passes(page: Page) -> None:
    """Nothing is wrong with it."""
    with served(_app()) as url:
        page.goto(f"{url}/good")
        assert axe(page) == []
