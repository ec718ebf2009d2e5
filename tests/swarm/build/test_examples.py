"""Examples on a real Swarm, by one command: their images are built, packages and all, and they find the same."""

import math
import random
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cluster.image import download
from tests.support.command import COMMAND, EXAMPLES, execute
from tests.support.examples import runner_of
from tests.support.live import Cluster, left

Submit = Callable[..., str]


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Gather what images need: their nodes reach no package index."""
    folder = tmp_path_factory.mktemp("wheels")
    download(folder, "segno")
    return folder


@pytest.fixture
def submit(cluster: Cluster, wheels: Path) -> Submit:
    """Run an example on the Swarm and give what it prints; nothing is left of it."""

    def run(name: str, **variables: object) -> str:
        pairs = [word for key, value in variables.items() for word in ("-e", f"{key}={value}")]
        command = [*COMMAND, "run", str(runner_of(EXAMPLES / name)), "--on", "swarm", *pairs]
        done = execute(command, None, **cluster.environment, PARCS_WHEELS=str(wheels))
        assert done.returncode == 0, done.stderr
        (job,) = re.findall(r"runs as job ([0-9a-f]{8})", done.stderr)
        assert left(cluster, job) == []
        return done.stdout

    return run


def test_a_pool_of_a_function_in_the_runners_own_file(submit: Submit) -> None:
    output = submit("pi", N=200_000, P=3)
    hits = 0
    for seed in range(4):
        throw = random.Random(seed).random
        hits += sum(math.hypot(throw(), throw()) < 1 for _ in range(50_000))
    assert f"pi is about {4 * hits / 200_000:.6f}, " in output


def test_a_package_that_only_the_workers_have(submit: Submit) -> None:
    output = submit("qr_codes", N=20, P=3)
    first, second, third = output.splitlines()
    assert first.startswith("3 workers made 20 QR codes in ")
    assert second.startswith("20 are PNG files of ")
    assert third == "The runner itself could not make them"


def test_a_tree_of_services_in_the_runners_own_file(submit: Submit) -> None:
    output = submit("tree", BRANCHES=2, LEAVES=2, N=1000, TOP=3)
    sources = [random.Random(seed) for seed in range(4)]
    numbers = sorted((source.random() for source in sources for _ in range(1000)), reverse=True)
    assert f"The largest: {', '.join(f'{number:.9f}' for number in numbers[:3])}\n" in output
