"""Who is let in, and what browsers are told about the page's limits.

The page only reads. What could still be done to it: another site in the user's browser may ask for
its data (DNS rebinding, cross-site requests), and a stranger in the network may. Each has its rule.
"""

from __future__ import annotations

import secrets
from hashlib import sha256
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qsl, urlencode, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tracker.web.problems import fault, problem
from tracker.web.settings import Settings
from tracker.web.templating import route_path

COOKIE = "tracker_ui"

#: Nothing of any other host, nothing inline, in nobody's frame.
_HEADERS = {
    "Content-Security-Policy": "default-src 'self'; base-uri 'none'; form-action 'self'; "
    "frame-ancestors 'none'; object-src 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}


class Guard:
    """Middleware around everything that the server answers."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self._app, self._settings = app, settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer in the application's place, or let it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        started = False

        async def send_with_headers(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        prefix = self._settings.prefix
        if prefix and (scope["path"] + "/").startswith(f"{prefix}/"):
            scope["root_path"] = prefix  # the proxy has left it in the path
        answer = self._refusal(scope)
        try:
            await (answer or self._app)(scope, receive, send_with_headers)
        except Exception as error:
            if started:
                raise
            await fault(scope, error)(scope, receive, send_with_headers)

    def _refusal(self, scope: Scope) -> Response | None:
        headers = Headers(scope=scope)
        path = route_path(scope)
        if _name(headers.get("host", "")) not in self._settings.hosts:
            return problem(
                scope, 421, "Unknown host",
                "This server is not called by that name. Start it with --allow-host NAME if it "
                "should be.",
            )  # fmt: skip
        if scope["method"] not in ("GET", "HEAD"):
            answer = problem(scope, 405, "Method not allowed", "This page only reads.")
            answer.headers["Allow"] = "GET, HEAD"
            return answer
        if _is_foreign(headers):
            return problem(scope, 403, "Forbidden", "Another site asked for this. It gets nothing.")
        if self._settings.token is None:
            return None
        return self._stranger(scope, headers, path)

    def _stranger(self, scope: Scope, headers: Headers, path: str) -> Response | None:
        """The answer to those without the token; None for those who have it."""
        token = self._settings.token or ""
        query = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        given = [value for name, value in query if name == "token"]
        if given and _same(given[0], token):
            rest = urlencode([pair for pair in query if pair[0] != "token"])
            answer = RedirectResponse(
                self._settings.prefix + path + (f"?{rest}" if rest else ""), status_code=303
            )
            answer.set_cookie(
                COOKIE, cookie_value(token), path=self._settings.prefix or "/",
                httponly=True, samesite="strict", secure=scope["scheme"] == "https",
            )  # fmt: skip
            return answer
        scheme, _, bearer = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and _same(bearer.strip(), token):
            return None
        if _same(_cookie(headers), cookie_value(token)):
            return None
        refused = problem(
            scope, 401, "Not let in",
            "Open the address with the token that the server printed when it was started; "
            "programs send it as Authorization: Bearer TOKEN.",
        )  # fmt: skip
        refused.headers["WWW-Authenticate"] = "Bearer"
        return refused


def cookie_value(token: str) -> str:
    """What a browser keeps: it tells the token to nobody."""
    return sha256(f"tracker ui {token}".encode()).hexdigest()


def _cookie(headers: Headers) -> str:
    try:
        found = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
    except CookieError:
        return ""
    return found.value if found else ""


def _same(given: str, right: str) -> bool:
    return secrets.compare_digest(given.encode(), right.encode())


def _name(host: str) -> str:
    """A Host header without its port."""
    if host.startswith("["):
        return host.partition("]")[0].lower() + "]"
    return host.rpartition(":")[0].lower() if ":" in host else host.lower()


def _is_foreign(headers: Headers) -> bool:
    """Whether a page of another origin asked, other than by a link to a page of ours."""
    origin = headers.get("origin")
    if origin is not None and urlsplit(origin).netloc.lower() != headers.get("host", "").lower():
        return True
    if headers.get("sec-fetch-site", "none") in ("none", "same-origin"):
        return False
    return not (
        headers.get("sec-fetch-mode") == "navigate" and headers.get("sec-fetch-dest") == "document"
    )
