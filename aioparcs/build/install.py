"""
The installer of a module's packages while its image is built: ``install.py TARGET PIP_ARGUMENTS...``

Runs in the image, with whatever Python is there; aioparcs itself never imports it. The image's own packages, aioparcs
among them, are not installed again. ``TARGET/packages`` and ``TARGET/bin`` are all that it leaves.
"""

import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

HERE = Path(__file__).parent
OPTIONS = ("--no-cache-dir", "--no-input", "--disable-pip-version-check", "--no-warn-script-location")


def main(target: Path, *arguments: str) -> None:
    """Install packages into the target, by pip with these arguments; exit with pip's exit code if it fails."""
    wheels = HERE / "wheels"
    offline = ["--no-index", "--find-links", str(wheels)] if wheels.is_dir() else []
    with TemporaryDirectory() as prefix:
        command = [sys.executable, *pip(), "install", "--prefix", prefix, *OPTIONS, *offline, *arguments]
        code = subprocess.run(command).returncode
        if code:
            sys.exit(code)
        for name in ("site-packages", "dist-packages"):  # Debian's Python has its own idea of both name and place
            for found in Path(prefix).glob(f"**/lib*/python*/{name}"):
                shutil.copytree(found, target / "packages", dirs_exist_ok=True)
        for found in Path(prefix).glob("**/bin"):
            if found.parent.name in (Path(prefix).name, "local"):
                shutil.copytree(found, target / "bin", dirs_exist_ok=True)
    target.mkdir(exist_ok=True)


def pip() -> list[str]:
    """Return the arguments of Python that run pip: the image's own, else the one in the context."""
    if find_spec("pip"):
        return ["-m", "pip"]
    if not (HERE / "pip.zip").exists():
        sys.exit("neither the image nor the machine that requested this build has pip: python -m ensurepip")
    return [str(HERE / "pip.zip" / "pip")]


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
