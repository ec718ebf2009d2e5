"""
The GPUs of workers, each given to one worker of this machine at a time.

A worker holds a GPU by a socket with the GPU's name in the kernel's abstract namespace, which the kernel frees when the
worker has ended, however it ends. So no process keeps accounts, and programs that run side by side share the GPUs.
"""

from __future__ import annotations

import errno
import os
import re
import socket
from collections.abc import Mapping
from types import TracebackType
from typing import Self

__all__ = ["ReservedGPUs", "gpus_refusal_reason", "visible_gpus"]

_VISIBLE = "CUDA_VISIBLE_DEVICES"
# A name in the abstract namespace has at most 107 bytes.
_PREFIX, _LONGEST = "\0aioparcs-gpu-", 80


def visible_gpus(environ: Mapping[str, str]) -> list[str]:
    """Return the GPUs that CUDA shows a process with this environment, by the names that CUDA has for them."""
    chosen = environ.get(_VISIBLE)
    if chosen is None:
        return [str(i) for i in range(sum(bool(re.fullmatch(r"nvidia\d+", name)) for name in os.listdir("/dev")))]
    names: list[str] = []
    for name in chosen.split(","):
        if not name.strip() or name.strip().startswith("-"):  # CUDA doesn't show what follows
            break
        names.append(name.strip())
    return list(dict.fromkeys(names))


def gpus_refusal_reason(each: int, workers: int, environ: Mapping[str, str]) -> str | None:
    """Return the reason why workers can't have so many GPUs each, None if there are enough."""
    names = visible_gpus(environ)
    if each * workers <= len(names):
        return None
    many = f"{workers} workers need {each * workers}" if workers > 1 else f"a worker needs {each}"
    there = f"{_VISIBLE}={environ[_VISIBLE]!r}" if _VISIBLE in environ else f"{_VISIBLE} is not set, and in /dev"
    return f"gpus={each}: {many}, and this program sees {len(names)} ({there})"


class ReservedGPUs:
    """
    GPUs that no other worker has, until `close`, or the end of a process that has forked from this one to use them.

    Args:
        count: how many.

    Raises:
        LookupError: so many are not free.
    """

    def __init__(self, count: int) -> None:
        self._names: list[str] = []
        self._sockets: list[socket.socket] = []
        names = visible_gpus(os.environ) if count else []
        try:
            for name in names:
                if len(self._names) < count:
                    self._add(name)
            if len(self._names) < count:
                free = len(self._names)
                text = (
                    f"gpus={count}: {free} of the {len(names)} GPUs that its launcher sees are free; other workers have"
                )
                raise LookupError(f"{text} the rest, of this program or another one")
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def use(self, *, executes: bool) -> None:
        """Show this process these GPUs alone, and hold them to its end, also if it executes another program."""
        if self._names:
            os.environ[_VISIBLE] = ",".join(self._names)
        for holder in self._sockets:
            holder.set_inheritable(executes)
            holder.detach()

    def close(self) -> None:
        """Release the GPUs, unless a process that has forked from this one holds them."""
        for holder in self._sockets:
            holder.close()

    def _add(self, name: str) -> None:
        """Reserve a GPU if it is free."""
        holder = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            holder.bind(f"{_PREFIX}{name[-_LONGEST:]}")
        except OSError as error:
            holder.close()
            if error.errno != errno.EADDRINUSE:
                raise
        else:
            self._names.append(name)
            self._sockets.append(holder)
