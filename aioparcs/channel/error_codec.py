"""Exceptions as maps on the wire, {type, message, traceback, cause, builtin} and more, and back."""

from __future__ import annotations

import traceback
from collections import deque
from collections.abc import Iterable
from functools import partial
from typing import Any, Literal

from aioparcs import codec
from aioparcs.errors import (
    CallTimeout,
    EncodeError,
    ExceptionParts,
    RemoteError,
    builtin_base,
    describe,
    notes_of,
    origin_of,
    own,
    parts_of,
    text_of,
    type_name,
)

__all__ = [
    "LimitPassed",
    "decode_call_error",
    "decode_error",
    "decode_error_or_default",
    "encode_error",
    "encode_timeout",
]

# Bytes of a text that travels; the end is the part that says what happened. Bytes of args and attributes.
_LONGEST = 64 << 10
# Bytes of a whole map, with those of causes and members. With fewer left than the second, no more of these go along.
_TOTAL, _LEAST = 1 << 20, 4 << 10
# Bytes of a map beside its texts, and the shortest that a text is cut to.
_FRAME, _SHORTEST = 200, 256
# Characters of the text that stands for an argument which can't be sent.
_TEXT = 1 << 10
# Causes of causes that travel; a cycle of them ends here too. So do groups within groups.
_CAUSES = 16
# Members of a group that travel, and notes.
_MEMBERS, _NOTES = 64, 16
_Role = Literal["whole", "cause", "member"]
# The type of the error that answers a call which has passed its time limit.
_TIMED_OUT = "aioparcs.CallTimeout"


class LimitPassed(Exception):
    """A worker has stopped a call at its time limit; its caller gets a `CallTimeout`."""

    def __init__(self, limit: float, stack: str) -> None:
        super().__init__(limit, stack)
        self.limit = limit
        self.stack = stack


def encode_error(error: BaseException) -> dict[str, Any]:
    """
    Return the map that describes an exception to the peer.

    It can be encoded whatever the exception's class does and however large the exception is: what raises is left out,
    what is too large is cut, and the map says so.
    """
    if type(error) is LimitPassed:
        return encode_timeout(error.limit, error.stack, ended_worker=False)
    return _encode(error, _Room(), _CAUSES, "whole")


