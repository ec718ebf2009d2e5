"""The launcher, the role of ``python main.py`` when it calls ``serve``: fork server, agent and workers."""

from aioparcs.launcher.agent import Lines
from aioparcs.launcher.connect import Connection, adopt, connect, connect_now
from aioparcs.launcher.context import RunnerEndpoint, WorkerContext, WorkerProgram, pass_token
from aioparcs.launcher.process.child import become_worker, die_with_parent
from aioparcs.launcher.process.gpus import gpus_refusal_reason, visible_gpus
from aioparcs.launcher.process.logs import show_logs
from aioparcs.launcher.remains import PATIENCE, PAUSE, groups_of, kill_remains
from aioparcs.launcher.reports import PEER_CLOSED, PEER_OPENED, PROGRESS, REPORT
from aioparcs.launcher.sources import is_installed, is_own_module, loaded_files
from aioparcs.launcher.startup import launch

__all__ = [
    "PATIENCE",
    "PAUSE",
    "PEER_CLOSED",
    "PEER_OPENED",
    "PROGRESS",
    "REPORT",
    "Connection",
    "Lines",
    "RunnerEndpoint",
    "WorkerContext",
    "WorkerProgram",
    "adopt",
    "become_worker",
    "connect",
    "connect_now",
    "die_with_parent",
    "gpus_refusal_reason",
    "groups_of",
    "is_installed",
    "is_own_module",
    "kill_remains",
    "launch",
    "loaded_files",
    "pass_token",
    "show_logs",
    "visible_gpus",
]
