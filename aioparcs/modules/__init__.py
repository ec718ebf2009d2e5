"""Modules: their folders, their requirements, and the names of their images."""

from aioparcs.modules.find import find_module, find_modules, module_folders

__all__ = ["find_module", "find_modules", "module_folders"]
