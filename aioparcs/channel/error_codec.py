"""Exceptions as maps on the wire, {type, message, traceback, cause, builtin} and more, and back."""

from __future__ import annotations

import traceback
from typing import Any

from aioparcs import codec
from aioparcs.errors import EncodeError, ExceptionParts, RemoteError, builtin_base, notes_of, origin_of, parts_of

__all__ = ["decode_error", "decode_error_or_default", "encode_error"]

# Characters of a traceback that travel; the end is the part that says what happened. Bytes of args and attributes.
_LONGEST = 64 << 10
# Characters of the text that stands for an argument which can't be sent.
_TEXT = 1 << 10
# Causes of causes that travel; a cycle of them ends here too. So do groups within groups.
_CAUSES = 16
# Members of a group that travel, and notes.
_MEMBERS, _NOTES = 64, 16


def encode_error(error: BaseException, *, causes: int = _CAUSES, text: str | None = None) -> dict[str, Any]:
    """
    Return the map that describes an exception to the peer; it can be encoded whatever the exception's class does.

    Args:
        error: the exception.
        causes: how many causes of causes go along.
        text: its traceback, by default the whole one.
    """
    kind = type(error)
    name = (
        kind.__qualname__ if kind.__module__ in ("builtins", "__main__") else f"{kind.__module__}.{kind.__qualname__}"
    )
    type_name, message = origin_of(error) if isinstance(error, RemoteError) else (name, _text(error))
    state, problem = _state(error, message)
    return {
        "type": _clean(type_name),
        "message": _clean(message),
        "traceback": _clean(_traceback(error) if text is None else text),
        # A traceback shows its causes already.
        "cause": encode_error(error.__cause__, causes=causes - 1, text="") if error.__cause__ and causes else None,
        "builtin": builtin_base(kind).__name__,
        **_notes(error, problem),
        **_members(error, causes, has_own=text is not None),
        **state,
    }


def _traceback(error: BaseException, *, has_members: bool = True) -> str:
    """Return the traceback of an exception; that of a group without its members, if they have their own."""
    shown = traceback.TracebackException.from_exception(error)
    remote, others = notes_of(error)
    if remote:  # what the peer's traceback ends with, as that of any other error: the notes that travel beside it
        shown.__notes__ = [*remote, *others]
    if isinstance(error, BaseExceptionGroup) and not has_members:
        shown.exceptions = None
    return "".join(shown.format())


def _notes(error: BaseException, problem: str) -> dict[str, Any]:
    _, notes = notes_of(error)  # the other one is in the traceback
    texts = list(map(_clean, notes[-_NOTES:])) + [problem] * bool(problem)
    return {"notes": texts} if texts else {}


def _members(error: BaseException, depth: int, *, has_own: bool) -> dict[str, Any]:
    """Return the members of a group; and its own traceback, if the whole one is in the map, which shows them too."""
    if not isinstance(error, BaseExceptionGroup) or not depth:
        return {}
    some = error.exceptions[:_MEMBERS]
    members = [encode_error(member, causes=depth - 1, text=_traceback(member, has_members=False)) for member in some]
    rest = len(error.exceptions) - _MEMBERS
    if rest > 0:
        members.append(encode_error(Exception(f"{rest:,} more errors of the group, which are not shown")))
    return {"members": members} | ({} if has_own else {"own_traceback": _clean(_traceback(error, has_members=False))})


def _state(error: BaseException, message: str) -> tuple[dict[str, Any], str]:
    """Return the args and attributes of an exception, in bytes of their own; and what is wrong with them, or ""."""
    entry = next((codec.registered[cls] for cls in type(error).__mro__ if cls in codec.registered), None)
    name = {} if entry is None else {"registered": entry.name}
    try:
        if entry is not None and entry.encode != ExceptionParts.map_of:
            return {**name, "state": _pack({"value": entry.encode(error)})}, ""
        args, attributes = parts_of(error)
        if args == (message,) and not attributes:
            return name, ""
        return {**name, "state": _pack_parts(args, attributes)}, ""
    except Exception as failure:  # also one of the class itself
        return name, f"its args and attributes can't be sent: {_clean(_text(failure))}"


def _pack_parts(args: tuple[Any, ...], attributes: dict[str, Any]) -> bytes:
    """Return the parts of an exception that can be sent, and texts in place of other args."""
    try:
        return _pack({"args": args, "attributes": attributes})
    except EncodeError:
        args = tuple(value if _can_be_sent(value) else _clean(_text(value))[-_TEXT:] for value in args)
        attributes = {key: value for key, value in attributes.items() if _can_be_sent(value)}
        return _pack({"args": args, "attributes": attributes})


def _pack(values: Any) -> bytes:
    body, buffers = codec.encode_inline(values)
    if buffers or len(body) > _LONGEST:
        raise EncodeError("$", f"more than {_LONGEST:,} bytes")
    return body


def _can_be_sent(value: Any) -> bool:
    try:
        _pack(value)
    except EncodeError:
        return False
    return True


def _text(error: Any) -> str:
    try:
        return str(error)
    except BaseException as failure:
        return f"str() of it raised {type(failure).__name__}"


def _clean(text: str) -> str:
    """Shorten a text, and replace invalid Unicode, such as odd bytes of a file's name."""
    return text[-_LONGEST:].encode(errors="backslashreplace").decode()


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
        notes.append(f"its args and attributes can't be decoded here: {_clean(_text(error))}")
    return RemoteError.make(
        str(values["type"]),
        message,
        str(values.get("traceback") or ""),
        decode_error_or_default(cause) if cause else None,
        builtin=str(values.get("builtin") or ""),
        original=original,
        parts=parts,
        notes=notes,
        members=[decode_error_or_default(member) for member in members] if members else (),
        own_traceback=str(values.get("own_traceback") or ""),
    )


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
