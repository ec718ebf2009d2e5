"""The log of a worker's latest results: what it keeps, and what gives way to others."""

from aioparcs.channel import ResultLog
from aioparcs.wire import FrameType, encode_frame


def frames(*numbers: int) -> list[bytes]:
    return [b"".join(encode_frame(FrameType.RESULT, b"%0240d" % number)) for number in numbers]


def test_what_was_sent_stays_until_many_others_come() -> None:
    first, other = ResultLog.make(2)
    for number, frame in enumerate(frames(*range(1000))):
        assert first.add(frame, waits=True)
        first.mark_sent()
        kept = first.read()
        assert all(one in kept for one in frames(*range(max(0, number - 90), number + 1)))
    assert len(first.read()) <= 48 << 10
    assert other.read() == b""


def test_what_was_not_sent_gives_way_to_nothing() -> None:
    (log,) = ResultLog.make(1)
    added = [frame for frame in frames(*range(1000)) if log.add(frame, waits=True)]
    assert 90 < len(added) < 1000
    assert b"".join(added) == log.read()
    log.mark_sent()
    (frame,) = frames(1000)
    assert log.add(frame, waits=True)
    assert frame in log.read()


def test_what_leaves_alone_gives_way_to_what_comes_later_and_to_nothing_that_waits() -> None:
    (log,) = ResultLog.make(1)
    for frame in frames(*range(1000)):
        assert log.add(frame, waits=False)
    assert frames(999)[0] in log.read()
    log.clear()
    waiting = frames(-1)
    assert log.add(waiting[0], waits=True)
    added = [frame for frame in frames(*range(1000)) if log.add(frame, waits=False)]
    assert len(added) < 200
    assert waiting[0] in log.read()
    log.mark_sent()
    assert log.add(frames(1000)[0], waits=False)
