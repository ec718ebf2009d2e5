"""The keys of hosts in known_hosts, and accepting those of new hosts. Needs the extra ``ssh``."""

from __future__ import annotations

import os
from pathlib import Path

import asyncssh

__all__ = ["NewKey"]

_PORT = 22


class NewKey(asyncssh.SSHClient):
    """
    A client of ssh that accepts the key of a host of which none is known, and no other one that is not known.

    Args:
        files: known_hosts; none for the user's own.

    Attributes:
        accepted: the fingerprint of the key that was accepted, "" if the host's was known.
    """

    def __init__(self, files: list[str]) -> None:
        own = Path("~/.ssh/known_hosts").expanduser()
        found = [file for file in files or [str(own)] if os.path.exists(file)]
        self.known = asyncssh.read_known_hosts(found) if found else asyncssh.import_known_hosts("")
        self.accepted = ""
        self._file = Path(files[0]) if files else own
        self._line = ""

    def knows(self, host: str, port: int, address: str = "") -> bool:
        """Return whether a key of a host is known, by its name or its address; 0 is ssh's own port."""
        return any(self.known.match(host, address, None if port in (0, _PORT) else port))

    def validate_host_public_key(self, host: str, addr: str, port: int, key: asyncssh.SSHKey) -> bool:
        """Accept a key if no other one of its host is known, by its name or its address."""
        if self.knows(host, port, addr):
            return False
        name = host if port == _PORT else f"[{host}]:{port}"
        self._line = f"{name} {key.export_public_key().decode().strip()}\n"
        self.accepted = key.get_fingerprint()
        return True

    def record(self) -> None:
        """Append the accepted key to known_hosts, which is created where it is missing."""
        self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with open(self._file, "a+", opener=lambda path, flags: os.open(path, flags, 0o600)) as known:
            known.seek(0)
            text = known.read()
            known.write(self._line if not text or text.endswith("\n") else f"\n{self._line}")
