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
from tests.support.file_volume import FileVolume

__all__ = ["OneJobSwarm", "one_job_swarm", "service"]

NODE = "p1zx15mhejdv"
CREATED = "2026-11-25T23:02:22.04972993Z"


class OneJobSwarm:
    """
    A leader's answers about one job, and its runner.

    Args:
        folder: the runner's folder, whatever image is submitted.
        arguments: what ``aioparcs run`` gets before what the service's own command has behind ``run .``.

    Attributes:
        url: the leader's address.
        code: the runner's exit code, None while it runs.
        is_full: whether the Swarm has no node for the runner.
        log_failure: why Docker can't read the runner's output, "" if it can.
        availability: whether the leader's node takes containers.
        files: the volume with the runner's files.
    """

    def __init__(self, folder: Path, arguments: Sequence[str]) -> None:
        self.url = ""
        self.code: int | None = None
        self.is_full = False
        self.log_failure = ""
        self.availability = "active"
        self.files = FileVolume(folder)
        self._folder = folder
        self._arguments = arguments
        self._service: dict[str, Any] | None = None
        self._log: list[tuple[int, bytes, bool]] = []
        self._process: asyncio.subprocess.Process | None = None
        self._running: asyncio.Task[None] | None = None

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Answer a request to Docker's Engine API."""
        path = re.sub(r"^/v[\d.]+", "", request.path)
        if (about_files := await self.files.answer(request, path)) is not None:
            return about_files
        if path == "/tasks/t/logs":
            return web.Response(body=self._logs(float(request.query["since"]), request.query["tail"]))
        if path == "/services/create":
            self.submit(await request.json())
        elif request.method == "DELETE":
            await self.remove()
        answers: dict[str, Any] = {
            "/services/create": {"ID": "s"},
            "/services/s": {},
            "/networks": [{"Id": "n", "Name": "parcs"}],
            "/networks/parcs": {"Id": "n", "Name": "parcs"},
            "/version": {"ApiVersion": "1.44"},
            "/info": {"Name": "node1", "Swarm": {"ControlAvailable": True, "NodeID": NODE}},
            "/services": [self._service] if self._service else [],
            "/tasks": [self._task()] if self._service else [],
            "/secrets": [],
            "/nodes": [{"ID": NODE, "Description": {"Hostname": "node1"}, "Spec": {"Availability": self.availability}}],
        }
        return web.json_response(answers[path])

    def submit(self, spec: dict[str, Any]) -> None:
        """Start the runner of a service, with what its environment says of events."""
        self._service = {"ID": "s", "CreatedAt": CREATED, "Spec": spec}
        if self.is_full:
            return
        container = spec["TaskTemplate"]["ContainerSpec"]
        variables = dict(one.split("=", 1) for one in container["Env"])
        own = {name: variables[name] for name in ("PARCS_EVENTS", "PARCS_FILES") if name in variables}
        self._running = asyncio.create_task(self._run(container.get("Command", [])[5:], own))

    async def remove(self) -> None:
        """End the runner as Docker does, and remove its service."""
        self._service = None
        if self._process and self._process.returncode is None:
            self._process.terminate()
        if self._running:
            await self._running

    async def _run(self, arguments: Sequence[str], variables: dict[str, str]) -> None:
        files = self.files.folder  # in the place of the image's folder
        command = [*COMMAND, "run", str(files or self._folder), *self._arguments, *arguments]
        self._process = process = await asyncio.create_subprocess_exec(
            *command, cwd=files, env=ENVIRONMENT | variables, stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, limit=1 << 20,
        )  # fmt: skip
        assert process.stdout
        assert process.stderr
        await asyncio.gather(self._keep(process.stdout, error=False), self._keep(process.stderr, error=True))
        self.code = await process.wait()

    async def _keep(self, stream: asyncio.StreamReader, *, error: bool) -> None:
        async for line in stream:
            self._log.append((time.time_ns(), line, error))

    def _logs(self, since: float, tail: str) -> bytes:
        if self.log_failure:
            return struct.pack(">BxxxI", 3, len(self.log_failure)) + self.log_failure.encode()
        lines = [one for one in self._log if one[0] >= int(since * 1e9)]
        frames = []
        for moment, line, error in lines if tail == "all" else lines[-int(tail) :]:
            seconds = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(moment // 10**9))
            data = f"{seconds}.{moment % 10**9:09}Z ".encode() + line
            frames.append(struct.pack(">BxxxI", 1 + error, len(data)) + data)
        return b"".join(frames)

    def _task(self) -> dict[str, Any]:
        state = "running" if self.code is None else "failed" if self.code else "complete"
        status: dict[str, Any] = {"State": state, "ContainerStatus": {"ContainerID": "c", "ExitCode": self.code or 0}}
        if self.code:
            status["Err"] = f"task: non-zero exit ({self.code if self.code > 0 else 128 - self.code})"
        if self.is_full:
            state, status = "pending", {"State": "pending", "Err": "no suitable node"}
        assert self._service
        spec = {"ContainerSpec": {"Labels": self._service["Spec"]["Labels"]}}
        return {"ID": "t", "CreatedAt": CREATED, "ServiceID": "s", "Slot": 1, "Spec": spec, "Status": status,
                "DesiredState": "running" if state in ("running", "pending") else "shutdown"}  # fmt: skip


def service(word: str) -> dict[str, Any]:
    """Return the specification of a service as it is submitted for the job ``j``; "" for no events."""
    labels = {JOB: "j", ROLE: "runner", MODULE: "main"}
    container = {"Env": ["N=1", *([f"PARCS_EVENTS={word}"] if word else [])], "Labels": labels}
    return {"Name": "parcs-j_runner", "Labels": labels, "Mode": {"Replicated": {"Replicas": 1}},
            "TaskTemplate": {"ContainerSpec": container}}  # fmt: skip


@asynccontextmanager
async def one_job_swarm(folder: Path, *arguments: str) -> AsyncIterator[OneJobSwarm]:
    """Serve the API of a Swarm that has one runner."""
    swarm = OneJobSwarm(folder, arguments)
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", swarm.answer)
    server = web.AppRunner(application, lingering_time=0)  # Docker, too, reads no more of a request that it refuses
    await server.setup()
    site = web.TCPSite(server, "127.0.0.1", 0)
    await site.start()
    swarm.url = f"tcp://127.0.0.1:{server.addresses[0][1]}"
    try:
        yield swarm
    finally:
        await swarm.remove()
        swarm.files.holder = None
        swarm.files.remove()
        await server.cleanup()
