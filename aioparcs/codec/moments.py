"""Dates and times of day as text, with their time zones."""

from __future__ import annotations

import re
from datetime import UTC, datetime, time, timedelta, timezone, tzinfo
from typing import Any

import msgpack

from aioparcs.errors import EncodeError

__all__ = ["is_utc", "moment_from", "moment_parts", "time_from", "time_parts", "timestamp"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST, _LAST = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)
# Names in the time zone database. `zoneinfo` reads a file of that name: a peer can't name any other.
_KEY = re.compile(r"[A-Za-z0-9_+-]{1,40}(/[A-Za-z0-9_+-]{1,40}){0,3}")


def is_utc(value: datetime) -> bool:
    """Return True for a moment in UTC that arrives as such: its zone has no other name to keep."""
    zone = value.tzinfo
    if zone is UTC:
        return not value.fold  # which a timestamp has no room for
    return zone is not None and not _has_form(zone) and value.tzname() == "UTC"


def timestamp(value: datetime) -> Any:
    """Return a moment as the packer takes it; raise EncodeError for one that would arrive as another."""
    if value.utcoffset() is None:
        raise EncodeError("", "a datetime without a time zone; give it one, such as datetime.timezone.utc")
    # Not Timestamp.from_datetime: it goes through a float, which rounds far dates to the next second.
    if not _FIRST <= value <= _LAST:
        raise EncodeError("", "a datetime outside of the years 1 to 9999 in UTC")
    if value.tzname() != "UTC":
        what = f"a datetime in the zone {value.tzname()} would arrive in UTC"
        raise EncodeError("", f"{what}; send value.astimezone(datetime.timezone.utc), and the zone beside it")
    since: timedelta = value - _EPOCH
    return msgpack.Timestamp(since.days * 86400 + since.seconds, since.microseconds * 1000)


def moment_parts(value: datetime) -> list[Any]:
    """Return a datetime as text, and what the text can't hold: the zone's key or name, and the fold."""
    return [value.isoformat(), *_details(value.tzinfo, value.fold)]


def moment_from(text: Any, zone: Any = "", name: Any = "", fold: Any = 0) -> datetime:
    """Return the datetime of its parts; raise ValueError or TypeError if they are none."""
    moment = datetime.fromisoformat(text)
    if not zone:
        return moment.replace(tzinfo=_named(moment.tzinfo, name), fold=fold)
    local = moment.replace(tzinfo=_zone(zone), fold=fold)
    # The sender's time zone database may be another one: then the moment counts, not what its clocks showed.
    return local if local.utcoffset() == moment.utcoffset() else moment.astimezone(local.tzinfo)


def time_parts(value: time) -> list[Any]:
    """Return a time of day as text, and what the text can't hold."""
    return [value.isoformat(), *_details(value.tzinfo, value.fold)]


def time_from(text: Any, zone: Any = "", name: Any = "", fold: Any = 0) -> time:
    """Return the time of day of its parts; raise ValueError or TypeError if they are none."""
    moment = time.fromisoformat(text)
    return moment.replace(tzinfo=_zone(zone) if zone else _named(moment.tzinfo, name), fold=fold)


def _details(zone: tzinfo | None, fold: int) -> list[Any]:
    key = name = ""
    if type(zone) is timezone:
        own, offset = zone.tzname(None), zone.utcoffset(None)
        if abs(offset) < timedelta(seconds=1) and offset:  # Python reads no such text back
            raise EncodeError("", f"the time zone {own} cannot be sent: it is less than a second from UTC")
        name = own if own != timezone(offset).tzname(None) else ""
        _check_name(own)
    elif zone is not None:
        if not _has_form(zone):
            kind = f"{type(zone).__module__}.{type(zone).__qualname__}"
            advice = "use a zoneinfo.ZoneInfo with a key, or a datetime.timezone"
            raise EncodeError("", f"the time zone {zone} is a {kind}, which cannot be sent; {advice}")
        key = zone.key  # type: ignore[attr-defined]  # it is a ZoneInfo
    return [key, name, fold] if key or name or fold else []


def _check_name(name: str) -> None:
    """Raise EncodeError for the name of a fixed offset that would arrive as another."""
    if not name:  # which says that there is none of its own
        raise EncodeError("", "a time zone whose name is empty; give it a name, or leave it out for the usual one")
    try:
        name.encode()
    except UnicodeEncodeError as error:
        raise EncodeError("", f"a time zone whose name is invalid Unicode text: {error}") from None


def _has_form(zone: tzinfo) -> bool:
    """Return True for a time zone whose name says all, without importing zoneinfo."""
    kind = type(zone)
    return kind is timezone or (kind.__module__ == "zoneinfo" and bool(_KEY.fullmatch(str(getattr(zone, "key", "")))))


def _named(zone: tzinfo | None, name: Any) -> tzinfo | None:
    """Return a zone of a fixed offset with a name of its own, if it had one."""
    offset = zone.utcoffset(None) if zone and name else None
    return timezone(offset, name) if offset is not None else zone


def _zone(key: Any) -> tzinfo:
    if not _KEY.fullmatch(key):
        raise ValueError("that is no name of a time zone")
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError  # few messages need it

    try:
        return ZoneInfo(key)
    except ZoneInfoNotFoundError:
        raise ValueError(f"the time zone {key} is not known here; install tzdata") from None
