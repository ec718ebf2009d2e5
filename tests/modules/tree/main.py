"""A service that starts others like itself; it does as it is told, ``[verb, argument...]``, and answers."""

import asyncio
import os
import time
from pathlib import Path
from typing import Any

from aioparcs import CallTimeout, Service, StartError, WorkerLost, codec, serve
from aioparcs.wire import FrameType


class Node(Service):
    async def run(self) -> None:
        self.tasks: list[Any] = []
        async for verb, *arguments in self:
            await self.send(await getattr(self, verb)(*arguments))

    # What grows

    async def start_tree(self, depth: int, width: int) -> list[Any]:
        """Start a tree below this worker, and return the numbers of its workers, each with those below it."""
        if not depth:
            return [self.worker]
        async with self.start_many("tree", width) as tasks:
            await asyncio.gather(*(task.send(["start_tree", depth - 1, width]) for task in tasks))
            return [self.worker, *await asyncio.gather(*(task.recv() for task in tasks))]

    async def start_chain(self, depth: int) -> list[int]:
        """Start a chain below this worker that stays, and return its process ids."""
        if not depth:
            return [os.getpid()]
        self.tasks.append(await self.start("tree"))
        return [os.getpid(), *await self.request_child(-1, "start_chain", depth - 1)]

    async def begin(self, count: int, module: str, options: dict[str, Any]) -> list[Any]:
        tasks = await self.start_many(module, count, **options)
        self.tasks += tasks
        return [[task.name, task.rank, task.size, task.state] for task in tasks]

    async def gather(self, count: int) -> list[str]:
        self.tasks += await asyncio.gather(*(self.start("tree") for _ in range(count)))
        return [task.name for task in self.tasks]

    async def try_start(self, module: str, options: dict[str, Any]) -> Any:
        """Start one, and tell why that failed."""
        try:
            self.tasks.append(await self.start(module, **options))
        except StartError as error:
            return [error.module, error.reason, list(error.last_lines)]
        return None

    async def try_start_many(self, count: int) -> list[str]:
        """Start many at once, and tell why some did not."""
        starts = await asyncio.gather(*(self.start("tree") for _ in range(count)), return_exceptions=True)
        self.tasks += [one for one in starts if not isinstance(one, BaseException)]
        return [one.reason for one in starts if isinstance(one, StartError)]

    async def cancel_start(self, module: str) -> str:
        """Ask for one, and want none once it is certain that the runner knows."""
        starting = asyncio.ensure_future(self.start(module)._start())
        await self.start("tree")
        starting.cancel()
        await asyncio.wait([starting])
        return "cancelled" if starting.cancelled() else "done"

    async def cancel_first_start(self) -> Any:
        """Cancel the first start when the runner has accepted the connection, before this side knows; start again."""
        from aioparcs.service import spawn_client

        patched: Any = spawn_client
        connect, accepted, known = patched.connect, asyncio.Event(), asyncio.Event()

        async def connect_slowly(*args: Any) -> Any:
            connection = await connect(*args)
            accepted.set()
            await known.wait()
            return connection

        patched.connect = connect_slowly
        starting = asyncio.ensure_future(self.start("tree")._start())
        await accepted.wait()
        starting.cancel()
        await asyncio.wait([starting])
        patched.connect = connect
        known.set()
        return await self.try_start("tree", {})

    async def map_squares(self, module: str, count: int) -> list[Any]:
        async with self.pool(module, 2, retries=1) as pool:
            return await pool.map(range(count))

    async def scale(self, module: str, folder: str) -> list[int]:
        """Return the sizes of an elastic pool: without work, with a lot of it, and when that is done."""
        async with self.pool(module, (0, 3), function="hold", idle=0.05) as pool:
            sizes = [pool.size]
            calls = asyncio.ensure_future(pool.starmap([(folder, str(i)) for i in range(10)]))
            while pool.size < 3:  # noqa: ASYNC110  # no event says it
                await asyncio.sleep(0.01)
            sizes.append(pool.size)
            (Path(folder) / "go").touch()
            await calls
            while pool.size:  # noqa: ASYNC110  # no event says it
                await asyncio.sleep(0.01)
            return [*sizes, pool.size]

    async def map_within(self, module: str, timeout: float, seconds: list[float]) -> list[Any]:
        """Hold the interpreter for so many seconds; return the results, with the texts of what passed the limit."""
        async with self.pool(module, 2, function="hold", timeout=timeout, max_calls=5) as pool:
            results = await pool.map(seconds, return_exceptions=True)
            return [f"{one}: {one.stack}" if isinstance(one, CallTimeout) else one for one in results]

    # What it says to those it has started

    async def request_child(self, child: int, *words: Any) -> Any:
        await self.tasks[child].send(list(words))
        return await self.tasks[child].recv()

    async def recv_from_all(self) -> list[Any]:
        for task in self.tasks:
            await task.send(["pid"])
            await task.send_eof()
        return [message async for _, message in self.recv_any(self.tasks)]

    async def exchange_messages(self, rounds: int, path: str) -> None:
        for number in range(rounds):
            assert await self.request_child(0, "echo", number) == number
        Path(path).touch()  # noqa: ASYNC240  # quick

    async def wait_lost(self, child: int, *words: Any) -> list[Any]:
        """Send a worker a message, if there is one, and return how it ended."""
        try:
            if words:
                await self.tasks[child].send(list(words))
            return [await self.tasks[child].recv()]
        except WorkerLost as error:
            return [error.worker, error.reason, error.exitcode, error.signal, list(error.last_lines)]

    async def describe_child(self, child: int) -> list[Any]:
        task = self.tasks[child]
        return [task.name, task.node, task.state]

    async def shut_down_child(self, child: int) -> str:
        await self.tasks[child].shutdown()
        return str(self.tasks[child].state)

    # What it does by itself

    async def echo(self, value: Any) -> Any:
        return value

    async def pid(self) -> int:
        return os.getpid()

    async def who(self) -> list[int]:
        return [self.worker, self.rank, self.size]

    async def compute(self) -> None:
        await self.send("computing")
        time.sleep(60)  # noqa: ASYNC251  # its loop stands still

    async def fail(self) -> None:
        raise ValueError("as it was told")

    async def leave(self, code: int) -> None:
        print("my last line", flush=True)
        os._exit(code)

    async def finish_later(self, path: str) -> None:
        """Go on until a file is there, also when the parent has ended its channel."""
        await self.send("going on")
        while not Path(path).exists():  # noqa: ASYNC110, ASYNC240  # a test makes it
            await asyncio.sleep(0.01)

    async def cut_connection(self) -> None:
        """Lose the connection on which the runner is asked for workers."""
        assert self._spawn_client
        assert self._spawn_client._link
        self._spawn_client._link.abort()

    async def fail_in_handler(self) -> str:
        """Raise in the handler of the runner's next frame; return how a start ends, and the loop's errors."""
        errors: list[Any] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: errors.append(context.get("exception")))

        def fail(*_: Any) -> None:
            raise LookupError("an unexpected error")

        patched: Any = self._spawn_client
        patched._on_spawned = fail
        try:
            await self.start("tree")
        except StartError as error:
            return f"{error.reason}; {errors!r}"
        return "started"

    async def send_frame(self, type: int, body: bytes) -> None:
        """Send the runner anything on it."""
        assert self._spawn_client
        link = await self._spawn_client._open()
        link.post_frame(type, body)

    async def send_spawn(self, module: str, options: Any, address: str) -> str:
        """Ask the runner for what this package would not ask for, and tell why it refuses."""
        from aioparcs.service.spawn_client import _Request

        assert self._spawn_client
        placed: asyncio.Future[list[Any]] = asyncio.get_running_loop().create_future()
        self._spawn_client._requests[100] = _Request(module, 1, placed)
        link = await self._spawn_client._open()
        link.post_frame(FrameType.SPAWN, codec.encode_inline([100, module, 1, options, address])[0])
        try:
            return f"started {await placed}"
        except StartError as error:
            return error.reason


serve(Node)
