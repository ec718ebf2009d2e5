"""Packages to install in tests, without a network: small ones, and this one."""

import importlib.util
import os
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

__all__ = ["build", "install", "wheel"]

ROOT = Path(__file__).parents[2]


def build(folder: Path, *kinds: str, source: Path = ROOT) -> None:
    """
    Build distributions of aioparcs.

    Args:
        folder: where they go.
        kinds: wheel and sdist; both if none is given.
        source: the repository, or an unpacked source distribution.
    """
    words = [sys.executable, "-m", "hatchling", "build", "-d", str(folder), *(f"-t{kind}" for kind in kinds)]
    environment = os.environ | {"SOURCE_DATE_EPOCH": "1700000000"}
    done = subprocess.run(words, cwd=source, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert not done.returncode, done.stderr


def install(package: Path, folder: Path) -> Path:
    """
    Install a wheel of aioparcs into a new environment; return the folder of its commands.

    What aioparcs requires is the one thing that it shares with this environment.
    """
    venv.create(folder, symlinks=True)
    pip = [
        sys.executable,
        "-m",
        "pip",
        "--python",
        str(folder / "bin/python"),
        "--disable-pip-version-check",
        "install",
    ]
    subprocess.run([*pip, "--quiet", "--no-deps", "--no-compile", "--no-index", str(package)], check=True, timeout=120)
    (site,) = (folder / "lib").glob("python*/site-packages")
    msgpack = importlib.util.find_spec("msgpack")
    assert msgpack
    assert msgpack.origin
    (site / "requirements.pth").write_text(f"{Path(msgpack.origin).parents[1]}\n")
    where = subprocess.run(
        [folder / "bin/python", "-c", "import aioparcs; print(aioparcs.__file__)"],
        cwd=folder, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    assert where.startswith(str(site)), "the tests' own checkout was imported"
    return folder / "bin"


def wheel(folder: Path, value: int, requires: str = "") -> str:
    """Write a package, ready to install; returns its requirement, relative to the folder."""
    name = f"thing-{value}.0-py3-none-any.whl"
    info = f"thing-{value}.0.dist-info"
    files = {
        "thing.py": f"VALUE = {value}\n",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: thing\nVersion: {value}.0\n{requires}",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{file},,\n" for file in [*files, f"{info}/RECORD"])
    folder.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(folder / name, "w") as archive:
        for file, text in {**files, f"{info}/RECORD": record}.items():
            archive.writestr(file, text)
    return f"./{name}"
