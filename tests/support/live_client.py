"""A reader of the messages about a job, as a page has it."""

from typing import Any

from aioparcs.monitor.records import Message

__all__ = ["LiveClient"]

_KEPT = {"log": 2000, "failures": 50}
_WHOLE = ("overview", "pools", "modules", "functions", "nodes", "peers", "slowest", "explain")


class LiveClient:
    """
    What a page knows after some messages.

    Attributes:
        known: the parts of messages, by their keys; the rows of workers by their numbers.
    """

    def __init__(self) -> None:
        self.known: dict[str, Any] = {}

    def apply(self, message: Message | None) -> None:
        """Apply a message, if there is one."""
        if message is None:
            return
        received: dict[str, Any] = dict(message)
        if received["reset"]:
            self.known = {"workers": {}, "spans": [], "series": [], "log": [], "failures": []}
        for key in _WHOLE:
            if key in received:
                self.known[key] = received[key]
        self.known["overview"] = {**self.known["overview"], "seconds": received["now"]}
        if received.get("workersReset"):
            self.known["workers"] = {}
        self.known["workers"].update({row["number"]: row for row in received.get("workers", [])})
        for key in ("spans", "series"):
            if received.get(f"{key}Reset"):
                self.known[key] = []
            self.known[key] = self.known[key] + received.get(key, [])
        for key, most in _KEPT.items():
            self.known[key] = (self.known[key] + received.get(key, []))[-most:]
