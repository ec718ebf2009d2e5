"""The connection to a service of the original PARCS, which the runner dials."""

from __future__ import annotations

from collections.abc import Callable

from aioparcs.channel import Channel, introduce_v1
from aioparcs.engine import Engine
from aioparcs.errors import ConnectionLost, HandshakeError, StartError
from aioparcs.runner.state import stimuli
from aioparcs.runner.state.stimuli import Stimulus
from aioparcs.settings import Settings
from aioparcs.task import WorkerHandle
from aioparcs.transport import dial

__all__ = ["dial_v1"]


async def dial_v1(engine: Engine, settings: Settings, task: WorkerHandle, handle: Callable[[Stimulus], None]) -> None:
    """
    Connect to a service of the original PARCS, and pass to the job's state how that has ended.

    Args:
        engine: knows where it is.
        settings: limits and deadlines.
        task: the worker that it is.
        handle: takes what has happened.
    """
    try:
        address = await engine.address(task.launcher)
        reader, writer = await dial(address, timeout=settings.start_timeout)
        try:
            await introduce_v1(reader, writer, settings.handshake_timeout)
        except BaseException:
            writer.transport.abort()
            raise
    except (ConnectionLost, HandshakeError) as error:
        handle(stimuli.StartFailed(task.worker, str(error)))
        return
    except StartError as error:
        handle(stimuli.StartFailed(task.worker, error.reason))
        return
    task.connect(Channel(reader, writer, settings=settings, version=1))
    handle(stimuli.WorkerConnected(task.worker))
