"""Packages to install in tests, without a network."""

import zipfile
from pathlib import Path

__all__ = ["wheel"]


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
