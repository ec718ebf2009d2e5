"""A headless Chromium, driven over the pipe of its DevTools protocol."""

import json
import os
import select
import shutil
import subprocess
import time
from base64 import b64decode
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.cluster import packages
from tests.cluster.command import ClusterError

__all__ = ["Browser", "Page", "chromium"]

_OPTIONS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update",
    "--disable-sync", "--no-first-run", "--disable-dev-shm-usage", "--disable-breakpad", "--remote-debugging-pipe",
)  # fmt: skip
_PATIENCE = 60.0
_READY = "document.documentElement?.dataset.ready"
# Chromium gives up all requests when a network of the machine comes or goes, as those of the cluster's tests do.
_CHANGED, _TRIES = "ERR_NETWORK_CHANGED", 10
# What Chromium needs to act on a key by itself: its code in Windows, and its text.
_CODES = {"Tab": 9, "Enter": 13, "Escape": 27, " ": 32, "End": 35, "Home": 36}
_TEXTS = {"Enter": "\r"}


class Browser:
    """
    A running Chromium.

    Args:
        commands: where commands are written.
        answers: where answers and events are read.
    """

    def __init__(self, commands: int, answers: int) -> None:
        self._commands = commands
        self._answers = answers
        self._number = 0
        self._rest = b""
        self.events: list[dict[str, Any]] = []

    def call(self, method: str, session: str | None = None, **params: Any) -> dict[str, Any]:
        """Call a method of the protocol and return its result; events that come meanwhile are kept."""
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": params}
        if session:
            message["sessionId"] = session
        os.write(self._commands, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._read()
            if answer.get("id") == self._number:
                assert "error" not in answer, f"{method}: {answer['error']}"
                result: dict[str, Any] = answer["result"]
                return result
            self.events.append(answer)

    def open(
        self, url: str, *, width: int = 1280, height: int = 900, dark: bool = False, ready: str = _READY
    ) -> "Page":
        """Open a page and wait until an expression is true, by default one that says that our script has run."""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        self.events.clear()
        page = Page(self, session, target)
        for domain in ("Page", "Runtime", "Log", "Network"):
            page.call(f"{domain}.enable")
        page.resize(width, height)
        feature = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        page.call("Emulation.setEmulatedMedia", features=[feature])
        for _ in range(_TRIES):
            page.call("Page.navigate", url="about:blank")
            self.events.clear()
            page.call("Page.navigate", url=url)
            if page.is_whole(ready):
                break
        return page

    def _read(self) -> dict[str, Any]:
        deadline = time.monotonic() + _PATIENCE
        while b"\0" not in self._rest:
            ready, _, _ = select.select([self._answers], [], [], max(0.0, deadline - time.monotonic()))
            assert ready, "Chromium does not answer"
            data = os.read(self._answers, 1 << 16)
            assert data, "Chromium has ended"
            self._rest += data
        line, _, self._rest = self._rest.partition(b"\0")
        message: dict[str, Any] = json.loads(line)
        return message


class Page:
    """One page of a browser."""

    def __init__(self, browser: Browser, session: str, target: str) -> None:
        self._browser = browser
        self._session = session
        self._target = target

    def close(self) -> None:
        """Close the page, and with it its connections."""
        self._browser.call("Target.closeTarget", targetId=self._target)

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """Call a method of the protocol for this page."""
        return self._browser.call(method, self._session, **params)

    def run(self, script: str) -> Any:
        """Return the value of an expression."""
        done = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in done, done["exceptionDetails"]
        return done["result"].get("value")

    def until(self, script: str, patience: float = _PATIENCE) -> Any:
        """Wait until an expression is true, so many seconds at most, and return its value."""
        deadline = time.monotonic() + patience
        while not (value := self.run(script)):
            assert time.monotonic() < deadline, f"{script} is still {value!r}; {self.problems()}"
            time.sleep(0.01)
        return value

    def is_whole(self, ready: str) -> bool:
        """Wait until an expression is true, and return True; False if parts of the page did not arrive."""
        deadline = time.monotonic() + _PATIENCE
        while not self.run(ready):
            if any(_CHANGED in str(event) for event in self._browser.events):
                return False
            assert time.monotonic() < deadline, f"the page is not ready; {self.problems()}"
            time.sleep(0.01)
        return True

    def press(self, key: str, *, shift: bool = False) -> None:
        """Press a key and release it."""
        text = _TEXTS.get(key, key if len(key) == 1 else "")
        more: dict[str, Any] = {"windowsVirtualKeyCode": _CODES[key]} if key in _CODES else {}
        more |= {"key": key, "modifiers": 8 if shift else 0}
        self.call("Input.dispatchKeyEvent", type="keyDown", **more, **({"text": text} if text else {}))
        self.call("Input.dispatchKeyEvent", type="keyUp", **more)

    def type(self, text: str) -> None:
        """Type text into what has the focus."""
        self.call("Input.insertText", text=text)

    def move(self, x: float, y: float, kind: str = "mouseMoved", **more: Any) -> None:
        """Move the mouse, or press, release or turn its wheel."""
        self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, **more)

    def resize(self, width: int, height: int) -> None:
        """Set the size of the page."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)

    def screenshot(self, path: Path) -> None:
        """Write what is seen as a PNG."""
        path.write_bytes(b64decode(self.call("Page.captureScreenshot")["data"]))

    def problems(self, origin: str = "file:") -> list[Any]:
        """Return errors and warnings of the console, exceptions, and requests to elsewhere than an origin."""
        found: list[Any] = []
        for event in self._browser.events:
            params = event.get("params", {})
            match event["method"]:
                case "Runtime.exceptionThrown":
                    found.append(params["exceptionDetails"])
                case "Runtime.consoleAPICalled":
                    found.append(params)
                case "Log.entryAdded" if params["entry"]["source"] == "rendering":  # what tests do with a canvas
                    pass
                case "Log.entryAdded" if _CHANGED not in params["entry"]["text"]:
                    found.append(params)
                case "Network.requestWillBeSent" if not params["request"]["url"].startswith((origin, "data:")):
                    found.append(params["request"]["url"])
        return found


@contextmanager
def chromium(folder: Path) -> Iterator[Browser]:
    """
    Run Chromium with its files in a folder; on Debian it is installed if it isn't there.

    Without root, or elsewhere, the test is skipped.
    """
    if not shutil.which("chromium"):
        try:
            if os.geteuid():
                raise ClusterError("only root can install it")
            packages.provide(folder, {"chromium": "chromium"})
        except ClusterError as error:
            pytest.skip(f"needs Chromium: {error}")
    their_commands, commands = os.pipe()
    answers, their_answers = os.pipe()
    process = subprocess.Popen(
        ["bash", "-c", f'exec chromium "$@" 3<&{their_commands} 4>&{their_answers}', "bash",
         *_OPTIONS, f"--user-data-dir={folder / 'profile'}"],
        pass_fds=(their_commands, their_answers), stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=os.environ | {"HOME": str(folder)},
    )  # fmt: skip
    os.close(their_commands)
    os.close(their_answers)
    browser = Browser(commands, answers)
    try:
        yield browser
        browser.call("Browser.close")
    finally:
        os.close(commands)
        os.close(answers)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
