"""The records of control connections: what they encode they decode, and nothing else."""

import re
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aioparcs.errors import EncodeError, ProtocolError, WorkerLost
from aioparcs.messages import fields, launcher, spawn
from aioparcs.messages.keeping import Keep, Kept, MemoryPlace
from aioparcs.messages.launcher import (
    Exited,
    Files,
    FilesTaken,
    Kill,
    Log,
    LogLine,
    LogReceived,
    Progress,
    Stack,
    StackRead,
    Start,
    Started,
    Usage,
    UsageRequest,
)
from aioparcs.messages.spawn import (
    ChildConnected,
    ChildExited,
    ChildStarted,
    KillChild,
    Loss,
    Spawn,
    Spawned,
    SpawnExpected,
    SpawnRefusal,
    StartFailure,
)
from aioparcs.messages.watching import PeerChannel, WorkerUse
from aioparcs.wire import Frame, FrameType
from tests.support import document
from tests.support.strategies import property_test

RECORDS = [*launcher.REQUESTS.values(), *launcher.REPORTS.values(), *spawn.REQUESTS.values(), *spawn.REPORTS.values()]
EXAMPLES: list[Any] = [
    Start(4, 4, 0, 8, {"cpus": 1, "memory": 1 << 30}),
    Start(4, 1 << 16, 0, 8, {"cpus": 0.5}, "tcp://127.0.0.1:1"),
    Started(4, 4711),
    Exited(4, 0, []),
    Exited(4, -9, ["a line"], b"\0" * (256 << 10)),
    Exited(4, None, ["no process"]),
    Kill(4, 9),
    Kill(launcher.ALL, 15),
    Log([LogLine(4, "a line"), LogLine(5, "π")], 3),
    LogReceived(),
    Progress(4, 1, 2.5),
    Files(b""),
    Files(b"\0" * launcher.LONGEST_PIECE),
    FilesTaken(12),
    FilesTaken(12, "no room"),
    Stack(1, 4),
    StackRead(1, "thread"),
    StackRead(1, None, "it has ended"),
    UsageRequest(),
    Usage([WorkerUse(4, 0.95, 50 << 20), WorkerUse(5, 0, 0)], []),
    Usage([], [PeerChannel(4, 5)]),
    Keep(1, 8192, b"a piece"),
    Keep(1, 0),
    Kept(1, 8192, MemoryPlace(7, 4712)),
    Kept(1, 0, None),
    Spawn(1, "x", 3, {"env": {"A": "b"}, "memory": "1g"}, "unix:@x"),
    Spawned(1, 7, None),
    SpawnExpected(1),
    ChildConnected(7),
    ChildStarted(7, "a node", None),
    ChildStarted(7, "", StartFailure("no image", ["a line"])),
    ChildExited(7, None, False),
    ChildExited(7, Loss("was killed by SIGKILL", None, 9, ["a line"]), True, b"x" * 20_000),
    KillChild(7, 15),
]


@pytest.mark.parametrize("message", EXAMPLES, ids=lambda message: type(message).__name__)
def test_what_is_encoded_is_decoded(message: Any) -> None:
    assert type(message).decode(message.encode()[1]) == message


def test_each_record_has_an_example_and_its_frames_type() -> None:
    assert {type(message) for message in EXAMPLES} == set(RECORDS)
    for direction in launcher.REQUESTS, launcher.REPORTS, spawn.REQUESTS, spawn.REPORTS:
        for message in EXAMPLES:
            type_, body = message.encode()
            if direction.get(type_) is type(message):
                assert fields.read(Frame(type_, body), direction) == message


def test_the_document_has_the_tables_of_the_records() -> None:
    row = r"^\| (?:runner|launcher|worker) \| ([A-Z]+) \| (.+) \| `(\w+)` \|$"
    rows = re.findall(row, document.PATH.read_text(), re.M)
    assert [record for _, _, record in rows] == [record.__name__ for record in RECORDS]
    for (frame, body, _), record in zip(rows, RECORDS, strict=True):
        types = [type.name for type in fields.field_types(record)]
        named = [f"{name}{'?' * (name in record._field_defaults)}" for name in record._fields]
        assert body == (f"`[{', '.join(map(': '.join, zip(named, types, strict=True)))}]`" if named else "nothing")
        assert any(type(message) is record and message.encode()[0].name == frame for message in EXAMPLES)


