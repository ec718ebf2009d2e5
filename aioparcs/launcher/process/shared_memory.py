"""Shared memory of multiprocessing: a worker's resource tracker cleans up the worker's own segments, and no others."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import sys
from collections.abc import Sequence
from types import ModuleType
from typing import Any

__all__ = ["track_only_own"]

_NAME = "multiprocessing.shared_memory"


def track_only_own() -> None:
    """
    Keep this process's resource tracker from removing the segments that the process only attaches to.

    By default it would remove them when the process ends, although others use them
    (https://github.com/python/cpython/issues/82300).
    """
    if module := sys.modules.get(_NAME):
        _patch(module)
    else:
        sys.meta_path.insert(0, _Finder())


class _Finder:
    """A finder that waits until the module is imported, which most workers never do."""

    def find_spec(self, name: str, path: Sequence[str] | None, target: Any = None) -> Any:
        if name != _NAME:
            return None
        sys.meta_path.remove(self)
        spec = importlib.machinery.PathFinder.find_spec(name, path)
        if spec is None or spec.loader is None:
            return spec
        execute = spec.loader.exec_module

        def execute_and_patch(module: ModuleType) -> None:
            execute(module)
            _patch(module)

        spec.loader.exec_module = execute_and_patch  # type: ignore[method-assign]  # of this one import
        return spec


def _patch(module: Any) -> None:
    kind, tracker = module.SharedMemory, module.resource_tracker
    make, unlink = kind.__init__, kind.unlink
    own: set[str] = set()  # what this process made, or the one that it was forked from: that stays registered

    def attach(self: Any, name: str | None = None, create: bool = False, size: int = 0, **options: Any) -> None:
        make(self, name, create, size, **options)
        if create:
            own.add(self._name)
        self._is_attached = self._name not in own and getattr(self, "_track", True)
        if self._is_attached:
            tracker.unregister(self._name, "shared_memory")

    def remove(self: Any) -> None:
        if self._is_attached:  # what it unregisters has to be registered
            tracker.register(self._name, "shared_memory")
        unlink(self)

    kind.__init__, kind.unlink = attach, remove
