"""The words of errors for a launcher that serves nothing: what its program has not done."""

from __future__ import annotations

from typing import NamedTuple

from aioparcs.qualname import MAIN, QualifiedName, program_file
from aioparcs.runner.state.records import LauncherRecord

__all__ = ["why_ended", "why_late"]

# What Docker says of a container for which no node has enough CPUs or memory left.
_FULL = "insufficient resources"
_UNSTARTED = "its launcher is connected; is its fork server stopped (SIGSTOP), or its machine overloaded?"


class _Readiness(NamedTuple):
    """
    What makes a program a launcher.

    Attributes:
        program: the program.
        condition: what it must have done.
        otherwise: why it serves nothing although it has ended without an error; "" for the same words as with one.
    """

    program: str
    condition: str
    otherwise: str = ""


_ANSWER = _Readiness("its main.py", "answered the runner")
_SERVE = _Readiness(
    "its main.py",
    "called serve(...)",
    "its main.py ended without calling serve(...): add serve(NAME) at its end",
)


def why_ended(launcher: LauncherRecord) -> str:
    """Return why there are no workers of a launcher that has ended."""
    assert launcher.end
    state, readiness = launcher.end.state, _readiness(launcher)
    if state.exitcode == 0 and readiness.otherwise:
        return readiness.otherwise
    if state.state == "failed":
        return state.reason
    return f"{readiness.program} {state.reason} before it {readiness.condition}"


def why_late(launcher: LauncherRecord) -> str:
    """Return what a launcher may still be waiting for, or what it may have forgotten."""
    if launcher.was_connected:
        return _UNSTARTED
    readiness, reason = _readiness(launcher), launcher.waits_for
    if _FULL in reason:
        return f"{reason}{_needs(launcher)}"
    return reason or f"has {readiness.program} {readiness.condition}?"


def _needs(launcher: LauncherRecord) -> str:
    """Return what a launcher's container has to have on its node, as the end of a sentence; "" for nothing special."""
    spec, size = launcher.group.spec, launcher.size
    cpus, memory, gpus = (spec.cpus or 0) * size, (spec.memory or 0) * size >> 20, spec.gpus * size
    parts = [f"{cpus:g} free CPU{'s' * (cpus != 1)}"] if cpus else []
    parts += [f"{memory:,} MiB of free memory"] if memory else []
    parts += [f"{gpus} free GPU{'s' * (gpus != 1)}"] if gpus else []
    return f"; it needs a node with {' and '.join(parts)}" if parts else ""


def _readiness(launcher: LauncherRecord) -> _Readiness:
    target = launcher.group.spec.target
    if launcher.is_original:
        return _ANSWER
    if target is None:
        return _SERVE
    module = QualifiedName.parse(target).module
    return _run_readiness() if module == MAIN else _Readiness("its launcher", f"had imported {module}")


def _run_readiness() -> _Readiness:
    """Return what a launcher of this program must have done; its file may have any name."""
    program = f"its {program_file()}"
    otherwise = f"{program} ended without calling run(...): it must do so in its launchers too"
    return _Readiness(program, "called run(...)", otherwise)
