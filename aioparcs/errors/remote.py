"""The error that stands for an exception of the peer's program."""

from __future__ import annotations

import builtins
from collections.abc import Sequence
from operator import is_
from typing import TYPE_CHECKING, Any

from aioparcs.errors.item import ITEM_ENTRIES, Hideable
from aioparcs.errors.parts import ExceptionParts, blank, builtin_base, entries_of, own, set_own
from aioparcs.errors.root import ParcsError

__all__ = ["RemoteError", "add_note", "notes_of", "origin_of", "parts_of", "set_worker", "type_name"]

# Classes that can't be raised freely: they end iterations.
_NOT_MIXED = (StopIteration, StopAsyncIteration)
# The entries of a RemoteError's dictionary that are not the peer's exception's own.
_PRIVATE = {"_remote_worker", "_remote_own", "_remote_note", *ITEM_ENTRIES}
_PUBLIC = ("type", "message", "traceback", "cause")
# The attributes that those of the peer's exception itself hide.
_HIDEABLE = ("worker", "index", "item")
_OWN = {*_PUBLIC, *_HIDEABLE, *_PRIVATE}
# The class of the peer's exception, and the exception's parts.
Original = tuple[type[BaseException], ExceptionParts]


class RemoteError(ParcsError):
    """
    The peer's program raised an exception.

    What is raised is also an instance of the builtin exception that the peer raised, so that
    ``except ValueError`` works across processes, with its ``args``, ``errno``, ``filename`` and so on; and of the
    peer's own class, if that is registered here, with its attributes. ``str()`` is the exception alone; the peer's
    traceback is a note (PEP 678), which Python, ``logging.exception`` and test runners print below it. A group is a
    group, of RemoteErrors.

    An attribute of a registered class, or of its instances, hides the one of these that has its name; those of other
    classes hide none. ``str()`` and the notes say all that is hidden.

    Attributes:
        type: the name of the peer's exception class.
        message: its text.
        traceback: the peer's traceback as text, or "".
        cause: the RemoteError that caused it, or None. If no class can be both a RemoteError and the peer's, it is
            an instance of the peer's class.
        worker: where it was raised, ``module:number``, or "".
        index, item: see `ParcsError`.
    """

    if TYPE_CHECKING:
        type: str
        message: str
        traceback: str
        cause: Any
        worker: str
    else:
        worker = Hideable("_remote_worker")

    def __init__(
        self, type: str, message: str, traceback: str = "", cause: BaseException | None = None, worker: str = ""
    ) -> None:
        # Not assigned: the message of a group can't be, nor properties of a registered class; others refuse any.
        set_own(self, "args", (type, message))
        values = dict(zip(_PUBLIC, (type, message, traceback, cause), strict=True))
        entries_of(self).update(_remote_own=values, _remote_worker=worker, _remote_note="")
        bases = builtins.type(self).__mro__
        entries_of(self).update({name: values[name] for name in _PUBLIC if not any(name in vars(b) for b in bases)})

    @staticmethod
    def make(
        type: str,
        message: str,
        traceback: str = "",
        cause: BaseException | None = None,
        worker: str = "",
        builtin: str = "",
        *,
        original: Original | None = None,
        parts: ExceptionParts | None = None,
        notes: Sequence[str] = (),
        members: Sequence[RemoteError] = (),
        own_traceback: str = "",
    ) -> RemoteError:
        """
        Return the error that is also the exception of the peer, as far as there can be one.

        Args:
            type: see `RemoteError`.
            message: see there.
            traceback: see there.
            cause: see there.
            worker: see there.
            builtin: the name of the builtin that it also is, by default ``type``; of no meaning if there is none.
            original: the peer's own class, if it is known here, and the parts of the exception.
            parts: the parts of the exception, where its class is not known here.
            notes: the exception's notes.
            members: the exceptions of a group.
            own_traceback: the part of ``traceback`` that is to be printed, if it is not all.
        """
        kind = _mixed_with(original[0]) if original else None
        if original and kind is None:
            instance: BaseException = original[1].make(original[0])
            set_own(instance, "__cause__", cause)
            cause = instance
        kind = kind or _builtin_class(builtin or type, is_group=bool(members))
        parts = original[1] if original else parts and parts.without(_OWN)
        error = _bare(kind, parts, message, members)
        args = own(error, "args")
        RemoteError.__init__(error, type, message, traceback, cause, worker)
        if parts is not None:
            set_own(error, "args", args)
            parts.without(_PRIVATE).set_attributes(error)
        set_own(error, "__cause__", cause)
        place = _without_end((own_traceback or traceback).rstrip(), message, notes)
        entries_of(error)["_remote_note"] = place
        for note in filter(None, (*notes, place)):
            add_note(error, note)
        _set_text(error)
        return error

    def __str__(self) -> str:
        entries = entries_of(self)  # not its attributes: the peer's class may have others of these names
        type, message = entries["_remote_own"]["type"], entries["_remote_own"]["message"]
        where = f" in worker {entries['_remote_worker']}" if entries["_remote_worker"] else ""
        return f"{type}{where}: {message}" if message else f"{type}{where}"

    def __repr__(self) -> str:
        origin = entries_of(self)["_remote_own"]
        type, message = origin["type"], origin["message"]
        text = f"{type}: {message}" if message else type
        return f"RemoteError({text!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        kind = type(self)
        args, attributes = ExceptionParts.of(self)
        members = own(self, "exceptions") if issubclass(kind, BaseExceptionGroup) else ()
        base = None if kind is RemoteError else kind.__bases__[-1]
        notes = list(entries_of(self).get("__notes__", ()))
        return _again, (base, None if _has_own_args(self) else args, members, attributes, notes)


