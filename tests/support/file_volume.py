"""A leader's answers about the volume with a runner's files, which is a folder here."""

import asyncio
import json
import shutil
import tarfile
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from aiohttp import web

__all__ = ["FileVolume"]

_LARGE = 1 << 20


class FileVolume:
    """
    The volume, and the container that holds it.

    Args:
        image: the folder whose files an image has.

    Attributes:
        workdir: the folder of the image that they are in.
        folder: the volume, None if there is none.
        holder: Docker's record of the container, None if there is none.
        has_room: whether files can be written.
        is_sound: whether files arrive as they are.
        damage: what becomes of a tar on its way back.
        is_cut: whether large ones end in the middle.
        is_held: whether what arrives waits before it is written.
        half_read: a part of such a tar has left, or arrived.
        resume: the connection is to be cut then, or the waiting to end.
    """

    def __init__(self, image: Path) -> None:
        self._image = image
        self.workdir = "/parcs"
        self.folder: Path | None = None
        self.holder: dict[str, Any] | None = None
        self.has_room = True
        self.is_sound = True
        self.damage: Callable[[bytes], bytes] = bytes
        self.is_cut = self.is_held = False
        self.half_read, self.resume = asyncio.Event(), asyncio.Event()

    @property
    def is_gone(self) -> bool:
        return self.folder is None and self.holder is None

    async def answer(self, request: web.Request, path: str) -> web.StreamResponse | None:
        """Answer a request to Docker's Engine API; None if it is about something else."""
        match request.method, path.strip("/").split("/"):
            case "POST", ["images", "create"]:
                return web.Response(body=b'{"status": "Pulling"}\r\n{"status": "Status: Image is up to date"}\r\n')
            case "GET", ["images", *_, "json"]:
                return web.json_response({"Id": "i", "Config": {"WorkingDir": self.workdir}})
            case "GET", ["containers", "json"]:
                requested = "io.aioparcs.files" in request.query.get("filters", "")
                return web.json_response([self.holder] if self.holder and requested else [])
            case "POST", ["volumes", "create"]:
                self.folder = Path(tempfile.mkdtemp())
                return web.json_response({"Name": (await request.json())["Name"]})
            case "POST", ["containers", "create"]:
                return self._create(request.query["name"], await request.json())
            case "POST", ["containers", _, "rename"]:
                assert self.holder
                self.holder["Names"] = [f"/{request.query['name']}"]
                return web.Response(status=204)
            case "PUT", ["containers", _, "archive"]:
                return await self._write(request)
            case "GET", ["containers", _, "archive"]:
                return await self._read(request, request.query["path"].removeprefix(self.workdir).strip("/"))
            case "DELETE", ["containers", _]:
                self.holder = None
                return web.Response(status=204)
            case "DELETE", ["volumes", _]:
                return self.remove()
        return None

    def remove(self) -> web.Response:
        """Remove the volume."""
        if self.folder is None:
            return _error(404, "no such volume")
        if self.holder:
            return _error(409, "volume is in use")
        shutil.rmtree(self.folder)
        self.folder = None
        return web.Response(status=204)

    def _create(self, name: str, spec: dict[str, Any]) -> web.Response:
        """Create the holder: Docker fills an empty volume with the files of the image, even if it is never started."""
        assert self.folder
        shutil.copytree(self._image, self.folder, dirs_exist_ok=True)
        (mount,) = spec["HostConfig"]["Mounts"]
        mounts = [{"Type": "volume", "Name": mount["Source"], "Destination": mount["Target"]}]
        self.holder = {"Id": "h", "Names": [f"/{name}"], "Labels": spec["Labels"], "Created": int(time.time()),
                       "Mounts": mounts}  # fmt: skip
        return web.json_response({"Id": "h"}, status=201)

    async def _write(self, request: web.Request) -> web.Response:
        assert self.folder
        if self.is_held:
            self.half_read.set()
            await self.resume.wait()
            return web.Response()
        with tempfile.TemporaryFile() as file:
            async for chunk in request.content.iter_any():
                if not self.has_room:
                    return _error(500, "write /x: no space left on device")
                file.write(chunk)
            file.seek(0)
            with tarfile.open(fileobj=file) as tar:
                tar.extractall(self.folder, filter="fully_trusted")
                files = [self.folder / member.name for member in tar if member.isfile()]
        if not self.is_sound:
            files[0].write_bytes(b"another")
        return web.Response()

    async def _read(self, request: web.Request, name: str) -> web.StreamResponse:
        assert self.folder
        if not (self.folder / name).exists():
            return _error(404, f"could not find the file {name}")
        with tempfile.TemporaryFile() as file:
            with tarfile.open(mode="w", fileobj=file) as tar:
                tar.add(self.folder / name, Path(name).name)
            file.seek(0)
            data = self.damage(file.read())
        if self.is_cut and len(data) > _LARGE:
            return await self._cut(request, data)
        return web.Response(body=data)

    async def _cut(self, request: web.Request, data: bytes) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": str(len(data))})
        response.force_close()
        await response.prepare(request)
        await response.write(data[: len(data) // 2])
        self.half_read.set()
        await self.resume.wait()
        if request.transport:
            request.transport.close()
        return response


def _error(status: int, message: str) -> web.Response:
    body = json.dumps({"message": message}).encode()
    return web.Response(status=status, body=body, content_type="application/json")  # without a charset, as Docker
