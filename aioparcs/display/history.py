"""The history of a program: whether it is kept, from the environment."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext

from aioparcs.errors import SettingError
from aioparcs.events import EventBus

__all__ = ["history", "is_history_kept", "is_page_wanted"]

_page = "0"  # the last value of PARCS_UI


def history(
    events: EventBus, program: str = "", about: Mapping[str, str] | None = None, *, calls: bool = False
) -> AbstractContextManager[None]:
    """
    Return a context manager that writes the history of a program, or does nothing if ``PARCS_HISTORY`` is ``off``.

    Args:
        events: the bus of the program.
        program: its name; by default that of its file.
        about: what else its beginning says, by name; by default the engine that the environment names.
        calls: whether calls are written too, and so the history in any case.

    Raises:
        SettingError: ``PARCS_HISTORY`` has an impossible value.
    """
    if not (is_history_kept() or calls):
        return nullcontext()
    from aioparcs.recording.store import keep_history  # it loads JSON, which a program without a history doesn't need

    engine = os.environ.get("PARCS_ENGINE") or ("swarm" if "LEADER_URL" in os.environ else "local")
    return keep_history(events, program, about or {"engine": engine}, calls=calls)


def is_history_kept() -> bool:
    """
    Return whether programs have a history, from ``PARCS_HISTORY``.

    Raises:
        SettingError: it is neither on nor off.
    """
    value = os.environ.get("PARCS_HISTORY") or "on"
    if value not in ("on", "off"):
        raise SettingError(f"PARCS_HISTORY={value!r} is neither 'on' nor 'off'")
    return value == "on"


def is_page_wanted() -> bool:
    """
    Return whether the program is to be shown on a page, from ``PARCS_UI``, which child processes don't have.

    Raises:
        SettingError: it is neither 1 nor 0.
    """
    global _page  # a program may make many runners
    _page = os.environ.pop("PARCS_UI", "") or _page
    if _page not in ("0", "1"):
        raise SettingError(f"PARCS_UI={_page!r} is neither '1' nor '0'")
    return _page == "1"
