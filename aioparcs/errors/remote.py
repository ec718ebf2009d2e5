"""The error that stands for an exception of the peer's program."""

from __future__ import annotations

import builtins
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from aioparcs.errors.parts import ExceptionParts, blank
from aioparcs.errors.root import ParcsError

__all__ = ["RemoteError", "notes_of", "origin_of", "parts_of"]

# Classes that can't be raised freely: they end iterations.
_NOT_MIXED = (StopIteration, StopAsyncIteration)
# The entries of a RemoteError's dictionary that are not the peer's exception's own.
_PRIVATE = {"_remote_worker", "_remote_origin", "_remote_note"}
_OWN = {"type", "message", "traceback", "cause", *_PRIVATE}
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

    An attribute of a registered class hides the one of these that has its name, but for ``worker``; those of other
    classes hide none.

    Attributes:
        type: the name of the peer's exception class.
        message: its text.
        traceback: the peer's traceback as text, or "".
        cause: the RemoteError that caused it, or None. If no class can be both a RemoteError and the peer's, it is
            an instance of the peer's class.
        worker: where it was raised, ``module:number``, or "".
    """

    if TYPE_CHECKING:
        type: str
        message: str
        traceback: str
        cause: Any

    def __init__(
        self, type: str, message: str, traceback: str = "", cause: BaseException | None = None, worker: str = ""
    ) -> None:
        self.args = (type, message)
        self._remote_origin = (type, message)
        self._remote_worker = worker
        self._remote_note = ""
        # Not assigned: the message of a group can't be, nor properties of a registered class.
        self.__dict__.update(type=type, message=message, traceback=traceback, cause=cause)

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
            instance.__cause__, cause = cause, instance
        kind = kind or _builtin_class(builtin or type, is_group=bool(members))
        parts = original[1] if original else parts and parts.without(_OWN)
        error = _bare(kind, parts, message, members)
        args = error.args
        RemoteError.__init__(error, type, message, traceback, cause, worker)
        if parts is not None:
            error.args = args
            parts.without(_PRIVATE).set_attributes(error)
        error.__cause__ = cause
        error._remote_note = _without_end((own_traceback or traceback).rstrip(), message, notes)
        for note in filter(None, (*notes, error._remote_note)):
            error.add_note(note)
        if isinstance(error, SyntaxError):
            error.msg = str(error)  # a traceback prints this in place of the text
        return error

    @property
    def worker(self) -> str:
        """The worker where it was raised, ``module:number``, or ""."""
        return self._remote_worker

    @worker.setter
    def worker(self, name: str) -> None:
        self._remote_worker = name

    def __str__(self) -> str:
        type, message = self._remote_origin
        where = f" in worker {self.worker}" if self.worker else ""
        return f"{type}{where}: {message}" if message else f"{type}{where}"

    def __repr__(self) -> str:
        type, message = self._remote_origin
        text = f"{type}: {message}" if message else type
        return f"RemoteError({text!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        args, members = ExceptionParts.of(self).args, getattr(self, "exceptions", ())
        kind = self.__class__
        base = None if kind is RemoteError else kind.__bases__[-1]
        attributes = ExceptionParts.of(self).attributes
        notes = list(getattr(self, "__notes__", ()))
        return _again, (base, None if self.args == self._remote_origin else args, members, attributes, notes)


RemoteError.__module__ = "aioparcs.errors"  # as it is imported, printed and pickled


def origin_of(error: BaseException) -> tuple[str, str] | None:
    """Return the type and the message that a `RemoteError` was made with, whatever attributes hide them."""
    one: Any = error
    return one._remote_origin if issubclass(type(one), RemoteError) else None


def notes_of(error: BaseException) -> tuple[list[str], list[str]]:
    """Return the note of a `RemoteError` that is the peer's traceback, if it has one; and all others."""
    try:
        values = getattr(error, "__notes__", None)
    except Exception:  # a class may have code of its own there
        values = None
    notes = [str.__str__(note) for note in values if issubclass(type(note), str)] if type(values) is list else []
    one: Any = error
    place = one._remote_note if issubclass(type(one), RemoteError) else ""
    return [note for note in notes if note == place], [note for note in notes if note != place]


def parts_of(error: BaseException) -> ExceptionParts:
    """Return the parts of an exception, of a `RemoteError` those of the peer's."""
    args, attributes = ExceptionParts.of(error)
    if isinstance(error, RemoteError):
        hidden = dict(zip(("type", "message"), error._remote_origin, strict=True))
        attributes = {
            name: value for name, value in attributes.items() if name not in _OWN or hidden.get(name, value) != value
        }
        args = error._remote_origin[1:] if args == error._remote_origin else args
    return ExceptionParts(args, attributes)


def _again(base: Any, args: Any, members: Any, attributes: dict[str, Any], notes: list[str]) -> RemoteError:
    """Return the error that was pickled or copied."""
    kind = RemoteError if base is None else _mixed_with(base) or RemoteError
    parts = None if args is None else ExceptionParts(args, {})
    error = _bare(kind, parts, attributes["message"], members)
    if parts is None:
        error.args = attributes["_remote_origin"]
    ExceptionParts((), attributes).set_attributes(error)
    cause = attributes["cause"]
    error.__cause__ = cause if isinstance(cause, BaseException) else None
    if notes:
        error.__notes__ = notes
    if isinstance(error, SyntaxError):
        error.msg = str(error)
    return error


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
            kind = type("RemoteError", (RemoteError, base), {"__module__": "aioparcs.errors"})
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
