"""The requests about one job: a worker, its stack, and actions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from aiohttp import web

from aioparcs.monitor.control import ControlError, ask_job
from aioparcs.monitor.explain import explained_worker
from aioparcs.monitor.stacks import logged_stack
from aioparcs.recording.store import socket_of
from aioparcs.web.http.access import problem
from aioparcs.web.http.bodies import json_object
from aioparcs.web.watches import JobWatch, TooManyJobs, Watches

__all__ = ["JobRequests", "known_worker"]

_MOST = 4  # requests to the runner of a job at once


class JobRequests:
    """
    The answers to requests about one job.

    Args:
        watches: the jobs.
        has_control: whether actions are allowed.
        log: gets a line on each action.
    """

    def __init__(self, watches: Watches, *, has_control: bool, log: Callable[[str], None]) -> None:
        self._watches = watches
        self._has_control = has_control
        self._log = log
        self._asking: Counter[str] = Counter()  # requests that wait for the runner of each job

    async def worker(self, request: web.Request) -> web.Response:
        """Answer with all that is known of a worker."""
        name, number = request.match_info["job"], int(request.match_info["worker"])
        try:
            async with self._watches.watch(name) as watch:
                if watch is None:
                    return problem(404, f"there is no job {name}")
                known = await known_worker(watch, number)
        except TooManyJobs as error:
            return problem(503, str(error))
        return problem(404, f"the job has no worker {number}") if known is None else web.json_response(known)

    async def stack(self, request: web.Request) -> web.Response:
        """Answer with the Python stack of a worker, as it is now."""
        return await self._ask(request, "stack", worker=int(request.match_info["worker"]))

    async def where(self, request: web.Request) -> web.Response:
        """Answer with the stacks of the tasks of a job's program, as they are now."""
        return await self._ask(request, "where")

    async def act(self, request: web.Request) -> web.Response:
        """Do something to a job, if that is allowed."""
        if not self._has_control:
            return problem(403, "this server only shows jobs; start it by aioparcs ui --control to change them")
        match request.match_info:
            case {"action": "stop"}:
                return await self._ask(request, "stop")
            case {"action": ("kill" | "restart") as action, "worker": worker}:
                return await self._ask(request, str(action), worker=int(worker))
        value = await _number_of(request)
        if value is None:
            return problem(400, 'the body has to be {"workers": NUMBER} or {"item": NUMBER}')
        pool = int(request.match_info["pool"])
        return await self._ask(request, request.match_info["action"], pool=pool, **value)

    @contextmanager
    def _counted(self, name: str) -> Iterator[None]:
        self._asking[name] += 1
        try:
            yield
        finally:
            self._asking[name] -= 1
            if not self._asking[name]:
                del self._asking[name]

    async def _ask(self, request: web.Request, do: str, **numbers: int) -> web.Response:
        name = request.match_info["job"]
        path = self._watches.path(name)
        if path is None:
            return problem(404, f"there is no job {name}")
        is_action = do not in ("stack", "where")
        words = " ".join((f"{name}: {do}", *(f"{what} {number}" for what, number in numbers.items())))
        if self._asking[name] >= _MOST:
            return problem(503, f"{_MOST} requests wait for the job's runner already; try again when they are answered")
        try:
            with self._counted(name):
                text = await ask_job(socket_of(path), do, "aioparcs ui" * is_action, **numbers)
        except ControlError as error:
            if not is_action:
                return await self._logged(name, numbers.get("worker"), str(error))
            self._log(f"{words}: {error}")
            return problem(409, str(error))
        if not is_action:
            return web.json_response({"stack": text})
        self._log(f"{words}: {text or 'done'}")
        return web.json_response({"ok": True, "text": text})

    async def _logged(self, name: str, worker: int | None, reason: str) -> web.Response:
        """Answer with where a worker of a job on a Swarm, or its program, was; or with why its program can't say."""
        try:
            async with self._watches.watch(name) as watch:
                if watch is None or not watch.followed.job.started.is_submitted:
                    return problem(409, reason)
                await watch.poll()
                async with watch.lock:
                    return web.json_response({"stack": logged_stack(watch.followed.job, worker)})
        except TooManyJobs as error:
            return problem(503, str(error))
        except ControlError as error:
            return problem(409, str(error))


async def known_worker(watch: JobWatch, number: int) -> dict[str, Any] | None:
    """Return all that is known of a worker, as JSON; None if there is none of that number."""
    await watch.poll()
    async with watch.lock:
        job = watch.followed.job
        worker = job.workers.find(number)
        if worker is None:
            return None
        known = {
            "worker": worker.row(),
            "explain": explained_worker(job, number),
            "functions": [function["name"] for function in job.calls.functions()],
            "spans": job.calls.spans_of(number, 500),
            "failures": [row for row in job.calls.failures() if row[4] == number],
            "hasCalls": job.workers.has_calls,
            "now": round(job.now, 3),
            "control": job.has_control,
            "program": job.started.program,
        }
    return known | await watch.details(number)


async def _number_of(request: web.Request) -> dict[str, int] | None:
    """Return the number in the body of a request, by the name that its action has for it; None if there is none."""
    key = {"resize": "workers", "cancel": "item"}[request.match_info["action"]]
    value = (await json_object(request)).get(key)
    return {key: value} if type(value) is int and 0 <= value < 1 << 31 else None
