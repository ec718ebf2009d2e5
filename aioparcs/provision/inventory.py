"""The inventory: a file in TOML that names hosts, and says of each how to log in, and what it is to be in the Swarm."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Callable, Mapping
from ipaddress import AddressValueError, IPv4Address
from pathlib import Path
from typing import Any

from aioparcs.errors import SettingError
from aioparcs.provision.plans.hosts import MANAGER, WORKER, Host, parse_host

__all__ = ["read_inventory"]

_SHARED = ("user", "port", "key")
_OWN = ("address", *_SHARED, "role", "labels")
_RESERVED = ("io.aioparcs.", "com.docker.", "io.docker.", "org.dockerproject.")


def read_inventory(path: Path, user: str | None = None) -> list[Host]:
    """
    Return the hosts of an inventory, in its order.

    Args:
        path: the file.
        user: who logs in where the file doesn't say.

    Raises:
        SettingError: the file can't be read, or something in it makes no sense: the error names the place.
    """
    try:
        return _Inventory(path, path.read_text(encoding="utf-8")).hosts(user)
    except OSError as error:
        raise SettingError(f"{path} can't be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise SettingError(f"{path} can't be read: it is no text in UTF-8") from error
    except tomllib.TOMLDecodeError as error:
        raise SettingError(f"{path} is no TOML: {error}") from error


class _Inventory:
    def __init__(self, path: Path, text: str) -> None:
        self._path, self._text = path, text
        self._content = tomllib.loads(text)

    def hosts(self, user: str | None) -> list[Host]:
        tables = self._content.pop("hosts", {})
        self._check_names("", self._content, (*_SHARED, "hosts"))
        if not isinstance(tables, dict) or not tables:
            raise self._error("", "hosts", "names no host; write for example [hosts.node1]")
        shared = {key: self._value("", key, value) for key, value in self._content.items()}
        return [self._host(name, table, {"user": user or ""} | shared) for name, table in tables.items()]

    def _host(self, name: str, table: Any, shared: Mapping[str, Any]) -> Host:
        place = f"hosts.{name}"
        if not isinstance(table, dict):
            raise self._error("hosts", name, "is no table; write for example [hosts.node1], or node1 = {}")
        if parse := _problem_of_name(name):
            raise self._error("hosts", name, parse)
        self._check_names(place, table, _OWN)
        return Host(name, **{**shared, **{key: self._value(place, key, value) for key, value in table.items()}})

    def _check_names(self, place: str, table: Mapping[str, Any], known: tuple[str, ...]) -> None:
        for name in table:
            if name not in known:
                raise self._error(place, name, f"is no setting; there are: {', '.join(sorted(known))}")

    def _value(self, place: str, key: str, value: Any) -> Any:
        try:
            return _READERS[key](value, self._path.parent)
        except ValueError as error:
            raise self._error(place, key, str(error)) from None

    def _error(self, place: str, key: str, text: str) -> SettingError:
        line = self._line(place, key)
        where = f"{self._path}, line {line}" if line else str(self._path)
        return SettingError(f"{where}: {f'{place}.' if place else ''}{key} {text}")

    def _line(self, place: str, key: str) -> int:
        """Return the number of the line that has a key: the first one with it after the table's name; 0 if none has."""
        lines = self._text.splitlines()
        first = 0
        if host := place.partition(".")[2]:
            first = next((n for n, line in enumerate(lines) if _has_key(line, host)), 0)
        return next((n for n, line in enumerate(lines[first:], first + 1) if _has_key(line, key)), 0)


def _has_key(line: str, key: str) -> bool:
    """Return whether a line has a key, bare or in quotes, at the end of a table's name or before an equals sign."""
    return bool(re.search(rf"""(?<![\w-])["']?{re.escape(key)}["']?\s*[]=.]""", line.partition("#")[0]))


def _problem_of_name(name: str) -> str:
    try:
        host = parse_host(name)
    except SettingError:
        return "does not name a host: write its name or its address"
    return "" if host == Host(name) else "names a user or a port: these are settings of its own, user and port"


def _text(value: Any, _folder: Path) -> str:
    if not isinstance(value, str) or not value or not value.isprintable():
        raise ValueError(f"= {value!r} is no text")
    return value


def _port(value: Any, _folder: Path) -> int:
    if type(value) is not int or value not in range(1, 65536):
        raise ValueError(f"= {value!r} is no port, 1 to 65535")
    return value


def _key(value: Any, folder: Path) -> str:
    path = folder / os.path.expanduser(_text(value, folder))  # Path's own raises RuntimeError for an unknown user
    if not path.is_file():
        raise ValueError(f"= {value!r}: there is no file {path}")
    return str(path)


def _address(value: Any, folder: Path) -> str:
    try:
        return str(IPv4Address(_text(value, folder)))
    except AddressValueError:
        raise ValueError(f"= {value!r} is no IPv4 address") from None


def _role(value: Any, _folder: Path) -> str:
    if value not in (MANAGER, WORKER):
        raise ValueError(f"= {value!r} is no role: {MANAGER!r} or {WORKER!r}")
    return str(value)


def _labels(value: Any, folder: Path) -> tuple[tuple[str, str], ...]:
    if not isinstance(value, dict):
        raise ValueError(f'= {value!r} is no table: {{ disk = "ssd" }}')
    for name, text in value.items():
        if name.startswith(_RESERVED) or not re.fullmatch(r"[\w.-]+", name):
            raise ValueError(f"has the label {name!r}: letters, digits and ._- are allowed, and no name of Docker's")
        if not isinstance(text, str):
            raise ValueError(f'has the label {name} = {text!r}, which is no text: {name} = "{text}"')
    return tuple(sorted(value.items()))


_READERS: dict[str, Callable[[Any, Path], Any]] = {
    "user": _text, "port": _port, "key": _key, "address": _address, "role": _role, "labels": _labels
}  # fmt: skip
