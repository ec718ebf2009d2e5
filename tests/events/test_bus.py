"""The bus of events: its subscribers, and what their errors cost."""

import pytest

from aioparcs.events import Event, EventBus, Notice

NOTICE = Notice(1.5, "swarm", "trying again", is_warning=True)


def test_every_subscriber_gets_every_event_in_order() -> None:
    first: list[Event] = []
    second: list[Event] = []
    bus = EventBus(first.append)
    bus.publish(NOTICE)
    bus.subscribe(second.append)
    bus.publish(Notice(2.5, "swarm", "there again"))
    assert first == [NOTICE, Notice(2.5, "swarm", "there again")]
    assert second == first[1:]


def test_an_error_of_a_subscriber_costs_the_others_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    def fail(event: Event) -> None:
        raise ValueError(f"can't show\x1b[2J\n{event.time}")

    seen: list[Event] = []
    bus = EventBus(fail, seen.append)
    for _ in range(3):
        bus.publish(NOTICE)
    assert seen == [NOTICE] * 3
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("the display failed, the job goes on: ValueError: can't show[2J 1.5 (")
    assert __file__ in line
