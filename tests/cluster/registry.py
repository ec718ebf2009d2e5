"""The cluster's registry of images; its storage is the cache that outlives the cluster."""

import json
import shutil
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.cluster import namespaces, network
from tests.cluster.command import detach, execute, until

__all__ = ["PORT", "Registry"]

PORT = 5000
_KEPT = "aioparcs"  # the repositories below this name stay in the cache
_START = 60.0  # seconds until it must answer
_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
_CONFIGURATION = """\
version: 0.1
log: {{level: warn, accesslog: {{disabled: true}}}}
storage: {{filesystem: {{rootdirectory: "{storage}"}}, delete: {{enabled: true}}}}
http: {{addr: "{address}"}}
"""


@dataclass(frozen=True, slots=True)
class Registry:
    """
    Attributes:
        address: host and port, as in an image's name.
        storage: the folder of its images.
        run: where its configuration and its log are.
    """

    address: str
    storage: Path
    run: Path

    def start(self) -> None:
        """Start it in the switch's namespace, unless it answers already."""
        if self.answers():
            return
        self._configure()
        inside = ("nsenter", f"--net={namespaces.file(network.SWITCH)}")
        detach(self.run / "registry.log", *inside, "docker-registry", "serve", self._file)
        until(self.answers, _START, f"the registry does not answer at {self.address}: see {self.run / 'registry.log'}")

    def answers(self) -> bool:
        """Return whether it is there."""
        return self._get("") is not None

    def labels(self, name: str, tag: str) -> dict[str, str] | None:
        """Read an image's labels; None when there is no such image."""
        manifest = self._get(f"{name}/manifests/{tag}")
        if manifest is None:
            return None
        image = self._get(f"{name}/blobs/{manifest['config']['digest']}")
        return None if image is None else image["config"].get("Labels") or {}

    def tidy(self) -> None:
        """Remove all images but the cluster's own from the storage; it must not run."""
        repositories = self.storage / "docker/registry/v2/repositories"
        if not repositories.exists():
            return
        for repository in repositories.iterdir():
            if repository.name != _KEPT:
                shutil.rmtree(repository)
        self._configure()
        execute("docker-registry", "garbage-collect", "--delete-untagged", self._file, timeout=120)

    @property
    def _file(self) -> Path:
        return self.run / "registry.yml"

    def _configure(self) -> None:
        self.storage.mkdir(parents=True, exist_ok=True)
        self._file.write_text(_CONFIGURATION.format(storage=self.storage, address=self.address))

    def _get(self, path: str) -> Any:
        request = urllib.request.Request(f"http://{self.address}/v2/{path}", headers={"Accept": _MANIFEST})
        try:
            with _DIRECT.open(request, timeout=30) as answer:
                return json.load(answer)
        except (urllib.error.URLError, OSError):
            return None


_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # it is next door, whatever proxy there is
