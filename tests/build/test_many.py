"""Builds of several modules at the same time: their order, their number, and the end of all when one fails."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from aioparcs import BuildError, SettingError
from aioparcs.build import BuiltImage, many, start_builds
from aioparcs.cli import submit
from aioparcs.cli.submit import RunRequest
from aioparcs.display import Detail

PACKAGES = "numpy\n"


class Leader:
    """A leader whose builds end when the test says so."""

    def __init__(self) -> None:
        self.running: dict[str, asyncio.Future[None]] = {}
        self.cancelled: list[str] = []
        self._changed = asyncio.Event()

    async def build(self, docker: Any, folder: Path, *, push: bool) -> BuiltImage:
        name = folder.name
        self.running[name] = asyncio.get_running_loop().create_future()
        self._changed.set()
        try:
            await self.running[name]
        except asyncio.CancelledError:
            self.cancelled.append(name)
            raise
        finally:
            del self.running[name]
            self._changed.set()
        return BuiltImage(name, f"{name}:1", f"{name}@sha256:1", True, push)

    def end(self, name: str) -> None:
        self.running[name].set_result(None)

    async def wait_for(self, *names: str) -> None:
        while set(self.running) != set(names):
            self._changed.clear()
            await self._changed.wait()


@pytest.fixture
def leader(monkeypatch: pytest.MonkeyPatch) -> Callable[[], Leader]:
    def make() -> Leader:
        made = Leader()
        monkeypatch.setattr(many, "build", made.build)
        return made

    monkeypatch.delenv("PARCS_REGISTRY", raising=False)
    return make


def folders(tmp_path: Path, **modules: dict[str, str]) -> list[Path]:
    made = []
    for name, files in modules.items():
        (tmp_path / name).mkdir()
        for file, text in ({"main.py": ""} | files).items():
            (tmp_path / name / file).write_text(text)
        made.append(tmp_path / name)
    return made


async def test_four_are_built_at_once_and_returned_in_their_order(leader: Callable[[], Leader], tmp_path: Path) -> None:
    there = leader()
    async with asyncio.TaskGroup() as group:
        builds = start_builds(group, None, folders(tmp_path, **{name: {} for name in "abcdef"}), push=True)  # type: ignore[arg-type]  # no Docker is used
        await there.wait_for("a", "b", "c", "d")
        there.end("c")
        await there.wait_for("a", "b", "d", "e")
        there.end("b")
        await there.wait_for("a", "d", "e", "f")
        for name in "adef":
            there.end(name)
    assert [build.result().module for build in builds] == [*"abcdef"]
    assert all(build.result().pushed for build in builds)


@pytest.mark.parametrize(
    "first, second",
    [
        ({}, {"Dockerfile": "FROM a\n"}),
        ({}, {"Dockerfile": "FROM a:latest AS b\nFROM b\n"}),
        ({"requirements.txt": PACKAGES}, {"requirements.txt": PACKAGES}),
    ],
)
async def test_a_module_is_built_after_its_base_image(
    leader: Callable[[], Leader], tmp_path: Path, first: dict[str, str], second: dict[str, str]
) -> None:
    there = leader()
    async with asyncio.TaskGroup() as group:
        start_builds(group, None, folders(tmp_path, a=first, b=second, c={}))  # type: ignore[arg-type]  # as above
        await there.wait_for("a", "c")
        there.end("a")
        await there.wait_for("b", "c")
        there.end("b")
        there.end("c")


async def test_other_packages_and_foreign_images_are_not_waited_for(
    leader: Callable[[], Leader], tmp_path: Path
) -> None:
    there = leader()
    own = {"Dockerfile": "FROM python:3.13\n"}
    modules = folders(tmp_path, a=own, b=own, c={"requirements.txt": "numpy"}, d={"requirements.txt": "pandas"})
    async with asyncio.TaskGroup() as group:
        start_builds(group, None, modules)  # type: ignore[arg-type]  # as above
        await there.wait_for(*"abcd")
        for name in "abcd":
            there.end(name)


def request(runner: Path) -> RunRequest:
    return RunRequest(runner, [runner.parent], {}, (), Detail.NORMAL, detach=False)


class Swarm:
    docker = None


async def test_a_run_prints_its_modules_in_their_order(
    leader: Callable[[], Leader], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    there = leader()
    runner, _, _ = folders(tmp_path, runner={"main.py": "start('one'), start('two')"}, one={}, two={})
    build = asyncio.create_task(submit._build(Swarm(), request(runner)))  # type: ignore[arg-type]  # as above
    await there.wait_for("one", "runner", "two")
    for name in ("two", "one", "runner"):
        there.end(name)
    image, images = await build
    assert image == "runner@sha256:1"
    assert images == {name: f"{name}@sha256:1" for name in ("one", "two")}
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "runner: built and pushed runner:1"
    assert sorted(lines[1:]) == ["one: built and pushed one:1", "two: built and pushed two:1"]


async def test_a_failed_build_cancels_the_others_and_is_named(leader: Callable[[], Leader], tmp_path: Path) -> None:
    there = leader()
    runner, *_ = folders(tmp_path, runner={"main.py": "start('one'), start('two')"}, one={}, two={})
    build = asyncio.create_task(submit._build(Swarm(), request(runner)))  # type: ignore[arg-type]  # as above
    await there.wait_for("one", "runner", "two")
    there.running["one"].set_exception(BuildError("one", "one:1", "it broke"))
    with pytest.raises(BuildError, match=r"one \(image one:1\): it broke"):
        await build
    assert sorted(there.cancelled) == ["runner", "two"]
    assert not there.running


async def test_cancelling_cancels_all_builds(leader: Callable[[], Leader], tmp_path: Path) -> None:
    there = leader()
    runner, *_ = folders(tmp_path, runner={"main.py": "start('one'), start('two')"}, one={}, two={})
    build = asyncio.create_task(submit._build(Swarm(), request(runner)))  # type: ignore[arg-type]  # as above
    await there.wait_for("one", "runner", "two")
    build.cancel()
    with pytest.raises(asyncio.CancelledError):
        await build
    assert sorted(there.cancelled) == ["one", "runner", "two"]
    assert not there.running


async def test_a_folder_that_no_image_can_be_named_after_is_reported_before_anything_is_built(
    leader: Callable[[], Leader], tmp_path: Path
) -> None:
    there = leader()
    runner, *_ = folders(tmp_path, runner={"main.py": "start('one'), start('two words')"}, one={}, **{"two words": {}})
    with pytest.raises(SettingError, match="no image can be called 'two words'"):
        await submit._build(Swarm(), request(runner))  # type: ignore[arg-type]  # as above
    assert not there.running
    assert not there.cancelled
