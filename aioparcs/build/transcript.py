"""The transcript of a build, pull or push: Docker's messages, turned into lines, a short state, and errors."""

from __future__ import annotations

import re
from collections import deque
from typing import Any

from aioparcs.errors import BuildError

__all__ = ["BuildOutput", "Transcript"]

QUOTED = 20  # lines of a failing step that its error has
_COLOR = re.compile(r"\x1b\[[0-9;]*m")  # what a step writes to stderr comes in red
_STEP = re.compile(r"Step (\d+/\d+) : (.*)")
_MADE = re.compile(r" ---> ([0-9a-f]{12,})")
_CACHED = " ---> Using cache"
_FROM = re.compile(r"(?i)`FROM ")
_OWN = (" ---> ", "Removing intermediate container ")  # Docker's own remarks, not the step's
_EXIT = re.compile(r"returned a non-zero code: (\d+)")
_DONE = ("Pushed", "Layer already", "Mounted", "Pull complete", "Already")  # how a layer's last state begins
_MIB = 1 << 20


class BuildOutput:
    """The output of a build as it comes; by default none of it is shown."""

    def line(self, text: str) -> None:
        """Show a line of output."""

    def state(self, text: str) -> None:
        """Show the current state, in a few words; called whenever it changes."""


class Transcript:
    """
    Follows one build, pull or push.

    Args:
        module: the module whose image it is.
        image: the image's name.
        output: gets its lines and states.
    """

    def __init__(self, module: str, image: str, output: BuildOutput) -> None:
        self._module = module
        self._image = image
        self._output = output
        self._step = ""
        self._last: deque[str] = deque(maxlen=QUOTED)
        self._rest = ""
        self._layers: dict[str, tuple[str, int, int]] = {}
        self._is_cached = False
        self.made: list[str] = []  # the images that the steps so far have made, each on the one before it
        self.result: dict[str, Any] = {}  # what Docker names at the end: an image's ID, or a digest

    def take(self, message: dict[str, Any]) -> None:
        """
        Handle one message.

        Raises:
            BuildError: it is an error, which is Docker's last message.
        """
        if "error" in message or "errorDetail" in message:
            detail = message.get("errorDetail") or {}
            raise self.failure(str(detail.get("message") or message.get("error")))
        if "stream" in message:
            self._take_text(message["stream"])
        elif "aux" in message:
            self.result.update(message["aux"])
        elif "status" in message:
            self._take_status(message)

    def failure(self, text: str) -> BuildError:
        """Return the error for a message of Docker, with the step that it is about."""
        if self._rest:
            self._take_text("\n")
        code = _EXIT.search(text)
        if not self._step:
            return BuildError(self._module, self._image, f"{text.strip()}{_advice(text, self._image)}")
        reason = f"ended with exit code {code[1]}" if code else f"failed: {text.strip()}"
        return BuildError(self._module, self._image, f"step {self._step} {reason}", tuple(self._last))

    def _take_text(self, text: str) -> None:
        *lines, self._rest = (self._rest + text).split("\n")
        for line in lines:
            line = _COLOR.sub("", line).rstrip().rpartition("\r")[2]
            step = _STEP.fullmatch(line)
            if made := _MADE.fullmatch(line):
                if not self._is_cached and not _FROM.search(self._step):
                    self.made.append(made[1])
                self._is_cached = False
            self._is_cached |= line == _CACHED
            if step:
                self._step = f"{step[1]} `{step[2]}`"
                self._last.clear()
                self._output.state(f"step {step[1]}: {step[2]}")
            elif line and not line.startswith(_OWN):
                self._last.append(line)
            if line:
                self._output.line(line)

    def _take_status(self, message: dict[str, Any]) -> None:
        layer, status = message.get("id"), message["status"]
        if not layer or ":" in status:  # about the whole
            return self._output.line(status)
        before = self._layers.get(layer, ("", 0, 0))
        detail = message.get("progressDetail") or {}
        self._layers[layer] = status, int(detail.get("current", before[1])), int(detail.get("total", before[2]))
        if status != before[0]:
            self._output.line(f"{layer}: {status}")
        self._output.state(self._progress(status))
        return None

    def _progress(self, status: str) -> str:
        layers = self._layers.values()
        done = sum(1 for state, *_ in layers if state.startswith(_DONE))
        moved, total = sum(now for _, now, _ in layers) / _MIB, sum(size for *_, size in layers) / _MIB
        size = f", {moved:.0f} of {max(moved, total):.0f} MiB" if total >= 1 else ""
        verb = "pulling" if "ull" in status or "ownload" in status else "pushing"
        return f"{verb}: {done} of {len(layers)} layers{size}"


def _advice(text: str, image: str) -> str:
    """Return advice for the most frequent errors of registries and Docker, else ""."""
    registry = image.partition("/")[0]
    lowered = text.lower()
    if "server gave http response to https client" in lowered:
        return f'; add "insecure-registries": ["{registry}"] to daemon.json of every node, or give it a certificate'
    if any(word in lowered for word in ("denied", "unauthorized", "no basic auth", "authentication required")):
        return f"; docker login {registry}"
    if any(word in lowered for word in ("connection refused", "no such host", "timeout", "no route", "unreachable")):
        return f"; is the registry {registry} running, and reachable from the leader?"
    return ""
