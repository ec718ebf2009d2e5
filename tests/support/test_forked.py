"""A program that is forked sees what one that starts from nothing sees, and ends as that does."""

import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.support.forked import FILE, ForkServer
from tests.support.jobs import children, job
from tests.support.leaks import SESSION

SEEN = """
import atexit, os, resource, signal, sys
from aioparcs import qualname
main = sys.modules["__main__"]
atexit.register(print, "at exit")
print(__name__, getattr(main, "__file__", None), sys.argv, sys.orig_argv, sys.path, os.getcwd(), qualname.START_FOLDER)
print(sorted(os.environ.items()), os.getppid(), os.getsid(0) == os.getpid(), sys.flags, os.sched_getaffinity(0))
print([signal.getsignal(number) for number in sorted(signal.valid_signals())])
print([resource.getrlimit(limit) for limit in range(16)])
print(sorted(map(int, os.listdir("/proc/self/fd"))), [os.fstat(number).st_rdev for number in (0, 1, 2)])
for file in (sys.stdin, sys.stdout, sys.stderr):
    print(file.fileno(), file.encoding, file.errors, file.line_buffering, file.write_through)
def end():
    END
end()
"""
ENDS = ["pass", "sys.exit(3)", "sys.exit('in vain')", "1 / 0", "raise KeyboardInterrupt", "os.kill(os.getpid(), 9)"]


pytestmark = pytest.mark.untraced  # coverage has descriptors and exit functions of its own


@pytest.mark.parametrize(
    "how, end", [("-c", "1 / 0"), ("-m", "1 / 0"), ("absolute", "1 / 0"), *(("main.py", end) for end in ENDS)]
)
@pytest.mark.slow
def test_it_sees_and_ends_as_any_other(fork_server: ForkServer, tmp_path: Path, how: str, end: str) -> None:
    text = SEEN.replace("END", end)
    (tmp_path / "main.py").write_text(text)
    arguments = {"-c": ["-c", text], "-m": ["-m", "main"], "absolute": [str(tmp_path / "main.py")]}.get(how, [how])
    command = [sys.executable, *arguments, "one", "--two"]
    with open(os.devnull) as inherited:

        def run() -> list[str]:
            with subprocess.Popen(
                command, cwd=tmp_path, env={**os.environ, "SEEN": "yes"}, pass_fds=[inherited.fileno()],
                start_new_session=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                text=True,
            ) as process:  # fmt: skip
                out, err = process.communicate(timeout=60)
                return [str(process.returncode), *out.splitlines(), *err.splitlines()]

        before = signal.signal(signal.SIGUSR2, signal.SIG_IGN)  # a program inherits that too
        try:
            from_nothing = run()
            assert from_nothing[1].startswith("__main__ ")
            with fork_server.serving():
                assert run() == from_nothing
        finally:
            signal.signal(signal.SIGUSR2, before)


@pytest.mark.one_loop
async def test_a_launcher_is_a_fork_that_ends_with_this_process(fork_server: ForkServer) -> None:
    with fork_server.serving():
        async with job() as runner:
            await runner.start("talker")
            (launcher,) = children()
            # With -B in its environment this process starts them from nothing, with that option.
            assert (str(FILE) in launcher.cmdline()) is not sys.dont_write_bytecode
            assert launcher.environ()[SESSION] == os.environ[SESSION]
    assert not launcher.is_running()


@pytest.mark.slow
def test_threads_that_start_programs_at_once_get_their_own(fork_server: ForkServer) -> None:
    def start(_: int) -> bool:
        command = [sys.executable, "-c", "import os; print(os.getpid())"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            return process.communicate(timeout=60)[0] == f"{process.pid}\n"

    with fork_server.serving(), ThreadPoolExecutor(8) as threads:
        assert all(threads.map(start, range(48)))
