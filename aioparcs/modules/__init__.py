"""Modules: where they are found, what they require, and how their images are called."""

from aioparcs.modules.find import find_module, find_modules, module_folders

__all__ = ["find_module", "find_modules", "module_folders"]
