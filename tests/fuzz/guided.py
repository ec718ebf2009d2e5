"""Fuzzing that coverage guides, by atheris: imported before aioparcs, whose code is instrumented meanwhile."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from shutil import rmtree
from typing import NoReturn

import atheris

with atheris.instrument_imports(include=["aioparcs"]):
    from tests.fuzz.targets import TARGETS

from tests.fuzz.corpus import inputs, keep

__all__ = ["fuzz"]

_OPTIONS = ("-max_len=8192", "-rss_limit_mb=4096", "-timeout=20", "-print_final_stats=1", "-verbosity=0")


def fuzz(name: str, seconds: int, seed: int, build: Path, *, keeps: bool) -> int:
    """Fuzz a target in a process of its own, which libFuzzer ends; return its exit code, and keep what it has found."""
    build.mkdir(parents=True, exist_ok=True)
    folder = tempfile.mkdtemp(prefix="aioparcs-fuzz-")  # no object that the other process would remove at its end, too
    corpus = Path(folder, "corpus")
    try:
        corpus.mkdir()
        for number, data in enumerate(inputs(name)):
            Path(corpus, str(number)).write_bytes(data)
        pid = os.fork()
        if pid == 0:
            tempfile.tempdir = folder  # libFuzzer ends it with no further ado: what the target leaves is removed here
            own = (f"-max_total_time={seconds}", f"-seed={seed}", f"-artifact_prefix={build}/{name}-")
            _run(name, [sys.argv[0], str(corpus), *_OPTIONS, *own])
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        if keeps:
            keep(name, (path.read_bytes() for path in corpus.iterdir()))
        return code
    finally:
        rmtree(folder)


def _run(name: str, arguments: list[str]) -> NoReturn:
    try:
        atheris.Setup(arguments, TARGETS[name])
        atheris.Fuzz()
    except SystemExit as end:
        os._exit(int(end.code or 0))
    finally:
        os._exit(1)
