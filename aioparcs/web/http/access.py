"""
The rules of access to the page: who may ask, from where, and what every answer says to the browser.

A browser sends requests to this server for any page that it shows, and for any name that resolves to this address. So a
request needs the name of this server, the origin of its own page, and a cookie that only a login by the token gives.
"""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable
from ipaddress import ip_address
from urllib.parse import urlsplit

from aiohttp import hdrs, web

from aioparcs.web.http.bodies import json_object
from aioparcs.web.http.listening import Listening

__all__ = ["Access", "Handler", "problem"]

_SAFE = frozenset({"GET", "HEAD"})
_LOGIN = "/api/login"
_METRICS = "/metrics"
_CLOSED = ("/api/", _METRICS)  # the beginnings of paths that need a login
_HEADERS = {
    "Content-Security-Policy": "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def problem(status: int, text: str) -> web.Response:
    """Return an answer that says what is wrong."""
    return web.json_response({"error": text}, status=status)


class Access:
    """
    The rules of one server.

    Args:
        listening: where the server listens.
        token: the token that its user is given.
        metrics_token: another one, which is good for metrics alone; None for none.
    """

    def __init__(self, listening: Listening, token: str, metrics_token: str | None = None) -> None:
        self._hosts = frozenset(host.lower().strip("[]") for host in listening.hosts)
        self._any_address = listening.any_address
        self._scheme = "https" if listening.tls else "http"
        self._token = token.encode()
        self._metrics_token = metrics_token.encode() if metrics_token else None
        # The token itself is not for the browser to keep; a server that gets the same one knows the session, too.
        self._session = hmac.digest(self._token, b"aioparcs session", "sha256").hex().encode()
        # Cookies are shared by all ports of a host: another server of this kind has one of its own.
        self._cookie = f"aioparcs-{listening.socket.getsockname()[1]}"

    @web.middleware
    async def middleware(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Answer a request by its handler, or say why not."""
        refusal = self._refusal(request)
        return refusal if refusal is not None else await handler(request)

    async def add_headers(self, _: web.Request, response: web.StreamResponse) -> None:
        """Add to an answer what the browser has to know of it."""
        for name, value in _HEADERS.items():
            response.headers.setdefault(name, value)
        response.headers.popall(hdrs.SERVER, None)

    async def login(self, request: web.Request) -> web.Response:
        """Return a session for a request that knows the token."""
        token = await _token_of(request)
        if token is None:
            return problem(400, 'the body has to be {"token": "..."}')
        if not self._is_token(token):
            return problem(403, "this is not the token of this server; use the address that it has printed last")
        answer = web.json_response({"ok": True})
        answer.set_cookie(
            self._cookie, self._session.decode(), httponly=True, samesite="Strict", secure=self._scheme == "https"
        )
        return answer

    def _refusal(self, request: web.Request) -> web.Response | None:
        if not self._is_own(request.headers.get(hdrs.HOST, "")):
            return problem(421, "this server is not known by that name; start it with --host NAME if it should be")
        if not request.path.startswith(_CLOSED):
            return None if request.method in _SAFE else problem(405, "there is nothing to change here")
        if not self._is_from_here(request):
            return problem(403, "only this server's own page may ask that")
        if request.path != _LOGIN and not self.is_known(request):
            return problem(401, "log in by the address that the server has printed, with its token")
        return None

    def _is_own(self, host: str) -> bool:
        """Return whether a request is meant for this server, and not for a name that has come to resolve to it."""
        try:
            name = (urlsplit(f"//{host}").hostname or "").lower()
        except ValueError:
            return False
        return name in self._hosts or (self._any_address and _is_address(name))

    def _is_from_here(self, request: web.Request) -> bool:
        """Return whether a request is of this server's page, or of no browser and changes nothing."""
        site, origin = request.headers.get("Sec-Fetch-Site"), request.headers.get(hdrs.ORIGIN)
        if site not in (None, "same-origin"):
            return False
        if origin is not None:
            return origin.lower() == f"{self._scheme}://{request.headers.get(hdrs.HOST, '')}".lower()
        return request.method in _SAFE

    def is_known(self, request: web.Request) -> bool:
        """Return whether a request has a session or a token."""
        kind, _, token = request.headers.get(hdrs.AUTHORIZATION, "").partition(" ")
        if kind.lower() == "bearer":
            return self._is_token(token.strip()) or (
                request.path == _METRICS
                and self._metrics_token is not None
                and _same(token.strip(), self._metrics_token)
            )
        return hmac.compare_digest(request.cookies.get(self._cookie, "").encode(errors="replace"), self._session)

    def _is_token(self, token: str) -> bool:
        return _same(token, self._token)


def _same(given: str, token: bytes) -> bool:
    return hmac.compare_digest(given.encode(errors="replace"), token)


async def _token_of(request: web.Request) -> str | None:
    """Return the token in the body of a request, None if there is none."""
    token = (await json_object(request)).get("token")
    return token if isinstance(token, str) else None


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True
