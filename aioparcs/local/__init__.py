"""The local engine: launchers are processes of this machine, and no Docker is needed."""

from aioparcs.local.engine import LocalEngine

__all__ = ["LocalEngine"]
