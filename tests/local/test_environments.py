"""A module's own environment: made once, used again, whole or not at all. No network is needed."""

import asyncio
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

import aioparcs
from aioparcs import StartError
from tests.support.jobs import EventRecorder, execute, family, gone, job, live, module, program
from tests.support.waiting import until
from tests.support.wheels import wheel

pytestmark = [pytest.mark.one_loop, pytest.mark.slow]

MAIN = """
import os, sys
import aioparcs, msgpack, thing
from aioparcs import serve
def look():
    return [thing.VALUE, sys.prefix, aioparcs.__file__]
serve(look)
"""


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in list(os.environ):
        if name.startswith("PIP_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "aioparcs"


def needing(folder: Path, name: str, requirements: str) -> Path:
    module(folder, name, MAIN)
    (folder / name / "requirements.txt").write_text(requirements)
    return folder


def environments(cache: Path) -> list[Path]:
    return [path for path in cache.iterdir() if path.is_dir()]


async def test_an_environment_is_made_once_and_used_again(tmp_path: Path, cache: Path) -> None:
    # It also requires aioparcs, in two ways, and gets the runner's own.
    line = wheel(tmp_path / "needy", 7, "Requires-Dist: aioparcs\n")
    needing(tmp_path, "needy", f"{line}\naioparcs>=0.1\n")
    recorder = EventRecorder()
    looks = []
    for _ in range(2):
        async with job(tmp_path, recorder=recorder) as runner:
            starts = (runner.start("needy"), runner.start("needy"), runner.start("needy", env={"OTHER": "1"}))
            looks += [await t.call("look") for t in await asyncio.gather(*starts)]
    (prefix,) = environments(cache)
    assert looks == [[7, str(prefix), aioparcs.__file__]] * 6
    assert recorder.notes == [f"making its environment: {line}, aioparcs>=0.1", "its environment is ready"]


ASK = """
from aioparcs import run
async def main(runner):
    async with runner.start("inline") as t:
        print(*(await t.call("look"))[:2])
run(main)
"""


def inline(folder: Path, value: int) -> dict[str, str]:
    """Write a module that says what it needs itself; returns what a program that uses it needs."""
    text = f'# /// script\n# dependencies = ["{wheel(folder / "inline", value)}"]\n# ///\n{MAIN}'
    modules = module(folder, "inline", text)
    return {"PARCS_MODULES": str(modules), "PIP_NO_INDEX": "1", "XDG_CACHE_HOME": str(folder / "cache")}


async def test_programs_that_need_the_same_make_it_once(tmp_path: Path, cache: Path) -> None:
    variables = inline(tmp_path, 8)
    done = await asyncio.gather(*(asyncio.to_thread(execute, ASK, None, **variables) for _ in range(2)))
    (prefix,) = environments(cache)
    assert [one.stdout for one in done] == [f"8 {prefix}\n"] * 2
    assert "".join(one.stderr for one in done).count("making its environment") == 1


def test_a_runner_without_an_installer_makes_an_environment_with_one(tmp_path: Path, cache: Path) -> None:
    bare = tmp_path / "bare"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(bare)], check=True)
    (tmp_path / "packages").mkdir()
    for path in Path(sysconfig.get_path("purelib")).iterdir():
        if not path.name.startswith("pip"):
            (tmp_path / "packages" / path.name).symlink_to(path)
    repository = Path(aioparcs.__file__).parent.parent
    variables = inline(tmp_path, 8) | {"PYTHONPATH": os.pathsep.join(map(str, (tmp_path / "packages", repository)))}
    done = subprocess.run(
        [bare / "bin" / "python", "-c", ASK], env=os.environ | variables, capture_output=True, text=True, timeout=60
    )
    (prefix,) = environments(cache)
    assert done.stdout == f"8 {prefix}\n", done.stderr
    assert (prefix / "bin" / "pip").exists()


async def test_a_requirement_that_cannot_be_installed_is_reported_in_the_installers_words(
    tmp_path: Path, cache: Path
) -> None:
    needing(tmp_path, "needy", "no-such-package-anywhere\n")
    recorder = EventRecorder()
    async with job(tmp_path, recorder=recorder) as runner:
        starts = (runner.start("needy") for _ in range(50))
        for failed in await asyncio.gather(*starts, return_exceptions=True):
            assert isinstance(failed, StartError)
            assert failed.reason == "its requirements can't be installed (pip install failed)"
            assert any("no-such-package-anywhere" in line for line in failed.last_lines)
        assert len(recorder.notes) == 1  # it was tried once for all of them

        (tmp_path / "needy" / "requirements.txt").write_text(wheel(tmp_path / "needy", 9))
        async with runner.start("needy") as t:
            assert (await t.call("look"))[0] == 9


