"""Requests to the server of the page, as a program makes them with its token."""

import json
from typing import Any
from urllib.parse import parse_qs, urlsplit
from urllib.request import Request, urlopen

__all__ = ["ask"]


def ask(address: str, path: str, body: Any = None) -> Any:
    """Return the JSON of an answer, or of the first event of a stream."""
    parts = urlsplit(address)
    origin = f"{parts.scheme}://{parts.netloc}"
    headers = {"Authorization": f"Bearer {parse_qs(parts.fragment)['token'][0]}", "Origin": origin}
    data = None if body is None else json.dumps(body).encode()
    with urlopen(Request(origin + path, data, headers), timeout=60) as answer:
        if answer.headers.get_content_type() != "text/event-stream":
            return json.loads(answer.read())
        answer.readline()
        return json.loads(answer.readline().removeprefix(b"data: "))
