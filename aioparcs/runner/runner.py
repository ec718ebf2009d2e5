"""The runner: one job, the workers that it starts, and its end."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Self

from aioparcs.entry import check_may_direct
from aioparcs.qualname import START_FOLDER
from aioparcs.settings import Settings
from aioparcs.starter import Starter

if TYPE_CHECKING:
    from pathlib import Path

    from aioparcs.engine import Engine, WorkerSpec
    from aioparcs.events import EventBus
    from aioparcs.runner.worker_provider import RunnerWorkers
    from aioparcs.task import WorkerHandle

__all__ = ["Runner"]


class Runner(Starter):
    """
    Starts workers and talks with each of them.

    Pass a coroutine function or a subclass with a ``run`` method to `run`, or enter a runner anywhere::

        async with Runner() as runner:
            async with runner.start("factor") as t:
                await t.send_all(90, 1, 91)
                print(await t.recv())

    Leaving the block normally waits for the workers to finish, for at most ``close_timeout`` seconds.
    Leaving it on an error, or by cancelling, kills them. Nothing of the job is left in either case.

    Args:
        engine: where work runs: an engine, or ``"local"`` for this machine or ``"swarm"``; by default
            ``PARCS_ENGINE``, else ``swarm`` where ``LEADER_URL`` names a Swarm's leader and ``local`` elsewhere.
        modules: the folders that hold modules, or one such folder; by default ``PARCS_MODULES``, else the folders
            of the running program and above it, see docs/settings.md. On a Swarm a module runs from the image that
            was built from the current files of its folder, see docs/swarm.md.
        settings: limits and deadlines; from the environment by default.
        tls: encrypt every connection (needs the extra ``aioparcs[tls]``).
        spawnable: the modules, image references, functions and Service classes that services may start; by default
            all but images, and ``()`` for none. See docs/tree.md.
        secrets: bytes by name, or the paths of files with them, that workers read by `secret`; no environment, command
            line or log contains them. Those of ``aioparcs run --secret`` take the place of these.

    Raises:
        SettingError: an argument, or a variable in the environment, has an impossible value.
        TypeError: ``settings`` is not a `Settings`, or one of its values not a number.

    Attributes:
        made: how many runners this process has made.
    """

    made: ClassVar[int] = 0

    def __init__(
        self,
        *,
        engine: Engine | str | None = None,
        modules: Iterable[str | os.PathLike[str]] | os.PathLike[str] | None = None,
        settings: Settings | None = None,
        tls: bool = False,
        spawnable: Iterable[str | Callable[..., Any]] | None = None,
        secrets: Mapping[str, bytes | os.PathLike[str]] | None = None,
    ) -> None:
        check_may_direct("makes a Runner")
        if not isinstance(settings, Settings | None):
            raise TypeError(f"settings={settings!r}: it must be a Settings, such as Settings(start_timeout=300)")
        if settings is not None:
            settings.check()
        # Here: a launcher that runs the program again for its functions loads this class, and makes no runner.
        from aioparcs.runner.job import RunnerJob

        Runner.made += 1
        if isinstance(modules, str | os.PathLike):  # not its characters
            modules = [modules]
        self._job = RunnerJob(settings or Settings.from_env(), engine, modules, tls, spawnable, secrets)

    async def run(self) -> None:
        """Run the program; a subclass that is passed to `run` overrides this."""
        raise TypeError(f"{type(self).__name__} has no run() method")

    @property
    def job(self) -> str:
        """The job's name."""
        return self._job.registry.job

    @property
    def files(self) -> Path:
        """
        The folder in which the program was started, where it finds what ``aioparcs run --send`` names.

        Workers on a Swarm have a folder of their own: ``files=`` of `start` names what they find in it, too.
        """
        from pathlib import Path  # with urllib and ipaddress; the class alone needs none of them

        return Path(START_FOLDER)

    @property
    def rejected_connections(self) -> int:
        """The number of connections that were refused so far."""
        return self._job.registry.rejected_connections

    @classmethod
    async def open(cls, **options: Any) -> Self:
        """
        Return a runner that has been entered, for programs in which no block can hold it, such as a notebook's cells::

            runner = await Runner.open()
            ...
            await runner.close()

        Args:
            options: those of the class.

        Raises:
            ParcsError: the engine can't be reached.
        """
        return await cls(**options).__aenter__()

    async def close(self) -> None:
        """Leave a runner that was entered by `open`, as leaving its block normally does."""
        await self.__aexit__(None, None)

    async def __aenter__(self) -> Self:
        await self._job.open()
        return self

    async def __aexit__(self, _: type[BaseException] | None, error: BaseException | None, *__: object) -> None:
        await self._job.close(error)

    async def _start_workers(self, spec: WorkerSpec, count: int) -> list[WorkerHandle]:
        return await self._job.supervisor.place(spec, count)

    def _worker_provider(self) -> tuple[RunnerWorkers, EventBus]:
        return self._job.worker_provider(), self._job.events
