"""
The address of a listener, as it travels in an environment variable or in a message.

The text form is a URL: ``tcp://10.0.1.7:41234`` or ``unix:@name`` (a name in Linux's abstract namespace, which
leaves no file behind); ``?worker=3&cert=<sha256 in hex>`` may follow.
"""

from __future__ import annotations

from typing import NamedTuple
from urllib.parse import parse_qsl, urlencode, urlsplit

from aioparcs.errors import SettingError

__all__ = ["ORIGINAL_PORT", "Address"]

ORIGINAL_PORT = 4444  # where services of the original PARCS listen


class Address(NamedTuple):
    """
    The address of a listener.

    Attributes:
        scheme: ``tcp`` or ``unix``.
        host: a host name or IP address; for ``unix`` the socket's abstract name behind an ``@``.
        port: the TCP port, 0 to have one chosen, and 0 for ``unix``.
        worker: the number of the worker that listens there, -1 for none.
        fingerprint: SHA-256 of the listener's certificate in hex, "" for a connection without TLS.
    """

    scheme: str
    host: str
    port: int = 0
    worker: int = -1
    fingerprint: str = ""

    @classmethod
    def parse(cls, text: str) -> Address:
        """
        Read the text form.

        Raises:
            SettingError: the text is not an address.
        """
        try:
            parts = urlsplit(text)
            query = dict(parse_qsl(parts.query))
            worker, fingerprint = int(query.get("worker", -1)), query.get("cert", "")
            if parts.scheme == "tcp" and parts.hostname and parts.port is not None:
                return cls("tcp", parts.hostname, parts.port, worker, fingerprint)
        except ValueError:
            raise SettingError(f"not an address: {text!r}") from None
        if parts.scheme == "unix" and parts.path.startswith("@"):
            return cls("unix", parts.path, 0, worker, fingerprint)
        raise SettingError(f"not an address: {text!r}; one looks like tcp://10.0.1.7:41234 or unix:@name")

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        text = f"tcp://{host}:{self.port}" if self.scheme == "tcp" else f"unix:{self.host}"
        more = {}
        if self.worker >= 0:
            more["worker"] = str(self.worker)
        if self.fingerprint:
            more["cert"] = self.fingerprint
        return f"{text}?{urlencode(more)}" if more else text
