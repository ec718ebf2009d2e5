"""The results of the checks that ``aioparcs doctor`` makes: of a machine, or of a cluster."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

__all__ = ["Check", "CheckState"]


class CheckState(StrEnum):
    """How a check went."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"


class Check(NamedTuple):
    """
    The result of one check.

    Attributes:
        name: what was checked.
        state: how it went.
        text: what was found.
        advice: how to fix it, "" if there is nothing to fix.
    """

    name: str
    state: CheckState
    text: str
    advice: str = ""
