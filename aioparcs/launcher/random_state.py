"""Random generators that a module has made, and that all its forks would repeat."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from types import BuiltinMethodType, FunctionType, MethodType, ModuleType
from typing import Any

from aioparcs.launcher.sources import is_installed, module_file

__all__ = ["shared_generators"]

# Items of a list or a table that are looked at.
_ITEMS = 100
_NAMES = (str, int, bytes)


def shared_generators() -> list[str]:
    """
    Return the variables of the program's own modules that hold a random generator, itself or as a part.

    The generators behind the functions of `random` and `numpy.random` don't count: each worker seeds them again.
    """
    random = sys.modules.get("random")
    if random is None:  # nor has numpy.random been loaded, which loads it
        return []
    kinds: tuple[type, ...] = (random.Random,)
    seeded: list[Any] = [random._inst]  # whose methods are the module's functions
    if numpy_random := sys.modules.get("numpy.random"):
        kinds += (numpy_random.Generator, numpy_random.RandomState, numpy_random.BitGenerator)
        seeded.append(numpy_random.mtrand._rand)
    found: dict[int, str] = {}
    own = {name: module for name, module in list(sys.modules.items()) if _is_own(module)}
    for module in own.values():
        for name, value in list(vars(module).items()):
            for part_name, part in [(name, value), *_parts(name, value, own)]:
                if issubclass(type(part), kinds) and type(part) is not random.SystemRandom and part not in seeded:
                    found.setdefault(id(part), part_name)
    return list(found.values())


def _is_own(module: ModuleType) -> bool:
    file = module_file(module)
    return isinstance(file, str) and not is_installed(file)


def _parts(name: str, value: Any, own: dict[str, ModuleType]) -> Iterator[tuple[str, Any]]:
    """Return the items of a container, the attributes of a class or of an object, the default values of a function."""
    kind = type(value)  # and only types of Python's own: nothing of the user's is called
    if kind is list or kind is tuple:
        yield from ((f"{name}[{i}]", item) for i, item in enumerate(value[:_ITEMS]))
    elif kind is dict:
        yield from ((f"{name}[{key!r}]", item) for key, item in list(value.items())[:_ITEMS] if type(key) in _NAMES)
    elif kind is partial:
        yield from _parts(name, value.func, own)
    elif kind in (MethodType, BuiltinMethodType):
        yield name, value.__self__
    elif kind is FunctionType:
        yield from ((f"a default of {name}()", item) for item in value.__defaults__ or ())
        yield from ((f"{name}({key}=)", item) for key, item in (value.__kwdefaults__ or {}).items())
    elif (issubclass(kind, type) and type.__getattribute__(value, "__module__") in own) or kind.__module__ in own:
        with suppress(AttributeError):  # it has slots
            attributes = type.__getattribute__(value, "__dict__") if issubclass(kind, type) else _attributes(value)
            yield from ((f"{name}.{key}", item) for key, item in list(attributes.items()))


def _attributes(value: Any) -> dict[str, Any]:
    attributes = object.__getattribute__(value, "__dict__")
    return attributes if type(attributes) is dict else {}
