"""Log records of programs that configure no logging: shown on standard error until the program configures it."""

from __future__ import annotations

import logging
import sys

__all__ = ["show_logs"]


class _Level(int):
    """A level that differs from an equal one that the program sets."""


_SHOWN = _Level(logging.INFO)
_FORMAT = "%(levelname)s %(name)s: %(message)s"


def show_logs() -> None:
    """
    Show records of level INFO and above, unless the program has configured logging, and until it does.

    The handler of last resort shows them, so that the root logger has none and ``basicConfig`` works as usual.
    """
    root = logging.getLogger()
    if root.handlers or logging.lastResort is None:
        return
    logging.lastResort.setFormatter(logging.Formatter(_FORMAT))
    logging.lastResort.setLevel(logging.NOTSET)
    if root.level == logging.WARNING:  # as it is from the first
        root.setLevel(_SHOWN)
    vars(root)["addHandler"] = _configure


def _configure(handler: logging.Handler) -> None:
    """Add the root logger's first handler, and undo all that `show_logs` has done."""
    if _is_makeshift():
        return
    root = logging.getLogger()
    vars(root).pop("addHandler", None)
    if root.level is _SHOWN:
        root.setLevel(logging.WARNING)
    if logging.lastResort is not None:
        logging.lastResort.setFormatter(None)
        logging.lastResort.setLevel(logging.WARNING)
    root.addHandler(handler)


def _is_makeshift() -> bool:
    """Return True for a handler that no program has added: ``logging.info`` and the like add one if needed."""
    caller = sys._getframe(2)
    return bool(
        caller.f_code is logging.basicConfig.__code__ and caller.f_back and caller.f_back.f_globals is vars(logging)
    )
