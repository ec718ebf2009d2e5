"""The engine of this machine: launchers are its processes, and no Docker is needed."""

from aioparcs.local.engine import LocalEngine

__all__ = ["LocalEngine"]
