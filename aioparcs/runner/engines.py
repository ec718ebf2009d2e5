"""The choice of a runner's engine: from its argument, else from the environment."""

from __future__ import annotations

import os
from pathlib import Path

from aioparcs.engine import Engine
from aioparcs.errors import SettingError
from aioparcs.local import LocalEngine

__all__ = ["check_engine", "choose_engine"]


def choose_engine(engine: Engine | str | None, folders: list[Path]) -> Engine:
    """
    Return the engine that an argument or the environment names.

    Args:
        engine: an engine, or its name, or None for the environment's choice.
        folders: where the local engine finds modules, see `LocalEngine`.

    Raises:
        SettingError: there is none of that name.
    """
    if engine is None:
        engine = os.environ.get("PARCS_ENGINE") or ("swarm" if "LEADER_URL" in os.environ else "local")
    if engine == "local":
        return LocalEngine(folders)
    if engine == "swarm":
        from aioparcs.swarm import SwarmEngine  # here: a runner without Docker doesn't wait for its libraries to load

        return SwarmEngine()
    check_engine(engine)
    assert not isinstance(engine, str)
    return engine


def check_engine(engine: Engine | str | None) -> None:
    """Raise a SettingError for a name that no engine has."""
    if isinstance(engine, str) and engine not in ("local", "swarm"):
        raise SettingError(f"there is no engine {engine!r} (PARCS_ENGINE): choose local or swarm")
