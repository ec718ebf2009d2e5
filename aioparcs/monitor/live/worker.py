"""One worker of a job, as the live view knows it."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf

from aioparcs.monitor.records import Channel, Current, Usage, WorkerRow, rounded

__all__ = ["Worker"]


@dataclass(slots=True)
class Worker:
    """
    One worker; times are seconds since its job began.

    Attributes:
        how: how it has ended: done, lost, stopped, ended (with its job) or unknown; "" while it has not.
        reached: the end of its calls.
        has_calls: whether its calls are recorded.
        version: the number of its last change.
    """

    number: int
    module: str
    requested: float
    parent: int | None = None
    node: str = ""
    connected: float | None = None
    ended: float | None = None
    how: str = ""
    reason: str = ""
    calls: int = 0
    failed: int = 0
    busy: float = 0.0
    reached: float = 0.0
    is_calling: bool = False
    has_calls: bool = True
    current: Current | None = None
    usage: Usage | None = None
    channel: Channel | None = None
    version: int = 0

    @property
    def state(self) -> str:
        """Its state, in a word."""
        if self.how:
            return self.how
        if self.connected is None:
            return "starting"
        if self.is_calling:
            return "calling"
        return "waiting" if self.has_calls else "connected"

    @property
    def calling_since(self) -> float:
        """When the call began that it is in, if that takes long; else infinite."""
        return self.current["begin"] if self.current else inf

    def available(self, now: float) -> float:
        """Return the seconds in which it could have had calls."""
        if self.connected is None:
            return 0.0
        return max(0.0, (now if self.ended is None else self.ended) - self.connected)

    def busy_until(self, now: float) -> float:
        """Return the seconds in which it was in a call, with the one that it is in."""
        return self.busy + (max(0.0, now - max(self.current["begin"], self.reached)) if self.current else 0.0)

    def row(self) -> WorkerRow:
        """Return its JSON."""
        return {
            "number": self.number, "module": self.module, "node": self.node, "state": self.state,
            "requested": rounded(self.requested),
            "connected": None if self.connected is None else rounded(self.connected),
            "ended": None if self.ended is None else rounded(self.ended),
            "reason": self.reason, "calls": self.calls, "failed": self.failed, "busy": rounded(self.busy),
            "current": self.current, "parent": self.parent, "usage": self.usage, "channel": self.channel,
        }  # fmt: skip
