"""The API of a Swarm whose only job is a submitted runner: a process of this machine, and the log of its output."""

import asyncio
import re
import struct
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from aiohttp import web

from aioparcs.swarm.docker.labels import JOB, MODULE, ROLE
from tests.support.command import COMMAND, ENVIRONMENT

__all__ = ["OneJobSwarm", "one_job_swarm"]

CREATED = "2026-11-25T23:02:22.04972993Z"


class OneJobSwarm:
    """
    A leader's answers about the job ``j``.

    Args:
        word: the word that marks the events of its log.

    Attributes:
        url: the leader's address.
        code: the runner's exit code, None while it runs.
    """

    def __init__(self, word: str) -> None:
        self.url = ""
        self.code: int | None = None
        self._word = word
        self._log: list[tuple[int, bytes, bool]] = []

    async def answer(self, request: web.Request) -> web.Response:
        """Answer a request to Docker's Engine API."""
        path = re.sub(r"^/v[\d.]+", "", request.path)
        if path == "/tasks/t/logs":
            return web.Response(body=self._logs(float(request.query["since"]), request.query["tail"]))
        answers: dict[str, Any] = {
            "/version": {"ApiVersion": "1.44"},
            "/info": {"Name": "node1", "Swarm": {"ControlAvailable": True}},
            "/services": [self._service()],
            "/tasks": [self._task()],
            "/secrets": [],
            "/nodes": [],
        }
        return web.json_response(answers[path])

    async def run(self, folder: Path, arguments: Sequence[str]) -> None:
        """Run a runner, and keep what it prints."""
        process = await asyncio.create_subprocess_exec(
            *COMMAND, "run", str(folder), *arguments,
            env=ENVIRONMENT | {"PARCS_EVENTS": self._word}, stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, limit=1 << 20,
        )  # fmt: skip
        assert process.stdout
        assert process.stderr
        try:
            await asyncio.gather(self._keep(process.stdout, error=False), self._keep(process.stderr, error=True))
            self.code = await process.wait()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()

    async def _keep(self, stream: asyncio.StreamReader, *, error: bool) -> None:
        async for line in stream:
            self._log.append((time.time_ns(), line, error))

    def _logs(self, since: float, tail: str) -> bytes:
        lines = [one for one in self._log if one[0] >= int(since * 1e9)]
        frames = []
        for moment, line, error in lines if tail == "all" else lines[-int(tail) :]:
            seconds = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(moment // 10**9))
            data = f"{seconds}.{moment % 10**9:09}Z ".encode() + line
            frames.append(struct.pack(">BxxxI", 1 + error, len(data)) + data)
        return b"".join(frames)

    def _service(self) -> dict[str, Any]:
        labels = {JOB: "j", ROLE: "runner", MODULE: "main"}
        container = {"Env": ["N=1", f"PARCS_EVENTS={self._word}"] if self._word else ["N=1"]}
        spec = {"Name": "parcs-j_runner", "Labels": labels, "Mode": {"Replicated": {"Replicas": 1}},
                "TaskTemplate": {"ContainerSpec": container}}  # fmt: skip
        return {"ID": "s", "CreatedAt": CREATED, "Spec": spec}

    def _task(self) -> dict[str, Any]:
        state = "running" if self.code is None else "failed" if self.code else "complete"
        status = {"State": state, "ContainerStatus": {"ContainerID": "c", "ExitCode": self.code or 0}}
        spec = {"ContainerSpec": {"Labels": {JOB: "j"}}}
        return {"ID": "t", "CreatedAt": CREATED, "ServiceID": "s", "Slot": 1, "Spec": spec, "Status": status,
                "DesiredState": "shutdown" if state != "running" else state}  # fmt: skip


@asynccontextmanager
async def one_job_swarm(word: str, folder: Path, *arguments: str) -> AsyncIterator[OneJobSwarm]:
    """Serve the API of a Swarm on which a runner was just submitted."""
    swarm = OneJobSwarm(word)
    application = web.Application()
    application.router.add_get("/{path:.*}", swarm.answer)
    server = web.AppRunner(application)
    await server.setup()
    site = web.TCPSite(server, "127.0.0.1", 0)
    await site.start()
    swarm.url = f"tcp://127.0.0.1:{server.addresses[0][1]}"
    running = asyncio.create_task(swarm.run(folder, arguments))
    try:
        yield swarm
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await server.cleanup()
