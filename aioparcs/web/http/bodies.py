"""The bodies of requests."""

from __future__ import annotations

from typing import Any

from aiohttp import ClientPayloadError, web
from aiohttp.http_exceptions import BadHttpMessage

__all__ = ["json_object"]

# no JSON; no such charset; too deep for the parser; no such compression, or not compressed at all
_ERRORS = (ValueError, LookupError, RecursionError, ClientPayloadError, web.RequestPayloadError, BadHttpMessage)


async def json_object(request: web.Request) -> dict[str, Any]:
    """Return the JSON object in the body of a request, an empty one if the body is none."""
    try:
        value = await request.json()
    except _ERRORS:
        return {}
    return value if isinstance(value, dict) else {}
