"""Images of modules, built by a real Docker and pushed to a real registry."""

import asyncio
import json
import os
import re
import secrets
import signal
import socket
import subprocess
import time
import zipfile
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import pytest
from aiodocker import Docker, DockerError

from aioparcs.swarm import open_docker
from tests.cluster import Cluster as OwnCluster
from tests.support.command import COMMAND, ENVIRONMENT, EXAMPLES, TIMEOUT, execute, run
from tests.support.live import Cluster

Module = Callable[..., Path]
T = TypeVar("T")


class Result(NamedTuple):
    """What ``aioparcs build`` did."""

    code: int
    images: list[dict[str, Any]]
    stderr: str

    @property
    def image(self) -> dict[str, Any]:
        (image,) = self.images
        return image


@pytest.fixture
def build(cluster: Cluster) -> Callable[..., Result]:
    """Run ``aioparcs build --json`` against the cluster."""

    def command(*arguments: str | Path, **env: str) -> Result:
        done = execute([*COMMAND, "build", *map(str, arguments), "--json"], None, **cluster.environment | env)
        return Result(done.returncode, json.loads(done.stdout) if done.stdout else [], done.stderr)

    return command


Build = Callable[..., Result]


@pytest.fixture
def module(cluster: Cluster, tmp_path: Path) -> Iterator[Module]:
    """Return a function that writes modules of this test alone; remove their images when the test ends."""
    names: list[str] = []

    def make(**files: str) -> Path:
        names.append(f"test-{secrets.token_hex(4)}")
        for name, text in ({"main.py": "print('at work')\n"} | files).items():
            path = tmp_path / names[-1] / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return tmp_path / names[-1]

    yield make

    async def remove(docker: Docker) -> None:
        for image in await docker.images.list():
            for tag in image["RepoTags"] or []:
                if any(f"/{name}:" in tag or tag.startswith(f"{name}:") for name in names):
                    await docker.images.delete(tag, force=True)

    ask(cluster, remove)


def ask(cluster: Cluster, question: Callable[[Docker], Coroutine[Any, Any, T]]) -> T:
    async def answer() -> T:
        async with asyncio.timeout(60), open_docker(cluster.leader_url) as docker:
            return await question(docker)

    return asyncio.run(answer())


def inspect(cluster: Cluster, image: str) -> Any:
    return ask(cluster, lambda docker: docker.images.inspect(image))


def containers(cluster: Cluster, word: str) -> list[str]:
    """List the containers on the leader, running or not, whose command has a word in it."""

    async def listed(docker: Docker) -> list[str]:
        return [found.id for found in await docker.containers.list(all=True) if word in found["Command"]]

    return ask(cluster, listed)


def dangling(cluster: Cluster, word: str) -> list[str]:
    """Return the images without a name, and that no other image is made of, which a step with a word has made."""
    found = cluster.docker("images", "--quiet", "--filter", "dangling=true").split()
    return [image for image in found if word in cluster.docker("history", "--no-trunc", image)]


def output(cluster: Cluster, image: str, *command: str) -> str:
    """Run a command, the image's own without one, in a container and give what it printed."""

    async def printed(docker: Docker) -> str:
        config: dict[str, Any] = {"Image": image, "HostConfig": {"NetworkMode": "none"}}
        if command:
            config["Cmd"] = list(command)
        container = await docker.containers.create(config)
        try:
            await container.start()
            await container.wait()
            return "".join(await container.log(stdout=True, stderr=True))
        finally:
            await container.delete(force=True)

    return ask(cluster, printed)


def published(cluster: Cluster, image: str) -> str | None:
    async def digest(docker: Docker) -> str | None:
        try:
            found = await docker._query_json(f"distribution/{image}/json")
        except DockerError:
            return None
        return str(found["Descriptor"]["digest"])

    return ask(cluster, digest)


# What is built


