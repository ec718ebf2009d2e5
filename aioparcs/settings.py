"""
Settings: every limit and every deadline, read once from the environment.

A setting ``start_timeout`` is read from ``PARCS_START_TIMEOUT``. Sizes are in bytes and may carry a unit
(``64k``, ``16m``, ``2g``: powers of 1024); times are in seconds.
"""

import os
from collections.abc import Mapping
from typing import NamedTuple, Self

from aioparcs.errors import SettingError

__all__ = [
    "CONTROL",
    "EXTENSIONS",
    "FIRST_CONTROL",
    "FIRST_EXTENSIONS",
    "MAX_BUFFER_COUNT",
    "VARIABLES",
    "VERSION",
    "Settings",
    "misspelt",
    "parse_size",
]

# Said once: the package's metadata reads it from here.
VERSION = "0.1.0"

KIB = 1 << 10
MIB = 1 << 20
GIB = 1 << 30
# Buffers in one frame. Part of the wire format, so no setting: both sides must agree.
MAX_BUFFER_COUNT = 4096
# The highest extension of values that every peer knows, and the highest that this program knows; see docs/wire.md.
FIRST_EXTENSIONS, EXTENSIONS = 5, 9
# The highest type of frames of control connections: what a launcher knows that doesn't say, and this one.
FIRST_CONTROL, CONTROL = 25, 29


class Settings(NamedTuple):
    """
    The limits and deadlines of one program.

    Attributes:
        max_body: bytes that one frame's body may have.
        max_buffers: bytes that the buffers of one message may have together.
        send_queue: bytes that wait in this process before ``send`` waits for room.
        receive_queue: bytes that wait unread before the channel stops reading.
        receive_budget: bytes that large messages of all channels may hold together that have arrived, whole or in part,
            and were not received.
        handshake_timeout: seconds for a handshake, dialling included on the listener's side.
        max_unauthenticated: connections that may be in their handshake at once, but never more than a quarter of the
            files that the process may have open.
        connect_timeout: seconds for dialling, all tries together; four times as many while the network has no route to
            the host.
        start_timeout: seconds from the request for a worker until it is connected.
        liveness: seconds after which a silent launcher, or host, counts as lost.
        close_timeout: seconds that a graceful end may take before it becomes an abrupt one.
        last_lines: lines of a worker's output that its ``WorkerLost`` quotes.
        log_queue: lines of output that a launcher holds for its runner; further lines are counted and dropped.
        max_depth: how many generations of workers a job may have: those that its runner starts are the first.
        max_spawned: workers started by services, not by the runner, that a job may have at once.
    """

    max_body: int = 256 * MIB
    max_buffers: int = 4 * GIB
    send_queue: int = 1 * MIB
    receive_queue: int = 4 * MIB
    receive_budget: int = 4 * GIB
    handshake_timeout: float = 10.0
    max_unauthenticated: int = 1024
    connect_timeout: float = 10.0
    start_timeout: float = 60.0
    liveness: float = 30.0
    close_timeout: float = 10.0
    last_lines: int = 20
    log_queue: int = 10_000
    max_depth: int = 8
    max_spawned: int = 1000

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None) -> Self:
        """
        Read the settings that the environment names; the others have their defaults.

        Args:
            environ: the environment; that of this process by default.

        Raises:
            SettingError: a value is not a positive number or size.
        """
        environ = os.environ if environ is None else environ
        values: dict[str, int | float] = {}
        for name, default in cls._field_defaults.items():
            text = environ.get(f"PARCS_{name.upper()}")
            if text is not None:
                values[name] = _parse(f"PARCS_{name.upper()}", text, type(default))
        return cls._make(values.get(name, default) for name, default in cls._field_defaults.items())

    def check(self) -> None:
        """
        Raise an error if a value is impossible.

        Raises:
            TypeError: a value is not a number, or a size is not a whole one.
            SettingError: a value is not positive, or infinite.
        """
        for name, default in self._field_defaults.items():
            value, kind = getattr(self, name), type(default)
            expected = _EXPECTED[kind]
            if isinstance(value, bool) or not isinstance(value, int | kind):
                raise TypeError(f"Settings({name}={value!r}): it must be {expected}")
            if not 0 < value < float("inf"):
                raise SettingError(f"Settings({name}={value!r}): it must be {expected}")

    def to_env(self) -> dict[str, str]:
        """Return the variables that `from_env` reads, for what isn't the default."""
        defaults = self._field_defaults
        return {f"PARCS_{name.upper()}": str(v) for name, v in self._asdict().items() if v != defaults[name]}


_EXPECTED = {int: "a positive whole number", float: "a positive number of seconds"}
# Every variable of aioparcs by its name behind PARCS_; see docs/settings.md.
VARIABLES = frozenset(name.upper() for name in Settings._fields) | {
    *(
        "MODULES",
        "ENGINE",
        "PROGRESS",
        "RECORD",
        "HISTORY",
        "UI",
        "NETWORK",
        "ADVERTISE",
        "REGISTRY",
        "BASE_IMAGE",
        "WHEELS",
    ),
    *("RUN", "IMAGES", "ENVIRONMENT", "EVENTS", "FILES", "PROGRAM_IMAGE", "PROGRAM_VARIABLES"),
    *("RUNNER", "JOB", "SLOT", "FIRST_SLOT", "PLACE", "PEERS", "TOKEN_FD", "TOKEN_FILE", "SOURCES_FD"),
    *("TARGET", "PATH", "TERMINAL", "THREADS", "SECRETS_FD"),
}


def misspelt(environ: Mapping[str, str]) -> list[str]:
    """
    Return the variables whose names are nearly those of aioparcs, and so do nothing.

    Returns:
        A line for each of them, with the name that it was probably meant to be.
    """
    unknown = [name for name in environ if name.startswith("PARCS_") and name[6:] not in VARIABLES]
    if not unknown:
        return []
    from difflib import get_close_matches

    near = {name: get_close_matches(name[6:].upper(), VARIABLES, 1, 0.8) for name in sorted(unknown)}
    return [f"{name} is not a setting; did you mean PARCS_{match[0]}?" for name, match in near.items() if match]


def parse_size(text: str) -> int:
    """
    Read a size: bytes, or with a unit k, m, g or t (powers of 1024; ``64k``, ``1.5g``, ``512mib``).

    Raises:
        ValueError: the text is not a positive size.
    """
    number = text.strip().lower().removesuffix("b").removesuffix("i")
    power = "kmgt".find(number[-1:]) + 1 if number else 0
    size = float(number[:-1] if power else number) * 1024**power
    if not 1 <= size < float("inf"):
        raise ValueError(text)
    return int(size)


def _parse(name: str, text: str, kind: type) -> int | float:
    try:
        value = parse_size(text) if kind is int else float(text)
        if not 0 < value < float("inf"):
            raise ValueError(text)
    except ValueError:
        what = "a positive size or number such as 64m" if kind is int else "a positive number of seconds"
        raise SettingError(f"{name}={text!r} is not {what}") from None
    return value