async def test_an_interrupted_installation_is_repeated(tmp_path: Path, cache: Path) -> None:
    needing(tmp_path, "needy", wheel(tmp_path / "needy", 9))
    async with job(tmp_path) as runner:
        starting = asyncio.ensure_future(runner.start("needy"))
        await until(lambda: cache.exists() and environments(cache))
        processes = family()
        starting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await starting
        await gone(processes)

        # Killed in the middle, the installer dies with its job, and the lock is free.
        text = "from aioparcs import run\nasync def main(runner):\n    await runner.start('needy')\nrun(main)\n"
        variables = {"PIP_NO_INDEX": "1", "XDG_CACHE_HOME": os.environ["XDG_CACHE_HOME"]}
        with program(text, PARCS_MODULES=str(tmp_path), **variables) as other:
            await until(lambda: family(other.pid))
            processes = family(other.pid)
            other.kill()
            await gone(processes)
        assert not live(processes)

        async with runner.start("needy") as t:
            assert (await t.call("look"))[0] == 9


async def test_an_installation_ends_with_the_runner(tmp_path: Path, cache: Path) -> None:
    needing(tmp_path, "needy", wheel(tmp_path / "needy", 9))
    async with job(tmp_path) as runner:
        starts = [asyncio.ensure_future(runner.start("needy")) for _ in range(3)]
        await until(lambda: cache.exists() and environments(cache))
        processes = family()
    assert not live(processes)
    for ended in await asyncio.gather(*starts, return_exceptions=True):
        assert isinstance(ended, StartError)
        assert "its runner has ended" in str(ended)


async def test_pip_settings_that_move_packages_are_ignored_and_others_kept(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wheel(tmp_path / "wheels", 9)
    needing(tmp_path, "needy", "thing\n")
    settings = tmp_path / "settings" / "pip"
    settings.mkdir(parents=True)
    (settings / "pip.conf").write_text(
        f"[global]\nno-index = true\nquiet = 1\n[install]\nfind-links = {tmp_path}/wheels\ntarget = {tmp_path}/1\n"
        "user = true\n"
    )
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "settings"))
    for name in ("TARGET", "PREFIX", "ROOT"):
        monkeypatch.setenv(f"PIP_{name}", str(tmp_path / name))
    monkeypatch.setenv("PIP_DRY_RUN", "1")
    monkeypatch.setenv("PIP_USER", "1")
    recorder = EventRecorder()
    async with job(tmp_path, recorder=recorder) as runner, runner.start("needy") as t:
        assert (await t.call("look"))[0] == 9
        assert sorted(os.listdir(tmp_path)) == ["cache", "needy", "settings", "wheels"]

        # One that has lost a package is made again.
        (prefix,) = environments(cache)
        (lost,) = prefix.glob("lib/python*/site-packages/thing-*.dist-info")
        shutil.rmtree(lost)
        async with runner.start("needy") as other:
            assert (await other.call("look"))[0] == 9
        assert lost.exists()
    assert len(recorder.notes) == 4


async def test_without_a_home_directory_the_error_names_xdg_cache_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_home(_: type[Path]) -> Path:
        raise RuntimeError("Could not determine home directory.")

    needing(tmp_path, "needy", "anything\n")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", classmethod(no_home))
    async with job(tmp_path) as runner:
        with pytest.raises(StartError, match=r"no home directory .* name a folder in XDG_CACHE_HOME"):
            await runner.start("needy")


async def test_an_unwritable_cache_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    needing(tmp_path, "needy", "anything\n")
    (tmp_path / "file").touch()
    for folder in (tmp_path / "file", Path("/proc")):
        monkeypatch.setenv("XDG_CACHE_HOME", str(folder))
        async with job(tmp_path) as runner:
            with pytest.raises(StartError, match=rf"can't make its environment in {folder}/aioparcs.*XDG_CACHE_HOME"):
                await runner.start("needy")


async def test_a_module_without_requirements_makes_nothing(tmp_path: Path, cache: Path) -> None:
    text = "import sys\nfrom aioparcs import serve\ndef where():\n    return sys.executable\nserve(where)\n"
    module(tmp_path, "plain", text)
    (tmp_path / "plain" / "requirements.txt").write_text("# nothing\n")
    async with job(tmp_path) as runner, runner.start("plain") as t:
        assert await t.call("where") == sys.executable
    assert not os.path.exists(cache)  # noqa: ASYNC240  # quick


async def test_a_setting_of_pip_that_cannot_be_read_is_an_error_that_names_it(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    needing(tmp_path, "needy", "thing\n")
    (tmp_path / "pip").mkdir()
    (tmp_path / "pip" / "pip.conf").write_text(f"[global]\nno-index = true\nfind-links = {'x' * 10_000}\n")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    async with job(tmp_path) as runner:
        with pytest.raises(StartError, match=r"pip's setting global\.find-links can't be read: 'xxx"):
            await runner.start("needy")
