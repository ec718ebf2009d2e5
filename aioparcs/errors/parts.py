"""Exceptions taken apart and made again, without running code of their classes."""

from __future__ import annotations

import builtins
from collections.abc import Set
from types import MemberDescriptorType
from typing import Any, NamedTuple, Self, TypeVar

__all__ = ["ExceptionParts", "blank", "builtin_base", "entries_of", "own", "set_own"]

_Error = TypeVar("_Error", bound=BaseException)
# Attributes that are no entries of an exception's dictionary.
_SLOTS = {"name", "path"}
# What Python would search the receiver's names with, to suggest a similar one.
_FOR_SUGGESTIONS = {"name", "obj", "args", "name_from"}


def builtin_base(cls: type[BaseException]) -> type[BaseException]:
    """Return the builtin exception that a class is, or extends."""
    every: dict[str, type[BaseException]] = vars(builtins)
    return next(every[base.__name__] for base in cls.__mro__ if every.get(base.__name__) is base)


def own(error: BaseException, name: str) -> Any:
    """Return what Python itself keeps in an exception under a name; its class may have another attribute of it."""
    kind = BaseExceptionGroup if name == "exceptions" else BaseException
    return vars(kind)[name].__get__(error)


def set_own(error: BaseException, name: str, value: Any) -> None:
    """Set what Python itself keeps in an exception under a name; see `own`."""
    vars(BaseException)[name].__set__(error, value)


def entries_of(error: BaseException) -> dict[str, Any]:
    """Return the dictionary of an exception, which takes attributes also where its class refuses to have them set."""
    entries: dict[str, Any] = own(error, "__dict__")
    return entries


def _slots_of(cls: type[BaseException]) -> dict[str, MemberDescriptorType]:
    """Return the ``__slots__`` of an exception class and those that it extends, up to the builtin one."""
    above = cls.__mro__[: cls.__mro__.index(builtin_base(cls))]
    every = [vars(base).items() for base in reversed(above) if "__slots__" in vars(base)]
    return {name: slot for items in every for name, slot in items if isinstance(slot, MemberDescriptorType)}


def blank(cls: type[_Error], *args: Any) -> _Error:
    """Return an exception that was not initialized."""
    base: Any = builtin_base(cls)
    try:
        return base.__new__(cls, *args)  # type: ignore[no-any-return]
    except TypeError:  # that of MemoryError is not for classes with other bases besides
        return BaseException.__new__(cls, *args)


class ExceptionParts(NamedTuple):
    """
    What an exception holds beside its chain and its notes.

    Attributes:
        args: its ``args``; those of an `OSError` with the file names.
        attributes: its other attributes, by name.
    """

    args: tuple[Any, ...]
    attributes: dict[str, Any]

    @classmethod
    def of(cls, error: BaseException) -> Self:
        """Return the parts of an exception; those of a group without its members."""
        base = builtin_base(type(error))
        reduced: Any = base.__reduce__(error)  # a tuple, for all exceptions
        _, args, *state = reduced
        attributes = dict(state[0] or {}) if state else {}
        attributes.pop("__notes__", None)
        for name, slot in _slots_of(type(error)).items():
            try:
                attributes[name] = slot.__get__(error)
            except AttributeError:
                pass  # it was not set
        if issubclass(base, AttributeError | NameError | ImportError):
            unwanted = _FOR_SUGGESTIONS - (_SLOTS if issubclass(base, ImportError) else set())
            attributes = {name: value for name, value in attributes.items() if name not in unwanted}
        return cls(args[:1] if issubclass(base, BaseExceptionGroup) else args, attributes)

    @classmethod
    def map_of(cls, error: BaseException) -> dict[str, Any]:
        """Return the parts of an exception as a map that can be sent, if its values can."""
        return cls.of(error)._asdict()

    @classmethod
    def from_map(cls, values: Any) -> Self:
        """Return the parts that a map from outside holds; raise TypeError for any other value."""
        args, attributes = values["args"], values["attributes"]
        if not isinstance(args, tuple | list) or type(attributes) is not dict:
            raise TypeError("an exception is a map of args and attributes")
        return cls(tuple(args), attributes)

    def without(self, names: Set[str]) -> Self:
        """Return these parts without the attributes of some names."""
        return self._replace(attributes={name: value for name, value in self.attributes.items() if name not in names})

    def make(self, cls: type[_Error]) -> _Error:
        """Return an exception of these parts; its ``__init__`` is not called, only that of the builtin."""
        error = self.bare(cls)
        self.set_attributes(error)
        return error

    def bare(self, cls: type[_Error]) -> _Error:
        """Return an exception without the attributes."""
        error = blank(cls, *self.args)
        base: Any = builtin_base(cls)
        base.__init__(error, *self.args)
        return error

    def set_attributes(self, error: BaseException) -> None:
        """Set the attributes of an exception; none that Python gives a meaning."""
        entries, slots = entries_of(error), _slots_of(type(error))
        if issubclass(type(error), ImportError):
            slots |= {name: vars(ImportError)[name] for name in _SLOTS}
        for name, value in self.attributes.items():
            if type(name) is not str or name.startswith("__"):
                continue
            if name in slots:
                slots[name].__set__(error, value)
            else:
                entries[name] = value
