"""The secrets of a job: bytes that its programs read by name, and that no environment, command line or log contains."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping

from aioparcs.errors import SettingError

__all__ = [
    "FOLDER",
    "RESERVED",
    "check_name",
    "give_secrets",
    "given_secrets",
    "pass_secrets",
    "read_secrets",
    "secret",
]

FOLDER = "/run/secrets"
"""Where Docker shows secrets to containers, as files."""
RESERVED = ("parcs_token", "docker")
"""Names in that folder which secrets of users can't have."""
# With a name of the job before it, which Docker allows 64 characters in all.
_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9_.-]{0,38}[A-Za-z0-9])?")
_MOST = 500 * 1024 - 1  # bytes of one, on a Swarm and so anywhere

_given: dict[str, bytes] = {}  # to this process; a worker that was forked has those of its launcher


def secret(name: str) -> bytes:
    """
    Return a secret of this job, in any of its programs: what ``aioparcs run --secret NAME=FILE`` has read.

    Workers also get what ``Runner(secrets=...)`` names. In a container it is the file ``/run/secrets/NAME``.

    Args:
        name: its name.

    Raises:
        SettingError: there is none of that name; says which there are.
    """
    check_name(name)
    given = given_secrets()
    if name in given:
        return given[name]
    try:
        with open(f"{FOLDER}/{name}", "rb") as file:
            return file.read()
    except FileNotFoundError:
        there = ", ".join(sorted({*given, *_mounted()})) or "none"
        advice = f"give it to the job: aioparcs run --secret {name}=FILE, or Runner(secrets={{{name!r}: ...}})"
        raise SettingError(f"there is no secret {name!r} here; there are: {there}; {advice}") from None
    except OSError as error:
        raise SettingError(f"the secret {name!r} can't be read: {error}") from error


def read_secrets(values: Mapping[str, bytes | os.PathLike[str]]) -> dict[str, bytes]:
    """
    Return secrets by name, from bytes or from files.

    Raises:
        SettingError: a name or a size is impossible, a file can't be read, or a value is neither.
    """
    if not isinstance(values, Mapping):
        raise SettingError("secrets=: it must be a dict of names, and bytes or paths of files")
    return {check_name(name): _read(name, value) for name, value in values.items()}


def check_name(name: object) -> str:
    """Return the name of a secret; raise a `SettingError` if there can't be one of that name."""
    if not isinstance(name, str) or not _NAME.fullmatch(name) or name in RESERVED:
        rule = f"at most 40 letters and digits, with . _ - between them, and not {' or '.join(RESERVED)}"
        raise SettingError(f"{name!r:.80} can't be the name of a secret: {rule}")
    return name


def _read(name: str, value: bytes | os.PathLike[str]) -> bytes:
    """Return the content of a secret; no message shows it."""
    if isinstance(value, os.PathLike):
        try:
            with open(value, "rb") as file:
                value = file.read(_MOST + 1)
        except OSError as error:
            raise SettingError(f"the secret {name!r} can't be read: {error}") from error
    if not isinstance(value, bytes):
        raise SettingError(f"the secret {name!r} must be bytes, or the Path of a file, not {type(value).__name__}")
    if not 0 < len(value) <= _MOST:
        size = f"more than {_MOST} bytes" if value else "empty"
        raise SettingError(f"the secret {name!r} is {size}: a Swarm takes 1 to {_MOST} bytes")
    return value


def _mounted() -> list[str]:
    try:
        return [entry for entry in os.listdir(FOLDER) if entry not in RESERVED]
    except OSError:
        return []


def give_secrets(secrets: Mapping[str, bytes]) -> None:
    """Add secrets to those of this process: `secret` returns them here, and its runners give them to their workers."""
    _given.update(secrets)


def given_secrets() -> Mapping[str, bytes]:
    """Return the secrets of this process, also those in the descriptor that the environment names, which is closed."""
    descriptor = os.environ.pop("PARCS_SECRETS_FD", None)
    if descriptor is not None:
        import json  # few programs have secrets

        with open(int(descriptor), "rb") as file:
            _given.update({name: bytes.fromhex(text) for name, text in json.load(file).items()})
    return _given


def pass_secrets(secrets: Mapping[str, bytes]) -> int:
    """Write secrets into memory that the one process that inherits it reads, by the descriptor in PARCS_SECRETS_FD."""
    import json

    descriptor = os.memfd_create("secrets")
    with open(descriptor, "wb", closefd=False) as file:
        file.write(json.dumps({name: value.hex() for name, value in secrets.items()}).encode())
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor
