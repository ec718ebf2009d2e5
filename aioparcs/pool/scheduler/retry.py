"""The policy for calls that have failed: how often each is made again, after which errors, and when."""

from __future__ import annotations

import math
import operator
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from aioparcs.errors import WorkerLost, add_note, origin_of, text_of, type_name

__all__ = ["Retry", "note_tries"]

# Seconds between two tries of a call, at the most.
_LONGEST = 120.0
_DOUBLINGS = 64
# Characters of an earlier try's error that the last one's notes have.
_NOTE = 200


@dataclass(frozen=True)
class Retry:
    """
    The policy for calls that fail: ``runner.pool(..., retries=Retry(3, on=(OSError,), backoff=0.5))``.

    A call whose worker died is always made again; ``on`` adds others. The error of the last try names those before it
    in its notes.

    Args:
        times: how often a call is made again, at the most.
        on: the errors after which it is, besides `WorkerLost`: classes, such as ``OSError`` or ``CallTimeout``, and for
            exceptions that only the worker's module has the names of their classes, such as ``"BadPage"``. A class of
            the program's own covers its subclasses only if they are registered.
        backoff: seconds until the second try; twice as many until each further one, at most two minutes.
        jitter: up to so many seconds more, at random, so that many calls don't come back at the same time.

    Raises:
        TypeError: an argument is of the wrong type.
        ValueError: a number is negative, or infinite.
    """

    times: int
    on: Iterable[type[BaseException] | str] | type[BaseException] | str = ()
    backoff: float = 0.0
    jitter: float = 0.0

    def __post_init__(self) -> None:
        try:
            times = operator.index(self.times)
        except TypeError:
            raise TypeError(f"retries={self.times!r}: it must be a whole number, at least 0, or a Retry") from None
        if times < 0:
            raise ValueError(f"retries={self.times!r}: it must be a whole number, at least 0")
        given: Any = self.on
        on = tuple(given) if isinstance(given, Iterable) and not isinstance(given, str | type) else (given,)
        for kind in on:
            if not isinstance(kind, str) and not (isinstance(kind, type) and issubclass(kind, BaseException)):
                raise TypeError(f"on={kind!r}: it must be a class of exceptions, or the name of one")
        pauses: dict[str, Any] = {"backoff": self.backoff, "jitter": self.jitter}
        for name, seconds in pauses.items():
            if not isinstance(seconds, int | float) or not 0 <= seconds < math.inf:
                raise ValueError(f"{name}={seconds!r}: it must be a number of seconds, 0 or more")
        object.__setattr__(self, "times", times)
        object.__setattr__(self, "on", on)

    def covers(self, error: BaseException) -> bool:
        """Return True for an error after which a call is made again."""
        assert isinstance(self.on, tuple)
        classes = [kind for kind in self.on if isinstance(kind, type)]
        if isinstance(error, (WorkerLost, *classes)):
            return True
        origin = origin_of(error)
        if origin is None:  # no exception of the worker's program
            return False
        name, _ = origin  # with its module, unless that is the worker's main.py
        return name in (*self.on, *map(type_name, classes)) or name.rpartition(".")[2] in self.on

    def pause(self, tries: int, uniform: float) -> float:
        """
        Return the seconds until a call is made again.

        Args:
            tries: how often it was made.
            uniform: a random number, 0 to 1.
        """
        return min(self.backoff * 2.0 ** min(tries - 1, _DOUBLINGS), _LONGEST) + self.jitter * uniform


def note_tries(error: BaseException, earlier: Iterable[BaseException]) -> None:
    """Add notes to the error of a call's last try that say how those before it have failed."""
    for number, one in enumerate(earlier, 1):
        text = text_of(one).partition("\n")[0]
        add_note(error, f"try {number}: {text[:_NOTE]}")
