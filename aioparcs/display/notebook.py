"""The display of a notebook: a table below each cell that starts workers, renewed while they work."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextvars import copy_context
from html import escape
from typing import Any

from aioparcs.display.console import Console
from aioparcs.display.detail import Clock
from aioparcs.display.notebook_tracebacks import hide_internal_frames
from aioparcs.display.text import origin, sanitize
from aioparcs.display.view import JobView, ModuleCounts, Pool, counted, describe_end
from aioparcs.events import Event, ModuleState, PoolProgress, WorkerExited, WorkersRequested, WorkerStopped, guarded

__all__ = ["NotebookDisplay", "notebook_display"]

_PERIOD = 0.25  # seconds between two renewals
_METADATA = {"aioparcs": {"progress": True}}  # by which tools find these outputs
_KEPT = 20  # tables of the last cells, which are renewed; what earlier ones show stays


def notebook_display() -> NotebookDisplay | None:
    """
    Return a display for the notebook that this process is the kernel of, None if it is none.

    Its tracebacks have no frames of this package from then on.
    """
    try:
        from IPython.core.getipython import get_ipython
        from IPython.display import display
    except ImportError:
        return None
    shell: Any = get_ipython()
    if not hasattr(shell, "kernel"):
        return None
    hide_internal_frames(shell)
    return NotebookDisplay(display, lambda: int(shell.execution_count))


class NotebookDisplay:
    """
    Shows what each cell of a notebook has started, in HTML without scripts: its workers, and the progress of its pools.

    Args:
        show: IPython's ``display``.
        cell: returns the number of the cell that runs.
    """

    def __init__(self, show: Callable[..., Any], cell: Callable[[], int]) -> None:
        self._show = show
        self._cell = cell
        self._console = Console(progress=False)
        self._view = JobView()
        self._clock = Clock()
        self._tables: list[_Table] = []
        self._due: asyncio.TimerHandle | None = None

    def __call__(self, event: Event) -> None:
        """Show an event: text at once, numbers within a quarter of a second."""
        if self._tables:
            self._tables[-1].context.run(self._console, event)
        else:
            self._console(event)
        pool = self._view.apply(event)
        if self._is_urgent(event, pool):
            self._renew()
        elif self._due is None:
            self._due = asyncio.get_running_loop().call_later(_PERIOD, guarded, self._renew)

    def _is_urgent(self, event: Event, pool: Pool | None) -> bool:
        """List what is new; return True for what is to be shown as long as its cell runs."""
        match event:
            case WorkersRequested():
                self._add_module(event.module)
                return True
            case WorkerExited() | WorkerStopped():
                return not self._view.of(event.module).state.present
            case PoolProgress() if pool and not any(pool.state.id in table.pools for table in self._tables):
                self._table().pools[pool.state.id] = pool
                return True
        return pool is not None and pool.ended is not None

    def _add_module(self, module: str) -> None:
        """List a module in the table of the cell that runs, and in no earlier one."""
        table = self._table()
        for earlier in self._tables[:-1]:
            earlier.modules.pop(module, None)
        table.modules[module] = self._view.of(module)

    def _table(self) -> _Table:
        """Return the table below the cell that runs."""
        cell = self._cell()
        if not self._tables or self._tables[-1].cell != cell:
            self._tables = [*self._tables[1 - _KEPT :], _Table(cell, self._show)]
        return self._tables[-1]

    def _renew(self) -> None:
        if self._due is not None:
            self._due.cancel()
            self._due = None
        for table in self._tables:
            table.renew(self._clock.now())


class _Table:
    """
    The table of one cell.

    Attributes:
        cell: the number of the cell.
        modules: the counts of the modules that it was the last one to start workers of, by name.
        pools: its pools, by number.
        context: what IPython finds the cell by: events come from tasks that began in others, too.
    """

    def __init__(self, cell: int, show: Callable[..., Any]) -> None:
        self.cell = cell
        self.modules: dict[str, ModuleCounts] = {}
        self.pools: dict[int, Pool] = {}
        self._show = show
        self._handle: Any = None
        self.context = copy_context()
        self._shown = ""

    def renew(self, now: float) -> None:
        """Show the numbers as they are now, if they have changed."""
        modules = [counts.state for counts in self.modules.values()]
        rows = [*map(_module_row, modules), *(_pool_row(pool, now) for pool in self.pools.values())]
        html = f"<table>{''.join(rows)}</table>"
        if html == self._shown:
            return
        self._shown = html
        lines = [*map(_module_line, modules), *(pool.line(now) for pool in self.pools.values())]
        bundle = {"text/html": html, "text/plain": "\n".join(sanitize(line, color=False) for line in lines)}
        if self._handle is None:
            self._handle = self._show(bundle, raw=True, display_id=True, metadata=_METADATA)
        else:
            self.context.run(self._handle.update, bundle, raw=True, metadata=_METADATA)


def _module_row(state: ModuleState) -> str:
    bar = _bar(state.fraction, 1.0) if state.reports else ""
    return _row(origin(state.module, None), bar, [_module_text(state)])


def _module_line(state: ModuleState) -> str:
    return f"{origin(state.module, None)}: {_module_text(state)}"


def _module_text(state: ModuleState) -> str:
    """Return the workers of a module as text: ``6 of 8 workers connected, 1 failed``."""
    if not state.present:
        return describe_end(state)
    of = "" if state.up == state.present else f"{state.up:,} of "
    failed = f", {state.failed:,} failed" if state.failed else ""
    waits = f", {state.waits}" if state.waits else ""
    return f"{of}{counted(state.present, 'worker')} connected{failed}{waits}"


def _pool_row(pool: Pool, now: float) -> str:
    total = pool.state.done if pool.state.total is None and pool.ended is not None else pool.state.total
    time = f"in {pool.took}" if pool.ended is not None else pool.left(now)
    waits = pool.state.waits if pool.ended is None else ""
    texts = [pool.items, pool.failures, time, pool.rate(now), pool.workers, waits]
    return _row(origin(pool.state.name, None), _bar(pool.state.done, total), texts)


def _bar(done: float, total: float | None) -> str:
    """Return a bar; one without a value, which moves, as long as the total is not known."""
    return "<progress></progress>" if total is None else f'<progress value="{done}" max="{total or 1}"></progress>'


def _row(name: str, bar: str, texts: list[str]) -> str:
    """Return a row; its name and texts come from programs."""
    cells = (_escaped(name), bar, ", ".join(_escaped(text) for text in texts if text))
    return "<tr>" + "".join(f'<td style="text-align: left">{cell}</td>' for cell in cells) + "</tr>"


def _escaped(text: str) -> str:
    return escape(sanitize(text, color=False))
