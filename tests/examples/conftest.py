"""The fixtures of the examples' tests: packages in a cache of the tests' own, and running an example."""

import os
import subprocess
from pathlib import Path

import pytest

from tests.support.command import EXAMPLES, run
from tests.support.examples import Example, runner_of


@pytest.fixture(scope="session")
def packages(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return a folder for the environments of modules, for ``XDG_CACHE_HOME``: each is made once for all processes."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "packages"
    folder.mkdir(exist_ok=True)
    return str(folder)


@pytest.fixture
def example(packages: str, tmp_path: Path) -> Example:
    """Return a function that runs an example in a folder of its own, with variables, and fails if it fails."""

    def execute(name: str, **variables: object) -> "subprocess.CompletedProcess[str]":
        pairs = [word for name, value in variables.items() for word in ("-e", f"{name}={value}")]
        done = run("run", runner_of(EXAMPLES / name), *pairs, cwd=tmp_path, XDG_CACHE_HOME=packages)
        assert done.returncode == 0, done.stderr
        return done

    return execute
