"""The pages that ask jobs: for a stack, and with ``--control`` to do something."""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from pathlib import Path
from typing import ClassVar

from rich.text import Text
from textual.binding import Binding, BindingType
from textual.timer import Timer

from aioparcs.monitor.control import ControlError, send_request
from aioparcs.top.screens.dialogs import Confirm, Question
from aioparcs.top.screens.page import Page
from aioparcs.top.texts import plain

__all__ = ["WORKER_BINDINGS", "WORKER_KEYS", "ActingPage"]

_SHOWN = 8.0  # seconds for which an answer stands in place of the keys
_NAME = "aioparcs top"  # that the job's log names
# What is asked before a worker is changed, and what comes of it.
_OF_WORKERS = {
    "kill": ("Kill worker {}?", "It gets SIGKILL. If it is in a pool, the pool starts another one."),
    "restart": ("Restart worker {}?", "Another worker of its pool takes its place: it ends when that one is there."),
    "cancel": (
        "Cancel the call of worker {}?",
        "It fails with CallCancelled. A plain function goes on until it returns.",
    ),
}
WORKER_BINDINGS: tuple[BindingType, ...] = (
    Binding("K", "worker('kill')", "kill the worker"),
    Binding("N", "worker('restart')", "restart the worker"),
    Binding("C", "worker('cancel')", "cancel its call"),
)
WORKER_KEYS = (("K", "kill"), ("N", "restart"), ("C", "cancel"))


class ActingPage(Page):
    """
    A page whose keys may do something to a job.

    Args:
        control: whether they may; else they say what to start instead.
    """

    ACTION_KEYS: ClassVar[tuple[tuple[str, str], ...]] = ()  # the keys of its actions
    ACTION_HELP: ClassVar[tuple[tuple[str, str], ...]] = ()

    def __init__(self, *, control: bool) -> None:
        super().__init__()
        self.control = control
        self._message: Text | None = None
        self._timer: Timer | None = None

    def keys(self) -> tuple[tuple[str, str], ...]:
        """Return its keys: those of its actions, if it has any, are more important than most of the others."""
        if not self.control:
            return super().keys()
        first = tuple(key for key in self.MAIN_KEYS if key[0] in ("Enter", "?"))
        return (*first[:-1], *self.ACTION_KEYS, first[-1], *(key for key in self.MAIN_KEYS if key not in first))

    def own_keys(self) -> tuple[tuple[str, str], ...]:
        """Return its own keys, for the help."""
        return (*self.OWN_KEYS, *(self.ACTION_HELP if self.control else ()))

    def show_keys(self, text: Text | None = None) -> None:
        """Draw the keys, or a message as long as there is one."""
        super().show_keys(text or self._message)

    def say(self, text: str, style: str = "") -> None:
        """Show a message in place of the keys, for some seconds."""
        if self._timer is not None:
            self._timer.stop()
        self._message = Text(f" {plain(text)}", style or "bold")
        self._timer = self.set_timer(_SHOWN, self._end_message)
        self.show_keys()

    @property
    @abstractmethod
    def has_running_job(self) -> bool:
        """Whether the job that keys are for still runs."""

    def may_act(self) -> bool:
        """Return whether something may be done to the job; say so if it may not."""
        if not self.control:
            self.say("start aioparcs top --control to do that", "yellow")
        elif not self.has_running_job:
            self.say("the job has ended", "yellow")
        return self.control and self.has_running_job

    def confirm(self, question: str, effect: str, socket: Path, do: str, **numbers: int) -> None:
        """Send a job a request, once it is confirmed."""

        def send(confirmed: bool | None) -> None:
            if confirmed:
                self._send(socket, do, **numbers)

        if self.may_act():
            self.app.push_screen(Confirm(question, effect), send)

    def ask_size(self, name: str, pool: int, size: int, socket: Path) -> None:
        """Ask for the number of a pool's workers, and send the job the request."""

        def send(workers: int | None) -> None:
            if workers is not None:
                self._send(socket, "resize", pool=pool, workers=workers)

        if self.may_act():
            self.app.push_screen(Question(f"Resize the pool {plain(name)}", "The number of its workers:", size), send)

    def ask_worker(self, do: str, worker: int, socket: Path) -> None:
        """Kill or restart a worker, or cancel its call, once that is confirmed."""
        question, effect = _OF_WORKERS[do]
        self.confirm(question.format(worker), effect, socket, do, worker=worker)

    def _send(self, socket: Path, do: str, **numbers: int) -> None:
        self.run_worker(self._request(socket, do, **numbers))

    async def _request(self, socket: Path, do: str, **numbers: int) -> None:
        try:
            text = await asyncio.to_thread(send_request, socket, do, _NAME, **numbers)
        except ControlError as error:
            self.say(str(error), "bold red")
        else:
            self.say(text)

    def _end_message(self) -> None:
        self._message = None
        if self.is_whole:
            self.show_keys()
