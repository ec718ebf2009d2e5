"""
The bytes of the handshake: both sides' HELLO, and proof that both know the job's token. No I/O, no clock.

Each side sends `MAGIC` and a HELLO frame, then an AUTH frame whose body is
HMAC-SHA256(token, role + SHA-256(all that both sent before)): the dialler's magic and HELLO, then the listener's,
and for the listener's own proof, which comes last, the dialler's AUTH frame too. So no side's proof serves as the
other's.
"""

from __future__ import annotations

import hashlib
import hmac
import os
from typing import Any, NamedTuple

import msgpack

from aioparcs.errors import HandshakeError
from aioparcs.settings import CONTROL, EXTENSIONS, FIRST_CONTROL, FIRST_EXTENSIONS, Settings
from aioparcs.settings import VERSION as RELEASE

__all__ = [
    "MAGIC",
    "MAX_HANDSHAKE_FRAME",
    "NONCE_SIZE",
    "TOKEN_SIZE",
    "VERSION",
    "Hello",
    "Role",
    "new_nonce",
    "proof",
    "read_memory",
    "unexpected",
    "verify",
]

# Eight bytes that no HTTP client, no TLS client and no PARCS version 1 peer begins with.
MAGIC = b"PARCS\r\n\x00"
VERSION = 2
_VERSIONS = VERSION, VERSION
NONCE_SIZE = 32
TOKEN_SIZE = 32
SECRET_SIZE = 16
# Bytes that a frame may have before its sender has proved who it is.
MAX_HANDSHAKE_FRAME = 4096


class Role:
    """The role of the sender of a HELLO."""

    RUNNER = "runner"
    LAUNCHER = "launcher"
    WORKER = "worker"
    PEER = "peer"
    RELAY = "relay"
    PARENT = "parent"  # a worker again, about the workers that it starts itself


_ROLES = {value for name, value in vars(Role).items() if name.isupper()}
_LONGEST_ROLE = 20  # characters of one that doesn't exist