RemoteError.__module__ = "aioparcs.errors"  # as it is imported, printed and pickled


def origin_of(error: BaseException) -> tuple[str, str] | None:
    """Return the type and the message that a `RemoteError` was made with, whatever attributes hide them."""
    return _origin(error) if issubclass(type(error), RemoteError) else None


def type_name(kind: type[BaseException]) -> str:
    """Return the name that a peer gets for a class: with its module, unless that is the program or Python's own."""
    module: Any = kind.__module__  # a class may have set any
    is_plain = not isinstance(module, str) or module in ("builtins", "__main__")
    return kind.__qualname__ if is_plain else f"{module}.{kind.__qualname__}"


def set_worker(error: RemoteError, worker: str) -> None:
    """Set where an error was raised, unless it is known; an attribute ``worker`` of the peer's own class stays."""
    entries = entries_of(error)
    entries["_remote_worker"] = entries["_remote_worker"] or worker


def add_note(error: BaseException, note: str) -> None:
    """Add a note to an exception, also to one whose class refuses to have attributes set."""
    entries_of(error).setdefault("__notes__", []).append(note)


def notes_of(error: BaseException) -> tuple[list[str], list[str]]:
    """Return the note of a `RemoteError` that is the peer's traceback, if it has one; and all others."""
    try:
        values = getattr(error, "__notes__", None)
    except Exception:  # a class may have code of its own there
        values = None
    notes = [str.__str__(note) for note in values if issubclass(type(note), str)] if type(values) is list else []
    place = entries_of(error)["_remote_note"] if issubclass(type(error), RemoteError) else ""
    return [note for note in notes if note == place], [note for note in notes if note != place]


def parts_of(error: BaseException) -> ExceptionParts:
    """Return the parts of an exception, of a `RemoteError` those of the peer's."""
    args, attributes = ExceptionParts.of(error)
    for name in ITEM_ENTRIES:
        attributes.pop(name, None)
    if issubclass(type(error), RemoteError):
        ours = entries_of(error)["_remote_own"] | dict.fromkeys(_PRIVATE)
        attributes = {
            name: value
            for name, value in attributes.items()
            if name not in _PRIVATE and not (name in ours and ours[name] is value)
        }
        args = args[1:] if _has_own_args(error) else args
    return ExceptionParts(args, attributes)