@pytest.mark.parametrize(
    "record, values, what",
    [
        (Start, [0, 0, 0, 1, {}], "the workers of a START frame cannot be 0: it must be 1 to 65536"),
        (Start, [0, True, 0, 1, {}], "the workers of a START frame cannot be True"),
        (Start, [-1, 1, 0, 1, {}], "the first of a START frame cannot be -1: it must be number"),
        (Start, [0, 1, 0, 1, {"disks": 1}], "the limits of a START frame cannot be a dict of 1"),
        (Start, [0, 1, 0, 1, {"gpus": 0}], "the limits of a START frame cannot be a dict of 1"),
        (Start, [0, 1, 0, 1, {"memory": 0}], "the limits of a START frame cannot be a dict of 1"),
        (Start, [0, 1, 0, 1, {}, "x" * 1001], "the parent of a START frame cannot be a str of 1,001"),
        (Start, [0, 1, 0, 1], "the body of a START frame is a list of 4 instead of its 5 values"),
        (Start, 7, "the body of a START frame is 7 instead of its 5 values"),
        (Exited, [0, 0, ["x", 1]], "the lines of a EXITED frame cannot be a list of 2: it must be list of text"),
        (Exited, [0, 0, [], b"x" * ((256 << 10) + 1)], "the results of a EXITED frame cannot be a bytes of 262,145"),
        (Kill, [-2, 9], "the worker of a KILL frame cannot be -2"),
        (Kill, [0, 0], "the signal of a KILL frame cannot be 0"),
        (KillChild, [0, 19], "the signal of a KILL frame cannot be 19: it must be 9 or 15"),
        (Log, [[[0, "x", 1]], 0], "the lines of a LOG frame cannot be a list of 1"),
        (LogReceived, [1], "the body of a LOG frame is a list of 1 instead of its 0 values"),
        (Spawned, [1, None, None], "a SPAWNED frame holds either a first worker or an error"),
        (Spawned, [1, 7, {"reason": "x", "last_lines": []}], "a SPAWNED frame holds either a first worker or an error"),
        (Spawned, [1, None, {"reason": "x"}], "the error of a SPAWNED frame cannot be a dict of 1"),
    ],
)
def test_invalid_records_are_refused(record: Any, values: Any, what: str) -> None:
    with pytest.raises(ProtocolError, match=re.escape(what)):
        record.decode(msgpack.packb(values))


@given(st.sampled_from(RECORDS), st.binary(max_size=60))
@property_test
def test_any_bytes_are_a_message_or_a_protocol_error(record: Any, body: bytes) -> None:
    try:
        message = record.decode(body)
    except ProtocolError as error:
        message, text = None, str(error)
    else:
        text = ""
    assert len(text) < 300
    if message is not None:
        assert repr(record.decode(message.encode()[1])) == repr(message)  # NaN is not equal to itself


def test_a_refusal_is_an_error_map_with_short_texts() -> None:
    error = {"type": "StartError", "message": "m" * 10_000, "traceback": "", "cause": {"type": "X"}, "builtin": "X"}
    spawned = Spawned(1, None, SpawnRefusal.of(ValueError("v" * 10_000), error))
    _, _, sent = msgpack.unpackb(spawned.encode()[1])
    assert list(sent) == [*error, "reason", "last_lines"]
    assert (sent["cause"], len(sent["message"]), sent["reason"], sent["last_lines"]) == (None, 8192, "v" * 8192, [])
    received = Spawned.decode(spawned.encode()[1]).error
    assert received
    assert (received.reason, received.last_lines) == ("v" * 8192, [])


def test_a_loss_is_an_error_on_both_sides() -> None:
    lost = WorkerLost("x:1", "was killed by SIGKILL", signal=9, last_lines=("a" * 40_000, "b" * 40_000, "c"))
    error = Loss.of(lost).to_error("x:1 on here")
    assert (error.worker, error.reason, error.exitcode, error.signal) == ("x:1 on here", lost.reason, None, 9)
    assert error.last_lines == ("b" * 40_000, "c")


def test_text_that_is_no_unicode_is_sent_in_reasons_but_not_in_requests() -> None:
    assert Exited.decode(Exited(1, None, ["can't open \udcff"]).encode()[1]).lines == ["can't open ?"]
    with pytest.raises(EncodeError):
        Spawn(1, "x", 1, {"env": {"A": "\udcff"}}, "unix:@x").encode()


def test_messages_between_agent_and_fork_server_round_trip() -> None:
    for message in Start(4, 4, 0, 8, {}), Kill(4, 9), Started(4, 4711), Exited(4, 0, [], b"x" * 16_000):
        assert launcher.read_datagram(launcher.to_datagram(message)) == message
    for data in b"", b"\xff", launcher.to_datagram(Log([], 0)), bytes([FrameType.KILL]):
        with pytest.raises(ProtocolError):
            launcher.read_datagram(data)