class _Room:
    """The bytes that are left for an error's map: a text gets at most a quarter of them, so that others fit too."""

    def __init__(self) -> None:
        self.left = _TOTAL

    @property
    def limit(self) -> int:
        """How many bytes the next text may have."""
        return min(_LONGEST, max(_SHORTEST, self.left // 4))

    @property
    def is_used_up(self) -> bool:
        """True when no further exception is to go along."""
        return self.left < _LEAST

    def text(self, text: str) -> str:
        """Return a text, or its end if it is too long, with invalid Unicode, as of a file's odd name, replaced."""
        limit = self.limit
        data = text[-limit:].encode(errors="backslashreplace")
        is_cut = len(text) > limit or len(data) > limit
        data = data[-limit:]
        self.left -= len(data)
        return f"[the end of a longer text] {data.decode(errors='ignore')}" if is_cut else data.decode()

    def texts(self, **texts: str) -> dict[str, Any]:
        """Return the beginning of a map, with texts."""
        self.left -= _FRAME
        return {name: self.text(text) for name, text in texts.items()}

    def packed(self, values: Any) -> bytes:
        """Return values in bytes of their own; raise EncodeError for values that can't be sent, or are too large."""
        body, buffers = codec.encode_inline(values)
        if buffers or len(body) > self.limit:
            raise EncodeError("$", f"more than {self.limit:,} bytes")
        return body


def _encode(error: BaseException, room: _Room, depth: int, role: _Role) -> dict[str, Any]:
    """
    Return the map of an exception.

    Args:
        error: the exception.
        room: how large it may be.
        depth: how many causes of causes, or groups within groups, go along.
        role: what it is: a cause is in the traceback of what it has caused, and a member of a group has its own part.
    """
    try:
        return _map_of(error, room, depth, role)
    except BaseException as failure:  # its class has a metaclass with code of its own
        name = type.__dict__["__name__"].__get__(type(error))
        note = f"it can't be described: {text_of(failure)}"
        return room.texts(type=name, message="", traceback="") | {"notes": [room.text(note)]}


def _map_of(error: BaseException, room: _Room, depth: int, role: _Role) -> dict[str, Any]:
    kind = type(error)
    name, message = origin_of(error) or (type_name(kind), text_of(error))
    shown = "" if role == "cause" else _traceback(error, has_members=role == "whole")
    values = room.texts(type=name, message=message, traceback=shown)
    values |= {"cause": None, "builtin": builtin_base(kind).__name__}
    state, problems = _state(error, message, room)
    notes = _notes(error, room)
    cause = own(error, "__cause__")
    if cause is not None and depth:
        if room.is_used_up:
            problems.append("its cause is not shown: the error is too large")
        else:
            values["cause"] = _encode(cause, room, depth - 1, "cause")
    if notes or problems:
        values["notes"] = notes + list(map(room.text, problems))
    return values | _members(error, room, depth, role) | state


def encode_timeout(limit: float, stack: str, *, ended_worker: bool) -> dict[str, Any]:
    """Return the map that describes a call which has passed its time limit."""
    message = f"not done within its time limit of {limit:g} s"
    error = _Room().texts(type=_TIMED_OUT, message=message, traceback=stack)
    return {**error, "cause": None, "builtin": "TimeoutError", "limit": limit, "ended": ended_worker}


def _traceback(error: BaseException, *, has_members: bool = True) -> str:
    """Return the traceback of an exception; that of a group without its members, if they have their own."""
    try:
        shown = traceback.TracebackException.from_exception(error)
        remote, others = notes_of(error)
        if remote:  # what the peer's traceback ends with, as that of any other error: the notes that travel beside it
            shown.__notes__ = [*remote, *others]
        if not has_members:
            shown.exceptions = None
        return _end(shown.format())
    except BaseException as failure:  # as of a SyntaxError whose text is none
        frames = traceback.format_tb(own(error, "__traceback__"))
        head = f"[this traceback is not complete: to print the exception raised {describe(failure)}]\n"
        last = f"{type_name(type(error))}: {text_of(error)}\n"
        return _end([head, "Traceback (most recent call last):\n", *frames, last])


def _end(pieces: Iterable[str]) -> str:
    """Return the end of a text, long enough to see that it is cut; the whole one may be gigabytes."""
    end, size = deque[str](), 0
    for piece in pieces:
        end.append(piece)
        size += len(piece)
        while size - len(end[0]) > _LONGEST:
            size -= len(end.popleft())
    return "".join(end)


def _notes(error: BaseException, room: _Room) -> list[str]:
    _, notes = notes_of(error)  # the other one is in the traceback
    rest = len(notes) - _NOTES
    head = [f"{rest:,} more notes, which are not shown"] if rest > 0 else []
    return head + list(map(room.text, notes[-_NOTES:]))


def _members(error: BaseException, room: _Room, depth: int, role: _Role) -> dict[str, Any]:
    """Return the members of a group; and its own traceback, if the whole one is in the map, which shows them too."""
    if not issubclass(type(error), BaseExceptionGroup) or not depth:
        return {}
    values = {"own_traceback": room.text(_traceback(error, has_members=False))} if role == "whole" else {}
    members, every = list[Any](), own(error, "exceptions")
    for member in every[:_MEMBERS]:
        if room.is_used_up:
            break
        members.append(_encode(member, room, depth - 1, "member"))
    if rest := len(every) - len(members):
        message = f"{rest:,} more errors of the group, which are not shown"
        members.append(room.texts(type="Exception", message=message, traceback=""))
    return values | {"members": members}


def _state(error: BaseException, message: str, room: _Room) -> tuple[dict[str, Any], list[str]]:
    """Return the args and attributes of an exception, in bytes of their own; and what is wrong with them, if it is."""
    name: dict[str, Any] = {}
    try:
        entry = next((codec.registered[cls] for cls in type(error).__mro__ if cls in codec.registered), None)
        if entry is not None:
            name = {"registered": entry.name}
        if entry is not None and entry.encode != ExceptionParts.map_of:
            state = room.packed({"value": entry.encode(error)})
        else:
            args, attributes = parts_of(error)
            if not attributes and list(map(type, args)) == [str] and args[0] == message:
                return name, []
            state = _pack_parts(args, attributes, room)
    except BaseException as failure:  # also one of the class itself
        return name, [f"its args and attributes can't be sent: {describe(failure)}"]
    room.left -= len(state)
    return {**name, "state": state}, []


def _pack_parts(args: tuple[Any, ...], attributes: dict[str, Any], room: _Room) -> bytes:
    """Return the parts of an exception that can be sent, and texts in place of other args."""
    try:
        return room.packed({"args": args, "attributes": attributes})
    except EncodeError:
        args = tuple(value if _can_be_sent(value, room) else _Room().text(text_of(value)[-_TEXT:]) for value in args)
        attributes = {key: value for key, value in attributes.items() if _can_be_sent(value, room)}
        return room.packed({"args": args, "attributes": attributes})


def _can_be_sent(value: Any, room: _Room) -> bool:
    try:
        room.packed(value)
    except EncodeError:
        return False
    return True


def decode_call_error(values: Any) -> RemoteError | CallTimeout:
    """Return the error of a call: a `CallTimeout`, or the `RemoteError` of what should be an error map."""
    try:
        if values["type"] == _TIMED_OUT:
            stack = str(values.get("traceback") or "")
            return CallTimeout(float(values["limit"]), stack, ended_worker=values.get("ended") is True)
    except Exception:
        pass
    return decode_error(values)


def decode_error(values: Any) -> RemoteError:
    """Return the `RemoteError` of what should be an error map."""
    try:
        return decode_error_or_default(values)
    except Exception:  # the peer may have sent any value, and text can't be made of each
        return RemoteError.make("Exception", "the peer's program failed, and its error can't be read")


def decode_error_or_default(values: Any) -> RemoteError:
    """Return the `RemoteError` of an error map."""
    cause, members, message = values.get("cause"), values.get("members"), str(values["message"])
    notes = list(map(str, values.get("notes") or ()))
    original, parts = None, ExceptionParts((message,), {})
    try:
        original, parts = _original(values, parts)
    except Exception as error:  # the peer's class may have attributes that are not known here
        notes.append(f"its args and attributes can't be decoded here: {describe(error)}")
    make = partial(
        RemoteError.make,
        str(values["type"]),
        message,
        str(values.get("traceback") or ""),
        decode_error_or_default(cause) if cause else None,
        builtin=str(values.get("builtin") or ""),
        parts=parts,
        members=[decode_error_or_default(member) for member in members] if members else (),
        own_traceback=str(values.get("own_traceback") or ""),
    )
    try:
        return make(original=original, notes=notes)
    except Exception as error:
        if original is None:
            raise
        notes.append(f"it can't be made here as {original[0].__qualname__}: {describe(error)}")
        return make(notes=notes)


def _original(
    values: Any, parts: ExceptionParts
) -> tuple[tuple[type[BaseException], ExceptionParts] | None, ExceptionParts]:
    """Return the class of the peer's exception, if it is known here, and its parts."""
    entry, state = codec.named.get(values.get("registered")), values.get("state")
    is_known = entry is not None and issubclass(entry.cls, Exception)
    if state is None:
        return ((entry.cls, parts) if entry and is_known else None), parts
    value = codec.decode(state)
    if "value" not in value:
        parts = ExceptionParts.from_map(value)
        return ((entry.cls, parts) if entry and is_known else None), parts
    if not entry or not is_known:
        return None, parts
    instance = entry.decode(value["value"])
    return (type(instance), parts_of(instance)), parts
