"""Running the examples in tests: with parameters, and with packages in a cache of the tests' own."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.command import EXAMPLES, run

__all__ = ["DIRECTED", "Example", "example", "packages"]

DIRECTED = sorted(main.parent.parent for main in EXAMPLES.glob("*/runner/main.py"))
"""The folders of the examples that have a runner of their own."""

Example = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="session")
def packages(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Give a folder for the environments of modules, for ``XDG_CACHE_HOME``: each is made once for all tests."""
    return str(tmp_path_factory.mktemp("packages"))


@pytest.fixture
def example(packages: str, tmp_path: Path) -> Example:
    """Run an example in a folder of its own, with variables for its runner; it must end well."""

    def execute(name: str, **variables: object) -> "subprocess.CompletedProcess[str]":
        pairs = [word for name, value in variables.items() for word in ("-e", f"{name}={value}")]
        done = run("run", EXAMPLES / name / "runner", *pairs, cwd=tmp_path, XDG_CACHE_HOME=packages)
        assert done.returncode == 0, done.stderr
        return done

    return execute
