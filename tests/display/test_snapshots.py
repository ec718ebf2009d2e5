"""A display that gets snapshots, from a job elsewhere, draws what one beside the job draws."""

import re

import pytest

from aioparcs.events import PoolState
from aioparcs.events.codec import from_json, to_json
from tests.support.scripts import Live, live

DIVISORS = PoolState(0, "divisors", 0, 0, 20_000, 8, 8, 8)


def transfer(near: Live, far: Live, *, is_over: bool = False) -> None:
    """Pass a snapshot of one display to another one, as a log does."""
    event = from_json(to_json(near.display.view.snapshot(near.clock.time, near.display.begun, is_over=is_over)))
    assert event
    far.clock.time = event.time
    far.display(event)


def figures(lines: list[str]) -> list[str]:
    """Leave out rates and times left, which may differ: snapshots are fewer than events."""
    return [re.sub(r" (1 s|[\d,]+ \w+) left| [\d.,]+/\w+", "", line) for line in lines]


def test_workers_and_pools_are_drawn_alike() -> None:
    with live() as near, live() as far:
        near.request("factor", range(8))
        near.place("factor", range(4), "node1")
        near.place("factor", range(4, 8), "node2")
        near.connect("factor", *range(8))
        near.request("teller", range(8, 10))
        near.connect("teller", 8)
        near.exit("factor", 7, "was killed by SIGKILL")
        near.stop("factor", 6)
        state = DIVISORS._replace(failed=3)
        for second in range(10):
            near.progress("teller", 8, second, 40)
            state = near.work(state, 1, 1000)
            transfer(near, far)
            assert figures(far.shown()) == figures(near.shown())
        assert "divisors 10,000 of 20,000 3 failed 10 s left 1,000/s" in far.shown()
        assert any(line.startswith("teller 11% 1 of 2 workers connected") for line in far.shown())
        near.pool(state._replace(wanted=0))
        near.exit("teller", 8)
        transfer(near, far, is_over=True)
        assert figures(far.shown()) == figures(near.shown())


@pytest.mark.parametrize("number", [3, 8, 40])
def test_many_pools_are_drawn_alike(number: int) -> None:
    with live() as near, live() as far:
        near.request("divisors", range(8))
        for pool in range(number):
            near.pool(DIVISORS._replace(id=pool))
            near.clock.time += 1
            if pool % 2:
                near.pool(DIVISORS._replace(id=pool, done=7, wanted=0))
            if pool % 3 == 0:
                transfer(near, far)
        transfer(near, far)
        assert figures(far.shown()) == figures(near.shown())


def test_a_late_snapshot_is_drawn_without_earlier_ones() -> None:
    with live() as near, live() as far:
        near.request("divisors", range(8))
        near.connect("divisors", *range(8))
        near.work(DIVISORS, 10, 1000)
        transfer(near, far)
        assert far.shown()[:2] == ["divisors 8 workers connected", "divisors 10,000 of 20,000 10 s left 1,000/s"]
        near.work(DIVISORS._replace(done=10_000), 2, 1000)
        transfer(near, far)
        assert far.shown()[1] == "divisors 12,000 of 20,000 8 s left 1,000/s"
