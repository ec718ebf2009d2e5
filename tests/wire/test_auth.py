import hashlib
import hmac
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aioparcs import HandshakeError, ProtocolError
from aioparcs.auth import (
    MAGIC,
    MAX_HANDSHAKE_FRAME,
    NONCE_SIZE,
    TOKEN_SIZE,
    VERSION,
    Hello,
    Role,
    new_nonce,
    proof,
    verify,
)
from aioparcs.settings import FIRST_EXTENSIONS
from aioparcs.wire import Decoder, FrameType, decode_header, encode_header
from tests.support.notation import Vector, each, expand, load
from tests.support.strategies import mutated, property_test

_vectors = load("handshake")
_whole = [vector for vector in _vectors if "steps" in vector]
_read = [vector for vector in _vectors if "hello" in vector and "says" not in vector]
_refused = [vector for vector in _vectors if "says" in vector]

_hellos = st.builds(
    Hello,
    st.sampled_from([Role.RUNNER, Role.LAUNCHER, Role.WORKER]),
    st.text(max_size=20),
    st.integers(-1, 10_000),
    st.binary(min_size=NONCE_SIZE, max_size=NONCE_SIZE),
    st.text(max_size=200),
    st.integers(1, 2**48),
    st.integers(1, 2**63),
    st.tuples(st.integers(1, VERSION), st.integers(VERSION, 99)),
    relays=st.booleans(),
    extensions=st.integers(0, 99),
    control=st.integers(0, 99),
    tracing=st.booleans(),
    memory=st.none() | st.tuples(st.integers(0, 2**31), st.integers(0, 2**31), st.binary(min_size=16, max_size=16)),
    welcome=st.just(b""),
)


def hello_of(noted: dict[str, Any]) -> Hello:
    return Hello(
        noted["role"],
        noted["job"],
        noted["worker"],
        bytes.fromhex(noted["nonce"]),
        noted["agent"],
        noted["body"],
        noted["buffers"],
        (noted["versions"][0], noted["versions"][1]),
    )


def frame(type: int, body: bytes = b"") -> bytes:
    return encode_header(type, len(body)) + body


# The vectors


@each(_whole)
def test_the_handshake_is_what_its_vector_says(vector: Vector) -> None:
    token, dialler, listener = bytes.fromhex(vector["token"]), hello_of(vector["dialler"]), hello_of(vector["listener"])
    first = MAGIC + frame(FrameType.HELLO, dialler.encode())
    second = MAGIC + frame(FrameType.HELLO, listener.encode())
    third = frame(FrameType.AUTH, proof(token, dialler.role, first + second))
    fourth = frame(FrameType.AUTH, proof(token, listener.role, first + second + third))
    steps = [("dialler", first), ("listener", second), ("dialler", third), ("listener", fourth)]
    steps.append(("listener", frame(FrameType.WELCOME)))
    assert [(side, data.hex()) for side, data in steps] == [(step["from"], step["bytes"]) for step in vector["steps"]]


@each(_whole)
def test_the_proofs_can_be_made_without_this_package(vector: Vector) -> None:
    first, second, third, fourth, _ = (bytes.fromhex(step["bytes"]) for step in vector["steps"])
    for role, sent, before in ((b"worker", third, first + second), (b"runner", fourth, first + second + third)):
        mac = hmac.new(bytes.fromhex(vector["token"]), role + hashlib.sha256(before).digest(), hashlib.sha256).digest()
        assert sent == bytes.fromhex("0b00000000000020") + mac


@each(_whole)
def test_the_hello_frames_of_the_vector_are_decoded(vector: Vector) -> None:
    for step, side in zip(vector["steps"][:2], ("dialler", "listener"), strict=True):
        data = bytes.fromhex(step["bytes"])
        assert data.startswith(MAGIC)
        type, flags, size = decode_header(data[8:16])
        assert (type, flags, size) == (FrameType.HELLO, 0, len(data) - 16)
        assert size <= MAX_HANDSHAKE_FRAME
        assert Hello.decode(data[16:]) == hello_of(vector[side])


