"""Modules: their folders, their requirements, and the names of their images; and the runner's own program as one."""

from aioparcs.modules.find import find_module, find_modules, module_folders
from aioparcs.modules.program import Command, command_for, program_folder

__all__ = ["Command", "command_for", "find_module", "find_modules", "module_folders", "program_folder"]
