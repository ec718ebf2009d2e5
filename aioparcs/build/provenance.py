"""The provenance of an image, as its labels: the keys ``org.opencontainers.image.*`` of the OCI image specification."""

from __future__ import annotations

import os
import re
import subprocess
import time
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from aioparcs.errors import SettingError

__all__ = ["build_time", "provenance_labels"]

_PREFIX = "org.opencontainers.image."
_GIT_TIME = 10.0  # seconds that git may take


def build_time() -> int:
    """
    Return the time of a build, in seconds since 1970: ``SOURCE_DATE_EPOCH``, else now.

    Raises:
        SettingError: the variable is no number of seconds.
    """
    text = os.environ.get("SOURCE_DATE_EPOCH", "")
    if not text:
        return int(time.time())
    if not re.fullmatch(r"[0-9]{1,11}", text):
        raise SettingError(f"SOURCE_DATE_EPOCH={text!r} is not a number of seconds since 1970")
    return int(text)


def provenance_labels(folder: Path, version: str, base: str, base_digest: str) -> dict[str, str]:
    """
    Return the labels of an image; what is not known is left out.

    Args:
        folder: what it is built from: the labels name the commit and the address of its git repository, if it has one.
        version: its version.
        base: the image that it is built on.
        base_digest: the digest of that, as its registry has it.
    """
    revision = _git(folder, "rev-parse", "HEAD")
    if revision and _git(folder, "status", "--porcelain", "--", "."):
        revision += "-dirty"
    labels = {
        "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(build_time())),
        "version": version,
        "revision": revision,
        "source": _without_password(_git(folder, "config", "--get", "remote.origin.url")) if revision else "",
        "base.name": base,
        "base.digest": base_digest,
    }
    return {_PREFIX + name: value for name, value in labels.items() if value}


def _git(folder: Path, *arguments: str) -> str:
    """Return what git prints about a folder; "" where there is no git, or no repository."""
    command = ["git", "-C", os.fspath(folder), *arguments]
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=_GIT_TIME, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError, UnicodeDecodeError):
        return ""


def _without_password(address: str) -> str:
    """Return a repository's address without the user and the password that an URL may have."""
    if "://" not in address:
        return address  # a path, or ssh's USER@HOST:PATH, which has none
    parts = urlsplit(address)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