class Hello(NamedTuple):
    """
    The first message of each side. Its format never changes; unknown keys are ignored.

    Attributes:
        role: a `Role`.
        job: the job's name.
        worker: the number of the worker, the peer or the parent; a launcher's slot; -1 for the runner.
        nonce: 32 random bytes.
        agent: the program and its version, for people.
        max_body: bytes that this side accepts in a frame's body.
        max_buffers: bytes of buffers that this side accepts in one message.
        versions: the lowest and the highest version of the wire that this side speaks.
        relays: whether it takes messages that come another way, and passes them on.
        extensions: the highest extension of values that this side decodes.
        files: whether it is a launcher that takes files.
        control: the highest type of frames of control connections that this side knows, if it is a launcher.
        tracing: whether it reads the trace context of calls.
        memory: how its shared memory is reached: a process, a descriptor of it, and the secret behind that; or None.
        welcome: the body of the listener's WELCOME, which is no part of its HELLO.
    """

    role: str
    job: str
    worker: int
    nonce: bytes
    agent: str
    max_body: int
    max_buffers: int
    versions: tuple[int, int] = _VERSIONS
    relays: bool = False
    extensions: int = FIRST_EXTENSIONS
    files: bool = False
    control: int = FIRST_CONTROL
    tracing: bool = False
    memory: tuple[int, int, bytes] | None = None
    welcome: bytes = b""

    @classmethod
    def of(cls, role: str, job: str, worker: int, settings: Settings) -> Hello:
        """Return the HELLO of this program, with a nonce of this connection's own."""
        agent, limits = f"aioparcs/{RELEASE}", (settings.max_body, settings.max_buffers)
        is_worker, is_launcher = role == Role.WORKER, role == Role.LAUNCHER
        return cls(
            *(role, job, worker, new_nonce(), agent, *limits),
            relays=is_worker,
            extensions=EXTENSIONS,
            files=is_launcher,
            control=CONTROL if is_launcher else FIRST_CONTROL,
            tracing=is_worker,
        )

    def encode(self) -> bytes:
        """Return the body of the HELLO frame, a MessagePack map."""
        return msgpack.packb(
            {
                "versions": self.versions,
                "role": self.role,
                "job": self.job,
                "worker": self.worker,
                "nonce": self.nonce,
                "agent": self.agent,
                "limits": {"body": self.max_body, "buffers": self.max_buffers},
                **({"relays": True} if self.relays else {}),
                **({"extensions": self.extensions} if self.extensions != FIRST_EXTENSIONS else {}),
                **({"files": True} if self.files else {}),
                **({"control": self.control} if self.control != FIRST_CONTROL else {}),
                **({"tracing": True} if self.tracing else {}),
                **({"memory": self.memory} if self.memory else {}),
            }
        )

    @classmethod
    def decode(cls, body: bytes) -> Hello:
        """
        Read a HELLO frame's body.

        Raises:
            HandshakeError: it is not one, or it speaks no version that this side speaks.
        """
        try:
            values = msgpack.unpackb(body)
            low, high = values["versions"]
            limits = values["limits"]
            hello = cls(
                _typed(values["role"], str),
                _typed(values["job"], str),
                _typed(values["worker"], int),
                _typed(values["nonce"], bytes),
                _typed(values["agent"], str)[:200],
                _typed(limits["body"], int),
                _typed(limits["buffers"], int),
                (_typed(low, int), _typed(high, int)),
                values.get("relays") is True,
                _typed(values.get("extensions", FIRST_EXTENSIONS), int),
                values.get("files") is True,
                _typed(values.get("control", FIRST_CONTROL), int),
                values.get("tracing") is True,
                read_memory(values.get("memory")),
            )
        except (ValueError, TypeError, KeyError, msgpack.UnpackException) as error:
            raise HandshakeError("the peer's HELLO can't be read") from error
        if len(hello.nonce) != NONCE_SIZE:
            raise HandshakeError(f"the peer's nonce has {len(hello.nonce)} bytes instead of {NONCE_SIZE}")
        if not hello.versions[0] <= VERSION <= hello.versions[1]:
            raise HandshakeError(
                f"the peer ({hello.agent!r}) speaks wire versions {low} to {high}, this program speaks {VERSION}"
            )
        return hello


def unexpected(peer: Hello) -> str:
    """Return the reason for refusing a peer whose role and number are not expected; both may be any text."""
    role = peer.role if peer.role in _ROLES else f"role {peer.role[:_LONGEST_ROLE]!r}, number"
    return f"unexpected {role} {peer.worker}"


def new_nonce() -> bytes:
    """Return 32 random bytes that make this handshake unlike every other."""
    return os.urandom(NONCE_SIZE)


def proof(token: bytes, role: str, transcript: bytes) -> bytes:
    """
    Return the body of an AUTH frame.

    Args:
        token: the job's 32-byte token.
        role: the role of the side that proves.
        transcript: the dialler's magic and HELLO frame, then the listener's, as they were sent; for the listener's
            proof, behind them, the dialler's AUTH frame.
    """
    return hmac.digest(token, role.encode() + hashlib.sha256(transcript).digest(), "sha256")


def verify(token: bytes, role: str, transcript: bytes, body: bytes) -> bool:
    """Return True if ``body`` is the peer's `proof`; the comparison takes constant time."""
    return hmac.compare_digest(proof(token, role, transcript), body)


def read_memory(value: Any) -> tuple[int, int, bytes] | None:
    """Return how memory is reached; None for whatever is no such thing."""
    kinds = [type(field) for field in value] if type(value) is list else []
    if kinds != [int, int, bytes] or min(value[:2]) < 0 or len(value[2]) != SECRET_SIZE:
        return None
    return value[0], value[1], value[2]


def _typed(value: Any, kind: type) -> Any:
    if type(value) is not kind:
        raise TypeError(f"{type(value).__name__} instead of {kind.__name__}")
    return value
