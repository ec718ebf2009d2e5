"""The base image, made from an installation of aioparcs: of a wheel, or of this checkout."""

import io
import secrets
import subprocess
import zipfile
from pathlib import Path

import pytest

from aioparcs.build.base import own_wheel
from aioparcs.settings import VERSION
from tests.cluster import Cluster as OwnCluster
from tests.cluster import image
from tests.cluster.places import REPOSITORY
from tests.support.command import COMMAND, ENVIRONMENT, execute
from tests.support.live import Cluster
from tests.support.wheels import install

DOCKERFILE = REPOSITORY / "images/python/Dockerfile"
NOT_FOR_WORKERS = ("aiodocker", "aiohttp", "click", "docker", "requests", "rich")
WHEEL = f"aioparcs-{VERSION}-py3-none-any.whl"


@pytest.fixture(scope="module")
def wheels(cluster: Cluster) -> Path:
    """Return a folder with wheels of all that aioparcs requires, for the Python of the cluster's base image."""
    if not cluster.nodes:
        pytest.skip("the Swarm that the environment names is not the test cluster")
    folder = REPOSITORY / "build/wheels"
    if not (folder / WHEEL).exists() or not list(folder.glob("msgpack-*.whl")):
        image.make_wheels()
    return folder


def built(cluster: Cluster, wheels: Path, registry: str, command: list[str] = COMMAND) -> str:
    own = OwnCluster.here()
    assert own
    words = [*command, "image", "build", "--from", own.base, "--wheels", str(wheels), "--registry", registry]
    done = subprocess.run(
        words, env=ENVIRONMENT | cluster.environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_wheel_has_the_dockerfile(wheels: Path) -> None:
    with zipfile.ZipFile(wheels / WHEEL) as wheel:
        assert wheel.read("aioparcs/build/base.Dockerfile") == DOCKERFILE.read_bytes()


@pytest.mark.slow
def test_an_installation_becomes_a_wheel_again() -> None:
    name, content = own_wheel()
    assert (name, content) == own_wheel(), "the same files, the same bytes"
    with zipfile.ZipFile(io.BytesIO(content)) as wheel:
        assert "Requires-Dist: msgpack" in wheel.read(f"aioparcs-{VERSION}.dist-info/METADATA").decode()
        names = {line.partition(",")[0] for line in wheel.read(f"aioparcs-{VERSION}.dist-info/RECORD").decode().split()}
        assert set(wheel.namelist()) == names


def test_an_installation_of_the_wheel_makes_the_base_image_and_modules_run_on_it(
    cluster: Cluster, wheels: Path, tmp_path: Path
) -> None:
    command = [str(install(wheels / WHEEL, tmp_path / "venv") / "aioparcs")]
    registry = f"{cluster.registry}/{secrets.token_hex(4)}"
    output = built(cluster, wheels, registry, command)
    assert output.startswith(f"base image: built and pushed {registry}/aioparcs/python:")
    base = f"{registry}/aioparcs/python:{VERSION}"
    program = (
        "import aioparcs, importlib.util, os; print(aioparcs.__version__, os.getuid(), importlib.util.find_spec('pip'))"
    )
    assert cluster.docker("run", "--rm", base, "python", "-c", program).split() == [VERSION, "1000", "None"]
    again = built(cluster, wheels, registry, command)
    assert [line.partition(": ")[2].partition(",")[0] for line in again.splitlines()] == ["unchanged", "unchanged"]
    only = (
        "import importlib.metadata as data, importlib.util as util, re;"
        f"print([name for name in {NOT_FOR_WORKERS} if util.find_spec(name)],"
        "[re.split(r'\\W', text)[0] for text in data.requires('aioparcs') if 'extra' not in text])"
    )
    assert cluster.docker("run", "--rm", f"{base}-worker", "python", "-c", only) == "[] ['msgpack', 'uvloop']\n"
    refused = subprocess.run(
        ["docker", "-H", cluster.leader_url, "run", "--rm", f"{base}-worker", "python", "-m", "aioparcs", "ps"],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert refused.stderr.startswith("error: click is not installed: build a program's image on aioparcs/python, ")
    size, of_workers = (
        int(cluster.docker("image", "inspect", "--format", "{{.Size}}", name)) for name in (base, f"{base}-worker")
    )
    assert size - of_workers > 20_000_000


def test_without_wheels_that_it_needs_the_build_says_so(cluster: Cluster, wheels: Path, tmp_path: Path) -> None:
    own = OwnCluster.here()
    assert own
    words = [*COMMAND, "image", "build", "--from", own.base, "--registry", f"{cluster.registry}/nothing", "--wheels"]
    done = execute([*words, str(tmp_path)], None, **cluster.environment)
    assert (done.returncode, done.stdout) == (1, "")
    assert f"there are no wheels in {tmp_path}" in done.stderr
