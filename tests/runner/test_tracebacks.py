"""The tracebacks of failed calls in events: those that are alike are one, few are kept, and long ones are cut."""

from aioparcs import RemoteError, WorkerLost
from aioparcs.events import CallSpans, EventBus
from aioparcs.events.codec import from_json, to_json
from aioparcs.task import SpanCollector


def failing(line: int, number: int = 0) -> RemoteError:
    """Return an error that was raised in a line of a worker's program."""
    where = f'Traceback (most recent call last):\n  File "main.py", line {line}, in work\n'
    return RemoteError.make("ValueError", str(number), f"{where}ValueError: {number}\n")


async def collected(*errors: BaseException) -> list[CallSpans]:
    """Return the events about calls that have failed so."""
    seen: list[CallSpans] = []

    def see(event: object) -> None:
        assert isinstance(event, CallSpans)
        seen.append(event)

    collector = SpanCollector(EventBus(see), None)
    for number, error in enumerate(errors):
        collector.ended(number, "main:work", number, number + 0.1, error, f"call {number}".format)
    collector.publish()
    return seen


async def test_calls_that_have_failed_alike_have_one_traceback() -> None:
    (event,) = await collected(failing(7, 1), failing(9), failing(7, 2))
    assert [one.spans for one in event.tracebacks] == [(0, 2), (1,)]
    assert [one.text.splitlines()[-1] for one in event.tracebacks] == [
        '  File "main.py", line 7, in work', '  File "main.py", line 9, in work'
    ]  # fmt: skip
    assert from_json(to_json(event)) == event
    assert from_json(to_json(event).replace(',"tracebacks":', ',"more":')) == event._replace(tracebacks=())


async def test_few_different_ones_are_kept_with_their_ends() -> None:
    errors = [failing(line) for line in range(20)]
    errors[1].add_note(f"{'x' * 5000} the end")
    (event,) = await collected(*errors, failing(2))
    assert [one.spans for one in event.tracebacks] == [(0,), (1,), (2, 20)]
    assert len(event.tracebacks[1].text) == 3001
    assert event.tracebacks[1].text.endswith(" the end")
    assert event.tracebacks[1].text.startswith("…")


async def test_places_are_those_of_the_event_that_has_the_span() -> None:
    events = await collected(*(failing(7 + number % 2) for number in range(1200)))
    assert [len(event.spans) for event in events] == [500, 500, 200]
    for event in events:
        first, second = event.tracebacks
        assert (first.spans[0], second.spans[0]) == (0, 1)
        assert len(first.spans) == len(second.spans) == len(event.spans) / 2


async def test_an_error_of_nowhere_has_none() -> None:
    (event,) = await collected(WorkerLost("work:1", "killed by SIGKILL"), ValueError("no"))
    assert event.tracebacks == ()
