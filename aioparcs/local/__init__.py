"""The engine of this machine: launchers are its processes, and no Docker is needed."""

from aioparcs.local.engine import LocalEngine
from aioparcs.local.modules import find_modules, module_folders

__all__ = ["LocalEngine", "find_modules", "module_folders"]