def test_an_unchanged_example_is_not_built_again(cluster: Cluster, build: Build) -> None:
    first = build("factor", "--modules", EXAMPLES, "--push")
    assert first.code == 0, first.stderr
    reference, digest = first.image["reference"], first.image["digest"]
    name, _, tag = reference.rpartition(":")
    assert name == f"{cluster.registry}/factor"
    assert digest == f"{name}@{published(cluster, reference)}"
    config = inspect(cluster, reference)["Config"]
    assert config["Labels"]["io.aioparcs.content"].startswith(tag)
    assert (config["WorkingDir"], config["Cmd"], config["User"]) == ("/parcs", ["python", "main.py"], "1000:1000")

    again = build("factor", "--modules", EXAMPLES, "--push")
    assert again.image == {**first.image, "built": False, "pushed": False}


def test_a_result_is_one_line_for_people(cluster: Cluster, module: Module) -> None:
    folder = module()
    command = [*COMMAND, "build", str(folder)]
    done = execute(command, None, **cluster.environment)
    assert done.stdout.startswith(f"{folder.name}: built {cluster.registry}/{folder.name}:")
    assert done.stderr == ""
    assert execute(command, None, **cluster.environment).stdout.startswith(
        f"{folder.name}: unchanged, {cluster.registry}/"
    )


def test_all_that_docker_prints_is_shown_with_verbose(build: Build, module: Module) -> None:
    folder = module()
    done = build(folder, "-v")
    assert f"{folder.name} | Step 1/8 : FROM " in done.stderr


def test_a_module_runs_in_its_folder_as_an_ordinary_user(cluster: Cluster, build: Build, module: Module) -> None:
    main = "import os; print(os.getcwd(), os.getuid(), os.stat('main.py').st_uid, sorted(os.listdir()))"
    image = build(module(**{"main.py": main, "data/t.txt": "1"})).image
    assert output(cluster, image["reference"]) == "/parcs 1000 1000 ['data', 'main.py']\n"


def test_changed_files_make_another_image_and_changed_times_do_not(build: Build, module: Module) -> None:
    folder = module()
    first = build(folder).image
    os.utime(folder / "main.py", (1, 1))
    assert build(folder).image["reference"] == first["reference"]
    (folder / "main.py").write_text("print('changed')\n")
    second = build(folder).image
    assert second["built"]
    assert second["reference"] != first["reference"]


def test_another_base_makes_another_image(cluster: Cluster, build: Build, module: Module) -> None:
    folder = module()
    first = build(folder).image
    based = build(module(**{"main.py": "print('base')"})).image["reference"]
    assert build(folder, "--base", based).image["reference"] != first["reference"]
    assert build(folder, PARCS_BASE_IMAGE=cluster.base).image["reference"] == first["reference"]


def test_an_image_gets_an_additional_tag(cluster: Cluster, build: Build, module: Module) -> None:
    folder = module()
    image = build(folder, "--push").image
    done = build(folder, "--push", "--tag", "v1").image
    assert (done["built"], done["pushed"], done["digest"]) == (False, True, image["digest"])
    assert image["digest"].endswith(str(published(cluster, f"{cluster.registry}/{folder.name}:v1")))
    assert build(folder, "--push", "--tag", "v1").image["pushed"] is False


def test_an_image_in_the_registry_is_not_built_again(cluster: Cluster, build: Build, module: Module) -> None:
    folder = module()
    image = build(folder, "--push").image
    ask(cluster, lambda docker: docker.images.delete(image["reference"], force=True))
    assert build(folder, "--push").image == {**image, "built": False, "pushed": False}
    assert build(folder, "--push", "--tag", "v1").image["pushed"] is True


