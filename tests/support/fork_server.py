"""
A Python that has loaded aioparcs and forks the programs of `forked`; not a module to be imported.

A program's process is a child of the process that runs the tests, as if that had started it: it has the same parent,
descriptors, variables, limits and ``__main__``, and ends as any Python does.
"""

import ctypes
import fcntl
import gc
import json
import os
import platform
import resource
import runpy
import signal
import socket
import sys
import threading
from types import ModuleType
from typing import Any

import aioparcs.cli
import aioparcs.launcher.startup
import aioparcs.local
import aioparcs.runner
import aioparcs.service.serving
import aioparcs.service.targets  # noqa: F401  # all of these are loaded for the programs
from aioparcs.launcher.process.prctl import die_with_parent

_CLONE = {"x86_64": 56, "aarch64": 220}[platform.machine()]
_CLONE_PARENT = 0x8000
_LOWEST = 256  # descriptors from here on are out of the way of those that a program inherits
_syscall = ctypes.PyDLL(None).syscall


def _next_program(requests: socket.socket) -> list[str]:
    """Fork the programs that are requested; return in the process of one, with its arguments."""
    while True:
        data, descriptors, _, _ = socket.recv_fds(requests, 1 << 20, 64)
        if not data:
            os._exit(0)
        pid = _fork_sibling()
        if pid == 0:
            requests.detach()  # what its number is next belongs to the program
            request = json.loads(data)
            _become(request, descriptors)
            arguments: list[str] = request["arguments"]
            return arguments
        for descriptor in descriptors:
            os.close(descriptor)
        requests.send(str(pid).encode())


def _find_own_number() -> ctypes.c_int:
    """Find where the C library keeps this thread's number, which its own fork would renew; pthread_kill uses it."""
    first = threading.get_ident()  # the address of what it keeps of the thread
    fields = (ctypes.c_int.from_address(first + offset) for offset in range(0, 2048, 4))
    return next(field for field in fields if field.value == os.getpid())


_own_number = _find_own_number()


def _fork_sibling() -> int:
    """Fork as ``os.fork`` does, but a child of this process's parent."""
    ctypes.pythonapi.PyOS_BeforeFork()
    pid: int = _syscall(_CLONE, _CLONE_PARENT | signal.SIGCHLD, 0, 0, 0, 0)
    if pid == 0:
        _own_number.value = os.getpid()
        ctypes.pythonapi.PyOS_AfterFork_Child()
    else:
        ctypes.pythonapi.PyOS_AfterFork_Parent()
    return pid


def _become(request: dict[str, Any], descriptors: list[int]) -> None:
    """Receive what a program has from its start."""
    _ignore({*request["ignored"], signal.SIGPIPE, signal.SIGXFSZ})  # the last two as Python does
    if request["session"]:
        os.setsid()
    if request["dies"]:
        die_with_parent(os.getppid())
    for limit, values in request["limits"]:
        resource.setrlimit(limit, tuple(values))
    os.sched_setaffinity(0, request["cpus"])
    moved = [fcntl.fcntl(descriptor, fcntl.F_DUPFD, _LOWEST) for descriptor in descriptors]
    os.closerange(0, _LOWEST)
    for descriptor, number in zip(moved, request["numbers"], strict=True):
        os.dup2(descriptor, number)
        os.close(descriptor)
    sys.stdout.reconfigure(line_buffering=os.isatty(1))  # type: ignore[union-attr]  # a text file
    os.chdir(request["folder"])
    for module in tuple(sys.modules.values()):
        if "START_FOLDER" in vars(module):  # it is read when aioparcs is loaded
            vars(module)["START_FOLDER"] = request["folder"]
    os.environ.clear()
    os.environ.update(request["environ"])


def _ignore(ignored: set[int]) -> None:
    """Ignore some signals, and no others."""
    for number in signal.valid_signals():
        if (signal.getsignal(number) is signal.SIG_IGN) != (number in ignored):
            signal.signal(number, signal.SIG_IGN if number in ignored else signal.SIG_DFL)
    if signal.SIGINT not in ignored:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _run(arguments: list[str]) -> None:
    """Run a file, a text or a module as ``__main__``, as Python does with these arguments."""
    sys.orig_argv = [sys.executable, *arguments]
    main = sys.modules["__main__"] = ModuleType("__main__")
    main.__dict__["__builtins__"] = __builtins__
    option, *rest = arguments
    if option == "-m":
        sys.argv, sys.path[0] = ["-m", *rest[1:]], os.getcwd()
        runpy._run_module_as_main(rest[0])  # type: ignore[attr-defined]  # as Python itself does it
    elif option == "-c":
        sys.argv, sys.path[0] = ["-c", *rest[1:]], ""
        exec(compile(rest[0], "<string>", "exec"), main.__dict__)
    else:
        path = os.path.abspath(option)
        sys.argv, sys.path[0] = arguments, os.path.dirname(path)
        main.__dict__.update(__file__=path, __cached__=None)
        with open(path, "rb") as file:
            text = file.read()
        exec(compile(text, path, "exec"), main.__dict__)


def _print_error(error: BaseException) -> None:
    """Print an error as Python does, without the frames of this file."""
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename == __file__:
        trace = trace.tb_next
    sys.excepthook(type(error), error.with_traceback(trace), trace)
    sys.excepthook = lambda *_: None


if __name__ == "__main__":
    die_with_parent(os.getppid())
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    gc.collect()
    gc.freeze()
    program = _next_program(socket.socket(fileno=int(sys.argv[1])))
    try:
        _run(program)
    except SystemExit:
        raise
    except BaseException as error:
        _print_error(error)
        raise
