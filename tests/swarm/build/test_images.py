"""The image that a module's name stands for: one that was built from the present folder, or none."""

import asyncio
import json
import secrets
from collections.abc import Mapping
from pathlib import Path

import pytest

from aioparcs import BuildError, SettingError, StartError
from aioparcs.cli.submit import modules_named
from aioparcs.swarm import open_swarm
from aioparcs.swarm.engine.images import Images, read_images
from tests.support.command import COMMAND, execute
from tests.support.jobs import module
from tests.support.live import Cluster

SERVICE = "from aioparcs import serve\n\ndef work(x):\n    return x * {}\n\nserve(work)\n"
RUNNER = """
import os
from aioparcs import run

async def main(runner):
    async with runner.start(os.environ.get("SERVICE") or "".join(["{0}", "b"])) as t:
        print(await t.call("work", 2))

run(main)
"""


@pytest.fixture
def project(tmp_path: Path) -> tuple[Path, str]:
    """Write a project with a runner and two services that its program does not name; return a service's name."""
    name = f"s{secrets.token_hex(3)}"
    module(tmp_path, name, SERVICE.format(2))
    module(tmp_path, f"{name}b", SERVICE.format(3))
    module(tmp_path, f"{name}r", RUNNER.format(name))
    return tmp_path, name


def submitted(cluster: Cluster, folder: Path, *arguments: str) -> tuple[int, str, str]:
    done = execute([*COMMAND, "run", str(folder), "--on", "swarm", *arguments], None, **cluster.environment)
    return done.returncode, done.stdout, done.stderr


def test_a_name_in_a_variable_is_built_from_this_tree_however_often_it_changes(
    cluster: Cluster, project: tuple[Path, str]
) -> None:
    folder, name = project
    for factor in (2, 1000):
        module(folder, name, SERVICE.format(factor))
        code, out, err = submitted(cluster, folder / f"{name}r", "-e", f"SERVICE={name}")
        assert (code, out) == (0, f"{2 * factor}\n"), err


def test_a_module_that_this_run_has_not_built_is_refused_though_the_registry_has_its_image(
    cluster: Cluster, project: tuple[Path, str]
) -> None:
    folder, name = project
    built = execute([*COMMAND, "build", str(folder / f"{name}b"), "--push"], None, **cluster.environment)
    assert built.returncode == 0, built.stderr
    code, out, err = submitted(cluster, folder / f"{name}r")
    assert (code, out) == (1, "")
    assert f"{name}b did not start: this run has built no image of it (built: {name})" in err
    assert f"-e SERVICE={name}b, or start the image {cluster.registry}/{name}b:latest" in err
    code, out, err = submitted(cluster, folder / f"{name}r", "-e", f"SERVICE={cluster.registry}/{name}b:latest")
    assert (code, out) == (0, "6\n"), err


async def _find(cluster: Cluster, folder: Path, name: str) -> str:
    async with open_swarm(cluster.leader_url) as swarm:
        images = Images(swarm, [folder])
        try:
            found = await images.find(name)
            assert await images.find(name, str(folder / name)) == found, "a path to it leads to the same"
            return found
        finally:
            await images.aclose()


def test_a_runner_outside_gets_what_was_built_of_the_folder_as_it_is_now(
    cluster: Cluster, project: tuple[Path, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, name = project
    monkeypatch.setenv("PARCS_REGISTRY", cluster.registry)
    build = [*COMMAND, "build", str(folder / name), "--push", "--json"]

    def find() -> str:
        return asyncio.run(_find(cluster, folder, name))

    missing = rf"no image of the current files in {folder}/{name} .*; build it: aioparcs build "
    with pytest.raises(StartError, match=missing):
        find()
    first = json.loads(execute(build, None, **cluster.environment).stdout)[0]["digest"]
    assert find() == first
    module(folder, name, SERVICE.format(5))
    with pytest.raises(StartError, match="current files"):
        find()
    second = json.loads(execute(build, None, **cluster.environment).stdout)[0]["digest"]
    assert second != first
    assert find() == second
    module(folder, name, SERVICE.format(2))
    assert find() == first, "what was built of the same source once is found again"


def test_modules_are_named_by_texts_and_by_words_of_variables(tmp_path: Path) -> None:
    module(tmp_path, "runner", "start('one'); 'runner'; 'four and more'")
    module(tmp_path, "one", "start('two')")
    for name in ("two", "three", "four", "runner.x"):
        module(tmp_path, name, "")

    def named(variables: Mapping[str, str]) -> set[str]:
        return set(modules_named(tmp_path / "runner", [tmp_path], variables))

    assert named({}) == {"one", "two", "runner"}
    assert named({"A": "three"}) == {"one", "two", "three", "runner"}
    assert named({"A": '{"stages": ["three", "four"]}'}) == {"one", "two", "three", "four", "runner"}
    assert named({"three": "x", "B": "runner.x,7"}) == {"one", "two", "runner", "runner.x"}
    assert named({"A": "../three"}) == named({"A": "three"})
    module(tmp_path / "elsewhere", "five", "")
    assert named({"A": "../elsewhere/five"}) == {"one", "two", "five", "runner"}
    module(tmp_path / "elsewhere", "one", "")
    with pytest.raises(BuildError, match=r"it is the name of both \S+one and \S+one; rename one"):
        named({"A": "../elsewhere/one"})


@pytest.mark.parametrize("text", ["[]", "{", '{"a": 1}', '{"a": "b"}', "7", "null"])
def test_images_that_make_no_sense_are_refused(text: str) -> None:
    with pytest.raises(SettingError, match="PARCS_IMAGES must be a JSON object such as"):
        read_images({"PARCS_IMAGES": text})


def test_images_by_name() -> None:
    assert read_images({}) == read_images({"PARCS_IMAGES": ""}) == {}
    assert read_images({"PARCS_IMAGES": '{"a": "r:5000/a:1"}'}) == {"a": "r:5000/a:1"}
