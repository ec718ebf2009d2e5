"""The run of a runner's main.py in this process, as ``python main.py`` would run it."""

from __future__ import annotations

import os
import runpy
import signal
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from aioparcs.errors import SettingError, describe
from aioparcs.runner import Runner
from aioparcs.runner.program import announce_end, explain

__all__ = ["EX_INTERRUPTED", "EX_TERMINATED", "EX_USAGE", "execute", "terminable"]

EX_USAGE = 2
EX_INTERRUPTED = 128 + signal.SIGINT
EX_TERMINATED = 128 + signal.SIGTERM


def execute(folder: Path, arguments: Iterable[str] = (), path: Iterable[str] = ()) -> int:
    """
    Run ``main.py`` of a folder and return the exit code that it ends with.

    Its exception is printed to stderr, without the frames of this package; so is an error if it made no runner.

    Args:
        folder: its module.
        arguments: its arguments, for ``sys.argv``.
        path: folders where it finds packages besides its own, for ``sys.path``.
    """
    file = os.fspath(folder / "main.py")
    sys.argv[:] = [file, *arguments]
    if not sys.flags.safe_path:  # `python -P main.py` would leave sys.path alone
        sys.path[0] = os.fspath(folder)
    sys.path[1 - sys.flags.safe_path : 1 - sys.flags.safe_path] = path
    before = Runner.made
    try:
        runpy.run_path(file, run_name="__main__")
    except SystemExit as end:
        return _exit_code(end.code)
    except KeyboardInterrupt:
        return EX_INTERRUPTED
    except Exception as error:
        announce_end(describe(error))
        explain(error)
        return EX_USAGE if isinstance(error, SettingError) else 1
    if Runner.made == before:
        print(f"error: {folder.name}/main.py ran nothing: its last line should be run(main)", file=sys.stderr)
        return EX_USAGE
    return 0


@contextmanager
def terminable() -> Iterator[None]:
    """Turn SIGTERM into a SystemExit with code 143, so that what is open is closed; `run` handles it itself."""

    def end(_number: int, _frame: FrameType | None) -> None:
        raise SystemExit(EX_TERMINATED)

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _exit_code(code: object) -> int:
    if code is None or isinstance(code, int):
        return code or 0
    print(code, file=sys.stderr)  # as Python does: sys.exit("what is wrong") is exit code 1
    return 1