def _origin(error: BaseException) -> tuple[str, str]:
    values = entries_of(error)["_remote_own"]
    return values["type"], values["message"]


def _has_own_args(error: BaseException) -> bool:
    """Return True if the args of a `RemoteError` are its type and message: the peer's are not known."""
    args, origin = own(error, "args"), _origin(error)
    return len(args) == len(origin) and all(map(is_, args, origin))


def _again(base: Any, args: Any, members: Any, attributes: dict[str, Any], notes: list[str]) -> RemoteError:
    """Return the error that was pickled or copied."""
    kind = RemoteError if base is None else _mixed_with(base) or RemoteError
    parts = None if args is None else ExceptionParts(args, {})
    values = attributes["_remote_own"]
    error = _bare(kind, parts, values["message"], members)
    if parts is None:
        set_own(error, "args", (values["type"], values["message"]))
    ExceptionParts((), attributes).set_attributes(error)
    cause = values["cause"]
    set_own(error, "__cause__", cause if isinstance(cause, BaseException) else None)
    if notes:
        entries_of(error)["__notes__"] = notes
    _set_text(error)
    return error


def _set_text(error: RemoteError) -> None:
    """Set the text of a SyntaxError, which a traceback prints in place of ``str()``."""
    if issubclass(type(error), SyntaxError):
        vars(SyntaxError)["msg"].__set__(error, RemoteError.__str__(error))


def _bare(
    kind: type[RemoteError], parts: ExceptionParts | None, message: str, members: Sequence[BaseException]
) -> RemoteError:
    """Return an error that has only what the builtin class has; nothing, if the peer's args are none of its."""
    if issubclass(kind, BaseExceptionGroup):
        text = parts.args[0] if parts and parts.args and type(parts.args[0]) is str else message
        return ExceptionParts((text, list(members)), {}).bare(kind)
    if parts is not None:
        try:
            return parts.bare(kind)
        except Exception:  # a peer may send any
            pass
    return blank(kind)


_mixed: dict[type, type[RemoteError] | None] = {RemoteError: RemoteError}


def _mixed_with(base: type[BaseException]) -> type[RemoteError] | None:
    """Return the class that is both a RemoteError and another one; None if there can be none."""
    if base not in _mixed:
        try:
            inner = base.__mro__[: base.__mro__.index(builtin_base(base))]
            hiding = {name: vars(cls)[name] for cls in reversed(inner) for name in _HIDEABLE if name in vars(cls)}
            kind = type("RemoteError", (RemoteError, base), {"__module__": "aioparcs.errors", **hiding})
        except Exception:  # their layouts or metaclasses differ, or the class allows no other below it
            kind = None
        _mixed[base] = kind
    return _mixed[base]


def _builtin_class(name: str, *, is_group: bool) -> type[RemoteError]:
    """Return the class for the builtin of that name; of others there is any number, and they come from outside."""
    if is_group:
        return _mixed_with(ExceptionGroup) or RemoteError
    builtin = getattr(builtins, name, None)
    if not isinstance(builtin, type) or not issubclass(builtin, Exception):
        return RemoteError
    if issubclass(builtin, (*_NOT_MIXED, BaseExceptionGroup)):
        return RemoteError
    return _mixed_with(builtin) or RemoteError


def _without_end(traceback: str, message: str, notes: Sequence[str]) -> str:
    """Return a traceback without its last lines, the exception's class, message and notes, where it ends in those."""
    for note in reversed(notes):  # some may have been added where it was sent or received
        traceback = traceback.removesuffix(note).rstrip("\n")
    return traceback.removesuffix(message).rpartition("\n")[0] if traceback.endswith(message) else traceback
