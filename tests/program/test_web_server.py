"""Runners inside the process of a web server: a program without `run`, whose handlers are in imported modules."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.request import urlopen

import pytest

from tests.support.jobs import ENVIRONMENT

pytestmark = [pytest.mark.one_loop, pytest.mark.slow]

# As uvicorn does: it imports the application by its name, has a loop and signal handlers of its own.
SERVER = """
import asyncio, importlib, signal, sys

handle = importlib.import_module(sys.argv[1]).handle

async def answer(reader, writer):
    path = (await reader.readuntil(b"\\r\\n\\r\\n")).split()[1].decode()
    body = repr(await handle(path)).encode()
    writer.write(b"HTTP/1.0 200 OK\\r\\nContent-Length: %d\\r\\n\\r\\n%s" % (len(body), body))
    await writer.drain()
    writer.close()

async def main():
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        print(server.sockets[0].getsockname()[1], flush=True)
        await stopped.wait()

asyncio.run(main())
"""
APP = """
import primes
from aioparcs import Runner, Service

print("the application is loaded")

class Adder(Service):
    async def run(self):
        await self.send(sum([number async for number in self]))

def square(n):
    return n * n

async def handle(path):
    n = int(path[1:])
    async with Runner() as runner:
        async with runner.pool(primes.smallest_factor, 2) as pool:
            factors = await pool.map([n, n + 1])
        async with runner.pool(square, 1) as pool, runner.start(Adder) as t:
            await t.send_all(*await pool.map(factors))
            await t.send_eof()
            return [*factors, await t.recv()]
"""
PRIMES = """
def smallest_factor(n):
    return next((i for i in range(2, n) if n % i == 0), n)
"""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    for name, text in {"server": SERVER, "app": APP, "primes": PRIMES}.items():
        (tmp_path / f"{name}.py").write_text(text)
    command = [sys.executable, str(tmp_path / "server.py"), "app"]
    with subprocess.Popen(
        command, cwd=tmp_path, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        yield process
        process.kill()


def get(port: str, path: str) -> str:
    with urlopen(f"http://127.0.0.1:{port}/{path}", timeout=60) as response:
        return str(response.read().decode())


def test_handlers_start_workers_of_functions_in_imported_modules(server: subprocess.Popen[str]) -> None:
    assert server.stdout
    assert server.stdout.readline() == "the application is loaded\n"
    port = server.stdout.readline().strip()
    with ThreadPoolExecutor(3) as threads:  # three requests at a time, each with a runner of its own
        answers = list(threads.map(lambda n: get(port, n), ("91", "15", "49")))
    assert answers == ["[7, 2, 53]", "[3, 2, 13]", "[7, 2, 53]"]
    assert get(port, "9") == "[3, 2, 13]"
    server.send_signal(signal.SIGTERM)
    _, errors = server.communicate(timeout=60)
    assert server.returncode == 0, errors
    assert "Traceback" not in errors, errors
