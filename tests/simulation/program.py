"""The program of a history: pools and conversations with all kinds of calls, made by a seed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from random import Random
from typing import Any, NamedTuple

from aioparcs import ParcsError, Runner
from aioparcs.pool import Pool
from aioparcs.settings import Settings
from tests.simulation.engine import SimulatedEngine
from tests.simulation.functions import Item
from tests.simulation.history import History
from tests.simulation.loop import Host, host_of

__all__ = ["PoolPlan", "Program"]

_KINDS = ("map", "map, with errors", "starmap", "imap", "imap_unordered", "submit", "stream")


class PoolPlan(NamedTuple):
    """
    One pool.

    Attributes:
        function: what its calls are of.
        size: the number of its workers, or its bounds.
        options: those of `Runner.pool`.
        clients: the kinds of its clients, each with its items.
        begins: seconds from the beginning.
        resizes: the sizes that it is given later, each with the seconds after which.
        leaves: seconds after which its block is left whatever runs; None to wait for all clients.
    """

    function: str
    size: Any
    options: dict[str, Any]
    clients: list[tuple[str, list[Item]]]
    begins: float
    resizes: list[tuple[float, Any]]
    leaves: float | None

    @property
    def most_runs(self) -> int:
        """How often an item may begin."""
        return (1 + int(self.options.get("retries", 0))) * (2 if "hedge" in self.options else 1)


class Program:
    """
    A user's program.

    Args:
        random: makes it.
        history: gets what it does.

    Attributes:
        pools: its pools.
        items: all items, by number.
        plans: the pool of each item.
        complete: the items of clients that were neither cancelled nor left.
        conversing: how many workers it has conversations with.
        exit: how its block is left: ``end``, ``error``, ``cancel``, or ``interrupt`` for its caller to cancel it.
        cancels: how many of its tasks are cancelled.
    """

    def __init__(self, random: Random, history: History) -> None:
        self._random = random
        self._history = history
        self.items: dict[int, Item] = {}
        self.plans: dict[int, PoolPlan] = {}
        self.complete: set[int] = set()
        self.partial: set[int] = set()
        self.problems: list[str] = []
        self.has_deaths = random.random() < 0.2
        self.pools = [self._plan_pool() for _ in range(random.choice((1, 1, 1, 2)))]
        self.conversing = random.choice((0, 0, 1, 3))
        self.exit = random.choice(("end",) * 7 + ("error", "cancel", "interrupt"))
        self.cancels = random.choice((0, 0, 0, 1, 3))
        self.interrupt = random.randrange(2500)  # the step at which its caller cancels it
        self.after = random.random() * 4  # seconds until the runner's block is left by force
        self._cancellable: dict[int, asyncio.Task[Any]] = {}

    def __str__(self) -> str:
        lines = [
            f"pool of {one.size} for {one.function} {one.options}, after {one.begins:.2f}"
            + (f", resized {one.resizes}" if one.resizes else "")
            + (f", left after {one.leaves:.2f}" if one.leaves is not None else "")
            + "".join(f"\n  {kind}: {[tuple(item) for item in items]}" for kind, items in one.clients)
            for one in self.pools
        ]
        end = "" if self.exit == "end" else f" after {self.after:.2f}"
        return "\n".join([*lines, f"{self.conversing} conversations; exit: {self.exit}{end}"])

    def _plan_pool(self) -> PoolPlan:
        random = self._random
        options: dict[str, Any] = {"progress": False, "retries": random.choice((0, 0, 0, 1, 3))}
        if random.random() < 0.15:
            options["timeout"] = random.choice((0.3, 1.0))
        if random.random() < 0.2 and options["retries"]:
            options["hedge"] = 2.0
        if random.random() < 0.1:
            options["max_calls"] = random.randint(1, 6)
        if random.random() < 0.1:
            options["rate"] = random.choice((20, 200))
        if random.random() < 0.3:
            options["per_container"] = random.randint(1, 3)
        function = random.choice(("compute", "compute", "fetch"))
        if function == "fetch":
            options["concurrency"] = random.choice((1, 3))
        size: Any = random.choice((1, 2, 2, 3, 4))
        if random.random() < 0.15:
            size = (random.randint(0, 1), 1 + size)
            options["idle"] = random.choice((0.1, 1.0))
        leaves = random.random() * 4 if random.random() < 0.1 else None
        resizes = [(random.random(), random.choice((1, 2, 4, (0, 3)))) for _ in range(random.choice((0,) * 5 + (1, 3)))]
        plan = PoolPlan(function, size, options, [], random.choice((0.0, 0.0, 0.5)), resizes, leaves)
        pace = random.choice((0.0005, 0.005, 0.05, 0.3))
        for _ in range(random.choice((1, 1, 2, 3))):
            kind = random.choice(_KINDS)
            items = [self._item(pace, plan) for _ in range(random.randint(1, 24))]
            plan.clients.append((kind, items))
        return plan

    def _item(self, pace: float, plan: PoolPlan) -> Item:
        random = self._random
        seconds = pace * random.random() * (10 if random.random() < 0.05 else 1)
        ending, chance = "ok", random.random()
        if chance < 0.05:
            ending = "raise"
        elif chance < 0.08 and self.has_deaths:
            ending = "die"
        size = random.choice((0, 0, 0, 0, 300, 5000)) if random.random() < 0.3 else 0
        item = Item(len(self.items), seconds, ending, size)
        self.items[item.number] = item
        self.plans[item.number] = plan
        return item

    # The run

    async def run(self, engine: SimulatedEngine, settings: Settings) -> None:
        """Run as a user's program does."""
        try:
            async with asyncio.timeout(self.after if self.exit == "cancel" else None):
                async with Runner(engine=engine, settings=settings) as runner:
                    await self._use(runner)
        except TimeoutError as error:
            if self.exit == "cancel":
                self._history.add("info", "the program is cancelled")
            else:
                self.problems.append(f"the program met {error!r}")
        except _Failure:
            self._history.add("info", "the program has failed")
        except ParcsError as error:
            self._history.fail("the program", error)

    async def _use(self, runner: Runner) -> None:
        work = [asyncio.ensure_future(self._use_pool(runner, plan)) for plan in self.pools]
        if self.conversing:
            work.append(asyncio.ensure_future(self._converse(runner)))
        try:
            if self.exit == "error":
                await asyncio.wait(work, timeout=self.after)
                raise _Failure
            await asyncio.wait(work)
        finally:
            await self._end(work)

    async def _end(self, tasks: Sequence[asyncio.Future[None]]) -> None:
        """Cancel tasks, and note errors that none of them expects."""
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for task in tasks:
            if not task.cancelled() and (error := task.exception()) is not None and not _is_left(error):
                self.problems.append(f"the program met {error!r}")

    def cancel_one(self) -> None:
        """Cancel one of its tasks, as a callback of its host."""
        if tasks := [task for task in self._cancellable.values() if not task.done()]:
            self._random.choice(tasks).cancel()
            self._history.add("info", "a task of the program is cancelled")

    def _start(self, work: Awaitable[None]) -> asyncio.Task[None]:
        task = host_of().start(work)
        self._cancellable[len(self._cancellable)] = task
        return task

    async def _use_pool(self, runner: Runner, plan: PoolPlan) -> None:
        await asyncio.sleep(plan.begins)
        tasks: list[asyncio.Task[None]] = []
        try:
            async with runner.pool("work", plan.size, function=plan.function, **plan.options) as pool:
                tasks = [self._start(self._run_client(pool, plan, *client)) for client in plan.clients]
                if plan.resizes:
                    tasks.append(self._start(self._resize(pool, plan)))
                await asyncio.wait(tasks, timeout=plan.leaves)
                for task in tasks if plan.leaves is not None else []:
                    task.cancel()
        except ParcsError as error:
            self._history.fail("a pool", error)
        finally:
            await self._end(tasks)

    async def _resize(self, pool: Pool, plan: PoolPlan) -> None:
        for pause, size in plan.resizes:
            await asyncio.sleep(pause)
            try:
                await pool.resize(size)
            except ParcsError as error:
                self._history.fail(f"resizing to {size}", error)

    # Clients

    async def _run_client(self, pool: Pool, plan: PoolPlan, kind: str, items: list[Item]) -> None:
        run: dict[str, Callable[[Pool, list[Item]], Awaitable[None]]] = {
            "map": self._map,
            "map, with errors": self._map_with_errors,
            "starmap": self._starmap,
            "imap": self._imap,
            "imap_unordered": self._imap_unordered,
            "submit": self._submit,
            "stream": self._stream,
        }
        if kind == "stream":
            items = items[:3]
        for item in items:
            self._history.invoke(item.number, kind)
        await run[kind](pool, items)

    def _settle(self, items: list[Item], outcomes: list[Any]) -> None:
        if len(items) != len(outcomes):
            self.problems.append(f"{len(outcomes)} outcomes for {len(items)} items")
        for item, outcome in zip(items, outcomes, strict=False):
            self._history.settle(item.number, outcome)
        self._complete(items)

    def _complete(self, items: list[Item]) -> None:
        self.complete.update(item.number for item in items)

    async def _map(self, pool: Pool, items: list[Item]) -> None:
        await self._collect(pool.starmap(map(tuple, items)), items)

    async def _starmap(self, pool: Pool, items: list[Item]) -> None:
        async def arriving() -> AsyncIterator[Any]:
            for item in items:
                await asyncio.sleep(0.001)
                yield tuple(item)

        await self._collect(pool.starmap(arriving()), items)

    async def _collect(self, results: Awaitable[list[Any]], items: list[Item]) -> None:
        try:
            outcomes = await results
        except ParcsError as error:  # the first failure: the others are dropped
            if error.index is None:
                self._fail_all(items, error)
            else:
                self._history.settle(items[error.index].number, error)
            return
        self._settle(items, outcomes)

    def _fail_all(self, items: list[Item], error: ParcsError) -> None:
        """Note that a pool has failed: all items that have no outcome have this one."""
        for item in items:
            if not self._history.outcomes[item.number]:
                self._history.settle(item.number, error)
        self._complete(items)

    async def _map_with_errors(self, pool: Pool, items: list[Item]) -> None:
        try:
            self._settle(items, await pool.starmap(map(tuple, items), return_exceptions=True))
        except ParcsError as error:
            self._fail_all(items, error)

    async def _imap(self, pool: Pool, items: list[Item]) -> None:
        results = pool.istarmap(map(tuple, items))
        place = 0
        while True:
            try:
                async for outcome in results:
                    self._history.settle(items[place].number, outcome)
                    place += 1
                    if self._random.random() < 0.05:
                        await asyncio.sleep(self._random.random())  # a slow reader
                break
            except ParcsError as error:
                if error.index is None:
                    self._fail_all(items, error)
                    return
                if error.index != place:
                    self.problems.append(f"item {error.index} fails in place {place}")
                self._history.settle(items[place].number, error)
                place += 1
        if place != len(items):
            self.problems.append(f"{place} outcomes for {len(items)} items")
        self._complete(items)

    async def _imap_unordered(self, pool: Pool, items: list[Item]) -> None:
        results = pool.istarmap_unordered(map(tuple, items), keyed=True)
        while True:
            try:
                async for index, outcome in results:
                    self._history.settle(items[index].number, outcome)
                break
            except ParcsError as error:
                if error.index is None:
                    self._fail_all(items, error)
                    return
                self._history.settle(items[error.index].number, error)
        self._complete(items)

    async def _submit(self, pool: Pool, items: list[Item]) -> None:
        try:
            futures = [pool.submit(*item) for item in items]
        except ParcsError as error:
            self._fail_all(items, error)
            return
        outcomes = await asyncio.gather(*futures, return_exceptions=True)
        if any(isinstance(one, asyncio.CancelledError) for one in outcomes):
            if not self._may_cancel(items[0]):
                self.problems.append("a submitted call was cancelled without a reason")
            return
        self._settle(items, outcomes)

    def _may_cancel(self, item: Item) -> bool:
        return self.plans[item.number].leaves is not None or self.exit != "end" or bool(self.cancels)

    async def _stream(self, pool: Pool, items: list[Item]) -> None:
        for item in items:
            got = 0
            try:
                async for one in pool.stream(item.number, 5, item.seconds, function="count"):
                    if one != got:
                        self.problems.append(f"a stream yields {one} in place {got}")
                    got += 1
            except ParcsError as error:
                self._history.fail(f"stream {item.number} after {got}", error)
                continue
            if got != 5:
                self.problems.append(f"a stream ends after {got} of 5 items")

    # Conversations

    async def _converse(self, runner: Runner) -> None:
        try:
            async with runner.start_many("talk", self.conversing) as tasks:
                talks = [self._start(self._talk(task)) for task in tasks]
                try:
                    await asyncio.wait(talks)
                finally:
                    await self._end(talks)
        except ParcsError as error:
            self._history.fail("starting or ending conversations", error)

    async def _talk(self, task: Any) -> None:
        """Send messages, and check that they come back in their order."""
        count, received = self._random.randint(1, 30), 0
        sending = asyncio.ensure_future(self._send(task, count))
        try:
            while received < count:
                message = await task.recv()
                if message[0] != received:
                    self.problems.append(f"{task.name} sends message {message[0]} in place of {received}")
                received += 1
        except ParcsError as error:
            self._history.fail(f"the conversation with {task.name} after {received}", error)
        finally:
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)

    async def _send(self, task: Any, count: int) -> None:
        try:
            for number in range(count):
                await task.send([number, "x" * self._random.choice((0, 0, 1000, 100_000))])
        except ParcsError:
            pass  # the receiver meets it, too


def _is_left(error: BaseException) -> bool:
    """Return whether an error says that the block of a pool was left."""
    return isinstance(error, RuntimeError) and "the pool's block" in str(error)


class _Failure(Exception):
    """What a program raises in its runner's block."""


def start(host: Host, program: Program, engine: SimulatedEngine, settings: Settings) -> asyncio.Task[None]:
    """Start a program on its host."""
    return host.start(program.run(engine, settings))
