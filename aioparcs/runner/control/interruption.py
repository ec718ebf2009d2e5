"""The answer to clients that wait while the program's own code keeps its event loop busy."""

from __future__ import annotations

import json
import signal
import socket
import threading
from types import FrameType

from aioparcs.launcher.process.stack_dumps import ANSWER
from aioparcs.runner.control.requests import LONGEST, RequestError, read_request

__all__ = ["Interruption"]

_BUSY = "the program's own code keeps its event loop busy, which would do that"


class Interruption:
    """
    Answers, from the handler of a signal that a client sends, where the main thread is: Python runs it between two
    steps of any code, also of one that never lets the loop run.

    Args:
        sock: the control socket, at which clients wait.
    """

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._is_set = False

    def begin(self) -> None:
        """Set the handler, if this is the main thread and the program has none of its own."""
        is_main = threading.current_thread() is threading.main_thread()
        if is_main and signal.getsignal(ANSWER) in (signal.SIG_DFL, signal.SIG_IGN):
            signal.signal(ANSWER, self._handle)
            signal.siginterrupt(ANSWER, False)  # or it would interrupt system calls of libraries
            self._is_set = True

    def end(self) -> None:
        """Ignore the signal from now on: one may be on its way."""
        if self._is_set:
            signal.signal(ANSWER, signal.SIG_IGN)

    def _handle(self, _number: int, frame: FrameType | None) -> None:
        """Answer the clients that wait; whatever fails, the program goes on."""
        try:
            self._answer_all(frame)
        except Exception:
            pass  # the clients get no answer, as if there were no handler

    def _answer_all(self, frame: FrameType | None) -> None:
        from aioparcs.launcher.process.stacks import describe_stacks  # few programs need it

        text = describe_stacks(frame)
        while True:
            try:
                client, _ = self._socket.accept()
            except BlockingIOError:
                return
            with client:
                client.setblocking(False)
                client.sendall(json.dumps(_answer(client.recv(LONGEST), text)).encode() + b"\n")


def _answer(line: bytes, text: str) -> dict[str, object]:
    try:
        request = read_request(line)
    except RequestError as error:
        return {"error": str(error)}
    return {"ok": True, "text": text} if request.do == "where" else {"error": _BUSY}
