"""The events of one clock as another one has them."""

from __future__ import annotations

from typing import Any

from aioparcs.events.event import Event
from aioparcs.events.records import CallSpans, Snapshot
from aioparcs.events.samples import CallsRunning

__all__ = ["shifted"]


def shifted(event: Event, seconds: float) -> Event:
    """Return an event with all its times later by some seconds, or earlier, and rounded to milliseconds."""

    def later(time: float) -> float:
        return round(time + seconds, 3)

    changes: dict[str, Any] = {}
    match event:
        case CallSpans(spans=spans):
            changes["spans"] = tuple(one._replace(begin=later(one.begin), end=later(one.end)) for one in spans)
        case CallsRunning(calls=calls):
            changes["calls"] = tuple(one._replace(begin=later(one.begin)) for one in calls)
        case Snapshot(pools=pools):
            changes["pools"] = tuple(
                one._replace(begun=later(one.begun), ended=None if one.ended is None else later(one.ended))
                for one in pools
            )
    return event._replace(time=later(event.time), **changes)