@each(_read)
def test_a_hello_is_read(vector: Vector) -> None:
    hello = Hello.decode(expand(vector["hello"]))
    assert (hello.role, hello.extensions) == (Role.WORKER, vector.get("extensions", FIRST_EXTENSIONS))
    assert hello.tracing is vector.get("tracing", False)
    pid, fd, secret = vector.get("memory", (0, 0, ""))
    assert hello.memory == ((pid, fd, bytes.fromhex(secret)) if secret else None)


@each(_refused)
def test_a_hello_is_refused(vector: Vector) -> None:
    with pytest.raises(HandshakeError, match=vector["says"]):
        Hello.decode(expand(vector["hello"]))


# Any greeting


@pytest.mark.slow
@property_test
@given(_hellos)
def test_any_hello_comes_back_and_fits_a_handshake_frame(hello: Hello) -> None:
    body = hello.encode()
    assert Hello.decode(body) == hello
    assert len(body) <= MAX_HANDSHAKE_FRAME


@pytest.mark.slow
@property_test
@given(mutated(_hellos.map(Hello.encode)) | st.binary(max_size=100))
def test_a_mutated_hello_is_read_or_refused(body: bytes) -> None:
    try:
        hello = Hello.decode(body)
    except HandshakeError:
        return
    assert len(hello.nonce) == NONCE_SIZE
    assert hello.versions[0] <= VERSION <= hello.versions[1]


def test_the_agent_name_of_an_unauthenticated_peer_is_shortened_and_sanitized() -> None:
    values = msgpack.unpackb(Hello("worker", "j", 0, bytes(32), "\x1b[2J" + "x" * 1000, 1, 1).encode())
    assert len(Hello.decode(msgpack.packb(values)).agent) == 200
    with pytest.raises(HandshakeError, match="versions 7 to 9") as caught:
        Hello.decode(msgpack.packb(values | {"versions": [7, 9]}))
    assert "\x1b" not in str(caught.value)
    assert len(str(caught.value)) < 400


# Proofs


@pytest.mark.slow
@property_test
@given(st.binary(min_size=TOKEN_SIZE, max_size=TOKEN_SIZE), st.binary(max_size=200))
def test_a_proof_is_valid_for_the_same_token(token: bytes, transcript: bytes) -> None:
    assert verify(token, Role.WORKER, transcript, proof(token, Role.WORKER, transcript))


@pytest.mark.parametrize(
    "token, role, transcript",
    [(b"other", "worker", b"said"), (b"token", "runner", b"said"), (b"token", "worker", b"said otherwise")],
)
def test_a_proof_is_valid_for_one_token_one_role_and_one_transcript(token: bytes, role: str, transcript: bytes) -> None:
    body = proof(b"token", "worker", b"said")
    assert verify(b"token", "worker", b"said", body)
    assert not verify(token, role, transcript, body)


@pytest.mark.parametrize("body", [b"", bytes(32), bytes(31), bytes(4096)])
def test_an_invalid_proof_is_refused(body: bytes) -> None:
    assert not verify(b"token", "worker", b"said", body)


def test_a_nonce_is_new_each_time() -> None:
    assert len({new_nonce() for _ in range(100)}) == 100
    assert len(new_nonce()) == NONCE_SIZE


# Peers without the token


@pytest.mark.parametrize(
    "opening", [b"GET / HTTP/1.1\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc", b"SSH-2.0-OpenSSH", b"SYN"]
)
def test_the_magic_is_the_beginning_of_no_other_protocol(opening: bytes) -> None:
    assert len(MAGIC) == 8
    assert not MAGIC.startswith(opening[: len(MAGIC)])


def test_the_magic_is_no_frame_of_either_version() -> None:
    for version in (1, 2):
        with pytest.raises(ProtocolError):
            Decoder(1 << 30, 1 << 30, version=version).feed(MAGIC)
