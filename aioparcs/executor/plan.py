"""The options of an executor, as its user gives them, and what it makes of them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, NamedTuple

from aioparcs.engine import Engine, WorkerSpec
from aioparcs.launcher.sources import is_own_module
from aioparcs.pool import Pool, PoolOptions, Recycling
from aioparcs.qualname import MAIN, qualified_name, refuse_generator_function
from aioparcs.runner import Runner
from aioparcs.runner.engines import check_engine
from aioparcs.starter import StartOptions

__all__ = ["Place", "Plan"]


class Place(NamedTuple):
    """
    Where a function is found.

    Attributes:
        home: what the workers have that find it: functions of the same home are called in the same pool.
        target: what such a pool is started for: a module, or the function.
        name: the function's name in such a worker.
    """

    home: str
    target: Any
    name: str


class Plan(NamedTuple):
    """
    What an executor's workers are.

    Attributes:
        size: how many there are.
        module: the module whose functions are called by their names, None for functions themselves.
        engine: where they run, see `Runner`.
        retries: see `Starter.pool`.
        setup: see `Starter.pool`.
        options: ``env``, ``cpus`` and the others of `Starter.start`.
    """

    size: int
    module: str | os.PathLike[str] | None
    engine: Engine | str | None
    retries: int
    setup: Mapping[str, Any] | None
    options: StartOptions

    def check(self) -> None:
        """
        Raise an error for an option that is impossible, before any worker is started.

        Raises:
            SettingError, TypeError, ValueError: see `Starter.pool`.
        """
        for name in self.options:
            if name not in StartOptions.__annotations__:
                raise TypeError(f"Executor() got an unexpected keyword argument {name!r}")
        check_engine(self.engine)
        PoolOptions.make(
            WorkerSpec.make("functions" if self.module is None else self.module, **self.options),
            self.size,
            idle=0.0,
            function="",
            retries=self.retries,
            timeout=None,
            rate=None,
            hedge=None,
            recycling=Recycling(),
            setup=self.setup,
            concurrency=1,
            progress=False,
            total=None,
        )

    def find(self, function: Any) -> Place:
        """
        Return where workers find a function.

        Raises:
            TypeError: they find it nowhere; says what to do.
        """
        if self.module is not None:
            if isinstance(function, str):
                return Place("", self.module, function)
            raise TypeError(f"fn={function!r}: this executor calls functions of {self.module} by their names, as texts")
        if isinstance(function, str):
            raise TypeError(f'fn={function!r}: to call by names, give the module: Executor(..., module="divisors")')
        if isinstance(function, type):
            raise TypeError(f"fn={function!r}: it is a class; write a function, def NAME(...), that calls it")
        refuse_generator_function(function)
        name = qualified_name(function)
        is_shared = name.module != MAIN and is_own_module(name.module)  # each worker finds the program's own files
        return Place("" if is_shared else name.module, function, str(name))

    def make_runner(self) -> Runner:
        """Return the runner."""
        return Runner(engine=self.engine)

    def make_pool(self, runner: Runner, place: Place) -> Pool:
        """Return a pool of workers that find a function."""
        return runner.pool(
            place.target, self.size, retries=self.retries, setup=self.setup, progress=False, **self.options
        )