def test_files_in_dockerignore_are_not_in_the_image(cluster: Cluster, build: Build, module: Module) -> None:
    main = "import os; print(sorted(os.listdir()))"
    paths = dict.fromkeys(["a.log", "b.txt", ".git/HEAD", ".venv/bin/python", "__pycache__/x.pyc"], "")
    image = build(module(**{"main.py": main, ".dockerignore": "*.log\n!.git\n", **paths})).image
    assert output(cluster, image["reference"]) == "['.dockerignore', 'b.txt', 'main.py']\n"


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel of a package that no index has, and return its folder."""
    folder = tmp_path_factory.mktemp("wheels")
    info = "parcelle-1.0.dist-info"
    with zipfile.ZipFile(folder / "parcelle-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("parcelle.py", "where = __file__\n")
        wheel.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: parcelle\nVersion: 1.0\n")
        wheel.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        wheel.writestr(f"{info}/RECORD", "")
    return folder


REQUIRING = """
import os, pathlib, aioparcs, parcelle
left = [*pathlib.Path("/").glob("**/*.whl"), *pathlib.Path("/").glob("**/pip.zip")]
print(parcelle.where, os.path.exists("/build"), left)
"""
SCRIPT = f'# /// script\n# dependencies = ["parcelle>=1"]\n# ///\n{REQUIRING}\n'


def test_packages_are_installed_from_a_folder_of_wheels(
    cluster: Cluster, build: Build, module: Module, wheels: Path
) -> None:
    modules = (
        {"main.py": REQUIRING, "requirements.txt": "# packages\nparcelle\naioparcs\n"},
        {"main.py": SCRIPT},
        {"main.py": REQUIRING, "requirements.txt": "-r more.txt\n", "more.txt": "parcelle==1.0\n"},
    )
    done = build(*(module(**files) for files in modules), "--wheels", wheels)
    assert done.code == 0, done.stderr
    printed = [output(cluster, image["reference"]) for image in done.images]
    assert printed == ["/opt/aioparcs/packages/parcelle.py False []\n"] * 3


def test_a_missing_package_shows_pips_error(build: Build, module: Module, wheels: Path) -> None:
    done = build(module(**{"requirements.txt": "nowhere-at-all"}), PARCS_WHEELS=str(wheels))
    assert (done.code, done.images) == (1, [])
    assert "install.py" in done.stderr.splitlines()[0]
    assert "No matching distribution found for nowhere-at-all" in done.stderr


def test_its_own_dockerfile_is_used(cluster: Cluster, build: Build, module: Module) -> None:
    dockerfile = f"FROM {cluster.base} AS one\nFROM one\nCOPY main.py /parcs/other.py\nCMD ls\n"
    image = build(module(Dockerfile=dockerfile)).image
    assert output(cluster, image["reference"]) == "other.py\n"


# What goes wrong


def test_a_base_image_need_not_know_the_user_of_modules(
    cluster: Cluster, base: str, build: Build, module: Module
) -> None:
    main = (
        "import getpass, os, pathlib; (pathlib.Path.home() / '.cache').mkdir(); print(getpass.getuser(), os.getuid())"
    )
    done = build(module(**{"main.py": main}), "--base", base)
    assert done.code == 0, done.stderr
    assert output(cluster, done.image["reference"]) == "parcs 1000\n"


@pytest.fixture
def base(cluster: Cluster) -> str:
    """Return an image with Python and without a user 1000."""
    own = OwnCluster.here()
    if own is None or not cluster.nodes:
        pytest.skip("the Swarm that the environment names is not the test cluster")
    return own.base


def test_a_failing_step_is_shown_with_its_last_lines(cluster: Cluster, build: Build, module: Module) -> None:
    word = secrets.token_hex(2)
    folder = module(Dockerfile=f"FROM {cluster.base}\nRUN : {word}; seq 1 50 >&2; exit 7\nRUN true\n")
    done = build(folder)
    first, *lines = done.stderr.splitlines()
    assert (done.code, done.images) == (1, [])
    assert first.startswith(f"error: {folder.name} (image {cluster.registry}/{folder.name}:")
    assert re.search(rf"step 2/\d+ `RUN : {word}; seq 1 50 >&2; exit 7` ended with exit code 7", first)
    assert [line.strip() for line in lines] == [str(number) for number in range(31, 51)]
    assert containers(cluster, word) == []


@pytest.mark.parametrize("number, code", [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_the_build(cluster: Cluster, module: Module, number: signal.Signals, code: int) -> None:
    word = secrets.token_hex(2)
    steps = f"COPY main.py /{word}\nRUN : {word}; echo begun; sleep 60\n"
    folder = module(Dockerfile=f"FROM {cluster.base}\n{steps}")
    with subprocess.Popen(
        [*COMMAND, "build", folder, "-v"], env=ENVIRONMENT | cluster.environment, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        assert any(line == f"{folder.name} | begun\n" for line in process.stderr)
        process.send_signal(number)
        assert process.wait(TIMEOUT) == code
        assert "Traceback" not in process.stderr.read()
    end = time.monotonic() + TIMEOUT
    while containers(cluster, word):  # Docker kills it by itself, once no client listens
        assert time.monotonic() < end
        time.sleep(0.1)
    assert dangling(cluster, word) == []


def test_a_failed_build_lists_what_was_built_before(cluster: Cluster, build: Build, module: Module) -> None:
    good, bad = module(), module(Dockerfile=f"FROM {cluster.base}\nRUN false\n")
    done = build(good, bad)
    assert (done.code, done.image["module"]) == (1, good.name)
    assert re.search(r"step 2/\d+ `RUN false` ended with exit code 1", done.stderr)


def test_an_invalid_dockerfile_is_an_error(cluster: Cluster, build: Build, module: Module) -> None:
    done = build(module(Dockerfile=f"FROM {cluster.base}\nRUNN false\n"))
    assert (done.code, len(done.stderr.splitlines())) == (1, 1)
    assert "unknown instruction: RUNN" in done.stderr


def test_a_missing_base_image_is_an_error(cluster: Cluster, build: Build, module: Module) -> None:
    done = build(module(), "--base", f"{cluster.registry}/nothing:1")
    assert (done.code, len(done.stderr.splitlines())) == (1, 1)
    assert (
        "its base image is not there; aioparcs image build makes aioparcs's own, --base and PARCS_BASE_IMAGE name"
        in done.stderr
    )


@pytest.mark.slow
def test_an_unreachable_leader_is_an_error() -> None:
    done = run("build", "factor", "--modules", EXAMPLES, LEADER_URL="tcp://127.0.0.1:1")
    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (1, "", 1)
    assert done.stderr.startswith("error: Docker at tcp://127.0.0.1:1: can't be reached: Connection refused; ")


def test_an_unreachable_registry_is_an_error(cluster: Cluster, build: Build, module: Module) -> None:
    host = cluster.registry.partition(":")[0]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        registry = f"{host}:{free.getsockname()[1]}"
    done = build(module(), "--push", "--registry", registry, "--base", cluster.base)
    assert (done.code, done.images, len(done.stderr.splitlines())) == (1, [], 1)
    assert f"is the registry {registry} running, and reachable from the leader?" in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--push"], "pushing needs a registry: --registry HOST:PORT, or PARCS_REGISTRY in the environment"),
        (["--tag", "a b"], "'a b' is not a tag: at most 128 letters, digits and _ . -"),
        (["--registry", "https://a"], "registry 'https://a': leave out https://"),
        (
            ["nowhere"],
            "there is no module 'nowhere' in examples; found there: "
            "discrete_logarithm, echo, factor, factorisation, matrix, pi, runner, sleeper, tree, word_count",
        ),
    ],
)
def test_bad_usage_is_an_error_before_anything_is_connected(arguments: list[str], message: str) -> None:
    command = ["build", "factor", "--modules", "examples", *arguments]
    done = run(*command, cwd=EXAMPLES.parent, LEADER_URL="tcp://127.0.0.1:1", PARCS_REGISTRY="")
    assert (done.returncode, done.stdout, done.stderr) == (2, "", f"error: {message}\n")
