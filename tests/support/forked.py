"""Programs that are forked from a Python which has loaded aioparcs: they start in half the time."""

import inspect
import json
import os
import platform
import resource
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

import pytest

from tests.support.deep import IS_DEEP
from tests.support.leaks import SESSION

__all__ = ["FILE", "ForkServer", "can_fork", "is_fork_server"]

FILE = Path(__file__).with_name("fork_server.py")
"""The program of the process that forks."""

# Variables that Python and its libraries have read before the fork: a program with other ones starts from nothing.
_READ_BEFORE = ("PYTHON", "LD_", "LC_", "LANG", "MALLOC_", "TZ", SESSION)
_LIMITS = [getattr(resource, name) for name in dir(resource) if name.startswith("RLIMIT_")]
# What subprocess gives to start a process, and what the programs that are forked leave as it is.
_NAMES = list(inspect.signature(subprocess.Popen._execute_child).parameters)[1:]  # type: ignore[attr-defined]
_PLAIN = {"executable": None, "shell": False, "close_fds": True, "gid": None, "gids": None, "uid": None, "umask": -1,
          "process_group": -1}  # fmt: skip
_THAT_OF_LAUNCHERS = "aioparcs.local.process"  # whose `preexec_fn` has them die with their parent


def can_fork() -> bool:
    """Return whether programs may be forked: not where coverage or `make test-deep` has each start from nothing."""
    return platform.machine() in ("x86_64", "aarch64") and not IS_DEEP and "COVERAGE_PROCESS_CONFIG" not in os.environ


class ForkServer:
    """
    A process that forks programs, each a child of this process.

    Attributes:
        pid: its own number.
    """

    def __init__(self) -> None:
        self._environ = _read_before(os.environ)
        self._requests, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            command = [sys.executable, str(FILE), str(theirs.fileno())]
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, pass_fds=[theirs.fileno()])
        self.pid = self._process.pid
        self._lock = threading.Lock()  # a thread that starts a program is to get the number of that one

    def close(self) -> None:
        """End it; its programs go on."""
        self._requests.close()
        self._process.wait()

    @contextmanager
    def serving(self) -> Iterator[None]:
        """Fork the programs that this process starts by subprocess."""
        _Popen.server = self
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(subprocess, "Popen", _Popen)
            yield

    def can_start(self, start: Mapping[str, Any]) -> bool:
        """Return whether a program can be forked: a module of ``-m``, a text of ``-c`` or a file, as most are run."""
        if not isinstance(start["args"], list) or not all(start[name] == value for name, value in _PLAIN.items()):
            return False
        python, option, *_ = [*map(str, start["args"]), ""]
        folder, environ = start["cwd"] or ".", os.environ if start["env"] is None else start["env"]
        return (
            python == sys.executable
            and (option in ("-m", "-c") or (option.endswith(".py") and os.path.exists(os.path.join(folder, option))))
            and os.path.isdir(folder)
            and getattr(start["preexec_fn"], "__module__", _THAT_OF_LAUNCHERS) == _THAT_OF_LAUNCHERS
            and _read_before(environ) == self._environ
        )

    def start(self, start: Mapping[str, Any]) -> int:
        """Fork a program, and return the number of its process."""
        descriptors = {number: number for number in start["pass_fds"]}
        for number, name in enumerate(("p2cread", "c2pwrite", "errwrite")):
            descriptors[number] = number if start[name] == -1 else start[name]
        request = {
            "arguments": [os.fspath(argument) for argument in start["args"][1:]],
            "folder": os.path.abspath(start["cwd"] or "."),
            "environ": dict(os.environ if start["env"] is None else start["env"]),
            "session": start["start_new_session"],
            "dies": start["preexec_fn"] is not None,
            "limits": [(limit, resource.getrlimit(limit)) for limit in _LIMITS],
            "ignored": [number for number in signal.valid_signals() if signal.getsignal(number) is signal.SIG_IGN],
            "cpus": list(os.sched_getaffinity(0)),
            "numbers": list(descriptors),
        }
        with self._lock:
            socket.send_fds(self._requests, [json.dumps(request).encode()], list(descriptors.values()))
            return int(self._requests.recv(64))


def is_fork_server(pid: int) -> bool:
    """Return whether a process is that which forks programs."""
    return _Popen.server is not None and _Popen.server.pid == pid


class _Popen(subprocess.Popen[Any]):
    server: ClassVar[ForkServer | None] = None

    def _execute_child(self, *values: Any) -> None:
        start = dict(zip(_NAMES, values, strict=True))
        assert self.server
        if not self.server.can_start(start):
            super()._execute_child(*values)  # type: ignore[misc]  # as all of this it is not in its types
            return
        self.pid = self.server.start(start)
        self._child_created = True
        pipes = [start[name] for name in ("p2cread", "p2cwrite", "c2pread", "c2pwrite", "errread", "errwrite")]
        self._close_pipe_fds(*pipes)  # type: ignore[attr-defined]  # as above


def _read_before(environ: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environ.items() if name.startswith(_READ_BEFORE)}
