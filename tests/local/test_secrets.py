"""The secrets of jobs on this machine: what reads them, what refuses them, and that nothing else shows them."""

import re
import sys
from pathlib import Path
from secrets import token_hex
from typing import Any

import pytest

from aioparcs import Runner, SettingError
from tests.support.command import COMMAND, execute
from tests.support.jobs import module

RUNNER = """
from aioparcs import Runner, run, secret

def own(name: str) -> bytes:
    return secret(name)

async def main(runner):
    async with runner.pool(own, 1) as pool, runner.pool("keeper", 1) as keepers:
        print([await one.submit("password") for one in (pool, keepers)] == [secret("password")] * 2)
        print((await keepers.map([0], function="shown"))[0])
        try:
            await keepers.submit("other")
        except Exception as error:
            print(str(error).splitlines()[0])

run(main)
"""
KEEPER = """
import base64, os
from pathlib import Path
from aioparcs import secret, serve

EARLY = secret("password")  # before serve()
WORD = EARLY.splitlines()[0]

def read(name: str) -> bytes:
    assert secret("password") == EARLY
    return secret(name)

def shown(_: int) -> list[str]:
    found = []
    for folder in filter(str.isdigit, os.listdir("/proc")):
        for file in Path("/proc", folder, "environ"), Path("/proc", folder, "cmdline"):
            try:
                text = file.read_bytes()
            except OSError:  # it has ended
                continue
            if any(word in text for word in (WORD, WORD.hex().encode(), base64.b64encode(WORD))):
                found.append(str(file))
    return found

serve(read, shown, fork=FORK)
"""


@pytest.mark.slow
@pytest.mark.parametrize("fork", [True, False])
def test_a_program_and_its_workers_read_a_secret_that_no_process_shows(tmp_path: Path, fork: bool) -> None:
    module(tmp_path, "runner", RUNNER)
    module(tmp_path, "keeper", KEEPER.replace("FORK", str(fork)))
    word = token_hex(8)
    (tmp_path / "file").write_bytes(word.encode() + b"\n\0\xff of two lines\n")
    command = [*COMMAND, "run", "runner", "-v", "--record", "record", "--secret", "password=file"]
    done = execute(command, tmp_path)
    assert done.returncode == 0, done.stderr
    read, shown, error = done.stdout.splitlines()
    assert (read, shown) == ("True", "[]")
    assert "there is no secret 'other' here; there are: password; give it to the job" in error
    assert word not in done.stderr
    recorded = (tmp_path / "record").read_text()
    assert "keeper" in recorded
    assert word not in recorded


PLAIN = """
import asyncio
from pathlib import Path
from aioparcs import Runner
from given import name_of

async def main():
    async with Runner(engine="local", secrets={"key": b"bytes", "file": Path("file")}) as runner:
        async with runner.pool(name_of, 1) as pool:
            print(await pool.map(["key", "file"]))

asyncio.run(main())
"""


@pytest.mark.slow
def test_workers_read_what_a_runner_is_given(tmp_path: Path) -> None:
    (tmp_path / "given.py").write_text(
        "import aioparcs\n\ndef name_of(name):\n    return aioparcs.secret(name).decode()\n"
    )
    (tmp_path / "main.py").write_text(PLAIN)
    (tmp_path / "file").write_text("of the file")
    done = execute([sys.executable, "main.py"], tmp_path)
    assert done.stdout == "['bytes', 'of the file']\n", done.stderr


@pytest.mark.parametrize(
    "secrets, reason",
    [
        ({"key": "text"}, "the secret 'key' must be bytes, or the Path of a file, not str"),
        ({"key": b""}, "the secret 'key' is empty: a Swarm takes 1 to 511999 bytes"),
        ({"key": bytes(512_000)}, "the secret 'key' is more than 511999 bytes"),
        ({"key": Path("/nowhere/file")}, "the secret 'key' can't be read: [Errno 2] No such file or directory"),
        ({"../key": b"1"}, "'../key' can't be the name of a secret: at most 40 letters and digits"),
        ({"parcs_token": b"1"}, "'parcs_token' can't be the name of a secret"),
        ([b"1"], "secrets=: it must be a dict of names, and bytes or paths of files"),
    ],
)
def test_impossible_secrets_are_refused_and_not_shown(secrets: Any, reason: str) -> None:
    with pytest.raises(SettingError, match=f"^{re.escape(reason)}"):
        Runner(engine="local", secrets=secrets)


@pytest.mark.parametrize(
    "pair, reason",
    [
        ("key", "--secret 'key' is not NAME=FILE"),
        ("key=nowhere", "the secret 'key' can't be read: [Errno 2] No such file"),
    ],
)
def test_a_secret_without_a_file_is_an_error_of_the_command_line(tmp_path: Path, pair: str, reason: str) -> None:
    module(tmp_path, "runner", RUNNER)
    done = execute([*COMMAND, "run", "runner", "--secret", pair], tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert reason in done.stderr


@pytest.mark.parametrize(
    "pairs, reason",
    [
        (["key=a", "key=b"], "--secret key is there twice, for a and b; give each a name of its own"),
        (["docker=a"], "--secret 'docker=a': 'docker' can't be the name of a secret"),
        (["a/b=c"], "--secret 'a/b=c': 'a/b' can't be the name of a secret"),
    ],
)
def test_names_of_secrets_are_checked_before_anything_is_done(tmp_path: Path, pairs: list[str], reason: str) -> None:
    options = [word for pair in pairs for word in ("--secret", pair)]
    done = execute([*COMMAND, "run", "nowhere", *options], tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert reason in done.stderr
    assert "nowhere" not in done.stderr
