"""A leader whose containers are processes of this machine: it keeps services and secrets as Docker does."""

import asyncio
import base64
import json
import re
import signal
import sys
from collections.abc import Coroutine, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from aiohttp import web

from aioparcs.credentials import FOLDER
from tests.exits.processes import Family
from tests.support.jobs import MODULES

__all__ = ["IMAGE", "Leader"]

IMAGE = "registry:5000/{}@sha256:0"
_NODE = "p1zx15mhejdv"
_GRACE = 3.0  # seconds from SIGTERM to SIGKILL


class _Container:
    """A container: a launcher's process."""

    def __init__(self, number: int, service: dict[str, Any], slot: int) -> None:
        self.number = number
        self.service = service
        self.slot = slot
        self.created = _now()
        self.process: asyncio.subprocess.Process | None = None
        self.is_unwanted = False

    async def run(self, family: Family, secrets: Path) -> None:
        container = self.service["Spec"]["TaskTemplate"]["ContainerSpec"]
        shown = {f"{FOLDER}/{one['File']['Name']}": secrets / one["SecretID"] for one in container.get("Secrets", ())}
        named = dict(one.split("=", 1) for one in container["Env"])
        variables = {name: str(shown.get(value, value)) for name, value in named.items()}
        variables |= {"PARCS_SLOT": str(self.slot)}
        module = re.sub(r"^.*/|@.*$", "", container["Image"])
        self.process = await asyncio.create_subprocess_exec(
            sys.executable, str(MODULES / module / "main.py"), env=family.environment | variables,
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        if self.is_unwanted:
            await self.stop()
        await self.process.wait()

    @property
    def is_running(self) -> bool:
        return self.process is None or self.process.returncode is None

    async def stop(self) -> None:
        self.is_unwanted = True
        if self.process and self.process.returncode is None:
            with suppress(ProcessLookupError):
                self.process.send_signal(signal.SIGTERM)
            try:
                async with asyncio.timeout(_GRACE):
                    await self.process.wait()
            except TimeoutError:
                self.process.kill()

    def task(self) -> dict[str, Any]:
        code = self.process.returncode if self.process else None
        state = "starting" if self.process is None else "running" if code is None else "failed" if code else "complete"
        status: dict[str, Any] = {"State": state, "ContainerStatus": {"ContainerID": "c", "ExitCode": code or 0}}
        if code:
            status["Err"] = f"task: non-zero exit ({code if code > 0 else 128 - code})"
        spec = {"ContainerSpec": {"Labels": self.service["Spec"]["Labels"]}}
        return {"ID": f"t{self.number}", "CreatedAt": self.created, "ServiceID": self.service["ID"], "Slot": self.slot,
                "Spec": spec, "Status": status, "NodeID": _NODE,
                "DesiredState": "remove" if self.is_unwanted else "running"}  # fmt: skip


class Leader:
    """
    A leader.

    Args:
        folder: a folder of its own, for the secrets that containers see.
        family: what its containers belong to.

    Attributes:
        services, secrets: by ID, as Docker describes them.
    """

    def __init__(self, folder: Path, family: Family) -> None:
        self.services: dict[str, dict[str, Any]] = {}
        self.secrets: dict[str, dict[str, Any]] = {}
        self._containers: dict[int, _Container] = {}
        self._family = family
        self._folder = folder
        self._count = 0
        self._running: set[asyncio.Task[None]] = set()
        self._removing: set[asyncio.Task[None]] = set()

    async def answer(self, request: web.Request, body: bytes) -> web.Response:
        """Answer a request to Docker's Engine API."""
        path = re.sub(r"^/v[\d.]+", "", request.path)
        first, *rest = path.strip("/").split("/")
        match request.method, first, rest:
            case "POST", "secrets", ["create"]:
                return self._create_secret(json.loads(body))
            case "POST", "services", ["create"]:
                return self._create_service(json.loads(body))
            case "DELETE", "secrets", [name]:
                return self._remove_secret(name)
            case "DELETE", "services", [name]:
                return self._remove_service(name)
            case "GET", "services", [name]:
                found = _find(self.services, name)
                return web.json_response(self.services[found]) if found else _refuse(404, f"service {name} not found")
            case "GET", "tasks", [_, "logs"]:
                return web.Response()
        about = self._describe()
        if path not in about:
            return _refuse(404, f"page not found: {path}")
        found = about[path]
        return web.json_response(_matching(found, request.query.get("filters", "{}")))

    def remains(self) -> list[str]:
        """Name what it has of any job."""
        records = [*self.services.values(), *self.secrets.values()]
        return [one["Spec"]["Name"] for one in records] + [f"t{number}" for number in self._containers]

    async def left_running(self, seconds: float) -> list[str]:
        """Name the containers that have not ended by themselves after so many seconds."""
        if self._running:
            await asyncio.wait(self._running, timeout=seconds)
        return [f"container {one.number} runs on" for one in self._containers.values() if one.is_running]

    async def aclose(self) -> None:
        """End all containers."""
        for name in list(self.services):
            self._remove_service(name)
        await self.settle()
        self._family.end()
        await asyncio.gather(*self._running, return_exceptions=True)

    async def settle(self) -> None:
        """Wait until the containers of services that were removed have ended."""
        while self._removing:
            await asyncio.wait(self._removing)

    def _describe(self) -> dict[str, Any]:
        tasks = [container.task() for container in self._containers.values()]
        node = {"ID": _NODE, "Description": {"Hostname": "node1", "Resources": {"NanoCPUs": 2 * 10**9}},
                "Spec": {"Availability": "active"}, "Status": {"State": "ready", "Addr": "127.0.0.1"}}  # fmt: skip
        swarm = {"ControlAvailable": True, "NodeID": _NODE, "NodeAddr": "127.0.0.1"}
        return {
            "/version": {"ApiVersion": "1.44"},
            "/info": {"Name": "node1", "Swarm": swarm},
            "/networks": [{"Id": "n", "Name": "parcs"}],
            "/nodes": [node],
            "/services": list(self.services.values()),
            "/secrets": list(self.secrets.values()),
            "/tasks": tasks,
            "/containers/json": [],
        }

    def _create_secret(self, spec: dict[str, Any]) -> web.Response:
        if _find(self.secrets, spec["Name"]):
            return _refuse(409, f"secret {spec['Name']} already exists")
        number = self._number("x")
        self.secrets[number] = {"ID": number, "CreatedAt": _now(), "Spec": {**spec, "Data": ""}}
        (self._folder / number).write_bytes(base64.b64decode(spec["Data"]))
        return web.json_response({"ID": number}, status=201)

    def _remove_secret(self, name: str) -> web.Response:
        found = _find(self.secrets, name)
        if not found:
            return _refuse(404, f"secret {name} not found")
        for service in self.services.values():
            used = service["Spec"]["TaskTemplate"]["ContainerSpec"].get("Secrets", ())
            if any(one["SecretID"] == found for one in used):
                return _refuse(400, f"secret {name} is in use by the following service: {service['Spec']['Name']}")
        del self.secrets[found]
        return web.Response(status=204)

    def _create_service(self, spec: dict[str, Any]) -> web.Response:
        if _find(self.services, spec["Name"]):
            return _refuse(409, f"name conflicts with an existing object: service {spec['Name']} already exists")
        for secret in spec["TaskTemplate"]["ContainerSpec"].get("Secrets", ()):
            if secret["SecretID"] not in self.secrets:
                return _refuse(400, f"secret {secret['SecretID']} not found")
        number = self._number("s")
        self.services[number] = {"ID": number, "CreatedAt": _now(), "Spec": spec}
        for slot in range(1, spec["Mode"]["Replicated"]["Replicas"] + 1):
            self._count += 1
            container = self._containers[self._count] = _Container(self._count, self.services[number], slot)
            self._start(container.run(self._family, self._folder))
        return web.json_response({"ID": number}, status=201)

    def _remove_service(self, name: str) -> web.Response:
        found = _find(self.services, name)
        if not found:
            return _refuse(404, f"service {name} not found")
        del self.services[found]
        for container in list(self._containers.values()):
            if container.service["ID"] == found:
                container.is_unwanted = True
                task = self._start(self._remove(container))
                self._removing.add(task)
                task.add_done_callback(self._removing.discard)
        return web.Response()

    async def _remove(self, container: _Container) -> None:
        await container.stop()
        del self._containers[container.number]

    def _start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.ensure_future(work)
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return task

    def _number(self, kind: str) -> str:
        self._count += 1
        return f"{kind}{self._count}"


def _find(records: Mapping[str, dict[str, Any]], name: str) -> str:
    """Return the ID of a record with an ID or a name, "" if there is none."""
    return next((number for number, one in records.items() if name in (number, one["Spec"]["Name"])), "")


def _matching(found: Any, filters: str) -> Any:
    """Return those records that have the labels that a request wants."""
    wanted = json.loads(filters).get("label", ()) if isinstance(found, list) else ()
    return [one for one in found if all(_has(one, label) for label in wanted)] if wanted else found


def _has(record: dict[str, Any], label: str) -> bool:
    name, _, value = label.partition("=")
    spec = record["Spec"]
    labels = spec.get("Labels") or spec.get("ContainerSpec", {}).get("Labels", {})
    return name in labels and value in ("", labels[name])


def _refuse(status: int, message: str) -> web.Response:
    return web.json_response({"message": message}, status=status)


def _now() -> str:
    return datetime.now(UTC).isoformat().replace("+00:00", "Z")
