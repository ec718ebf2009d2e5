import asyncio
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from aioparcs import Runner, Task
from aioparcs.events import Event, EventBus, LogLines, WorkerExited, WorkerProgress, program_events
from aioparcs.wire import FrameType
from tests.support import document, reference_service
from tests.support.notation import same


def test_the_bytes_in_the_document_are_what_the_code_makes() -> None:
    text = document.PATH.read_text()
    assert document.written(text) == text, "python -m tests.support.document updates it"


@pytest.mark.slow
@pytest.mark.parametrize("type", FrameType, ids=lambda type: type.name)
def test_every_frame_type_is_in_the_document(type: FrameType) -> None:
    assert re.search(rf"^\| [\d, /]*\b{type}\b[\d, /]*\| [A-Z, /]*\b{type.name}\b", document.PATH.read_text(), re.M)


@pytest.mark.slow
async def test_a_service_written_from_the_document_alone_works(tmp_path: Path) -> None:
    (tmp_path / "reference").mkdir()
    shutil.copy(reference_service.__file__, tmp_path / "reference" / "main.py")
    seen = Watch()
    program_events.set(EventBus(seen))
    async with Runner(modules=[tmp_path]) as runner:
        tasks = await runner.start_many("reference", 3)
        values: list[Any] = [None, [1, -1, 2**70, 1.5], {"a": {"b": b"x"}}, b"y" * 20_000, "é" * 1000, [b"z" * 9000]]
        array = np.arange(5000.0).reshape(50, 100).T
        for value in [*values, array, [array], {"part": array[:2, :2].copy()}]:
            assert all([same(await echo(task, value), value) for task in tasks])
        assert await asyncio.gather(*(task.call("add", 1, 2, third=3.5) for task in tasks)) == [6.5] * 3
        with pytest.raises(LookupError, match="no function subtract"):
            await tasks[0].call("subtract")
    assert seen.lines == [(0, "hello from the reference service")]
    assert sorted(seen.progress) == [(0, 0, 1), (1, 1, 1), (2, 2, 1)]
    assert sorted(seen.ends) == [(0, None), (1, None), (2, None)]


async def echo(task: Task, value: Any) -> Any:
    await task.send(value)
    return await task.recv()


class Watch:
    def __init__(self) -> None:
        self.lines: list[tuple[int | None, str]] = []
        self.progress: list[tuple[int, float, float]] = []
        self.ends: list[tuple[int, str | None]] = []

    def __call__(self, event: Event) -> None:
        match event:
            case LogLines():
                self.lines += event.lines
            case WorkerProgress():
                self.progress.append((event.worker, event.done, event.total))
            case WorkerExited():
                self.ends.append((event.worker, event.error))
