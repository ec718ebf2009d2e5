"""The keys of hosts in known_hosts, and accepting those of new hosts. Needs the extra ``ssh``."""

from __future__ import annotations

import os
from pathlib import Path

import asyncssh

__all__ = ["NewKey"]

_PORT = 22


class NewKey(asyncssh.SSHClient):
    """
    A client of ssh that can accept the key of a host of which none is known, and no other one that is not known.

    Args:
        files: known_hosts; none for the user's own.
        accept_new: accept such a key.

    Attributes:
        file: where the accepted key is recorded.
        known_as: the names under which known_hosts has other keys of the host than that which was refused.
        accepted: the fingerprint of the key that was accepted, "" if the host's was known.
    """

    def __init__(self, files: list[str], *, accept_new: bool) -> None:
        own = Path("~/.ssh/known_hosts").expanduser()
        found = [file for file in files or [str(own)] if os.path.exists(file)]
        self.known = asyncssh.read_known_hosts(found) if found else asyncssh.import_known_hosts("")
        self.accepted = ""
        self.known_as: list[str] = []
        self._accept_new = accept_new
        self.file = Path(files[0]) if files else own
        self._line = ""

    def names(self, host: str, port: int, address: str = "") -> list[str]:
        """Return the names under which a host's keys are known: with its port, or else without; 0 is ssh's own port."""
        own = [name for name in dict.fromkeys((host, address)) if name]
        with_port = [] if port in (0, _PORT) else [f"[{name}]:{port}" for name in own]
        return self._recorded(with_port) or self._recorded(own)

    def validate_host_public_key(self, host: str, addr: str, port: int, key: asyncssh.SSHKey) -> bool:
        """Accept a new key, if that is wanted and no other one of its host is known, by its name or its address."""
        self.known_as = self.names(host, port, addr)
        if self.known_as or not self._accept_new:
            return False
        name = host if port == _PORT else f"[{host}]:{port}"
        self._line = f"{name} {key.export_public_key().decode().strip()}\n"
        self.accepted = key.get_fingerprint()
        return True

    def record(self) -> None:
        """Append the accepted key to known_hosts, which is created where it is missing."""
        self.file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with open(self.file, "a+", opener=lambda path, flags: os.open(path, flags, 0o600)) as known:
            known.seek(0)
            text = known.read()
            known.write(self._line if not text or text.endswith("\n") else f"\n{self._line}")

    def _recorded(self, names: list[str]) -> list[str]:
        return [name for name in names if any(self.known.match(name, "", None))]
