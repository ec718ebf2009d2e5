"""Print what a host is, as JSON. Runs on the host, as the user who logs in, and changes nothing."""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import time
from typing import Any

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
ENVIRONMENT = dict(os.environ, PATH=PATH, LC_ALL="C")
DOCKER = "/var/lib/docker"
CERTIFICATES = "/etc/docker/certs.d"
MARKER = "/etc/aioparcs/cluster.json"


def ask(*words: str) -> subprocess.CompletedProcess[str]:
    """Run a command of the host; one that is missing or hangs has failed."""
    try:
        return subprocess.run(
            words, stdin=subprocess.DEVNULL, capture_output=True, text=True, env=ENVIRONMENT, timeout=20
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return subprocess.CompletedProcess(words, 127, "", str(error))


def release() -> dict[str, str]:
    """Return the fields of os-release."""
    for path in ("/etc/os-release", "/usr/lib/os-release"):
        try:
            with open(path, encoding="utf-8") as file:
                pairs = [line.strip().partition("=") for line in file if "=" in line]
        except OSError:
            continue
        return {name: value.strip("\"'") for name, _, value in pairs}
    return {}


def has_module(name: str) -> bool:
    """Return whether the kernel has a module, built in, loaded, or one that can be loaded."""
    if os.path.isdir("/sys/module/" + name):
        return True
    with open("/proc/filesystems", encoding="utf-8") as file:
        if name in file.read().split():
            return True
    return ask("modprobe", "--dry-run", "--quiet", name).returncode == 0


def addresses() -> list[str]:
    """Return the IPv4 addresses with their prefixes, without those of Docker's own bridges."""
    try:
        links = json.loads(ask("ip", "-json", "-4", "address", "show", "scope", "global").stdout or "[]")
    except ValueError:
        return []
    own = [link for link in links if link.get("ifname") and not link["ifname"].startswith(("docker", "br-", "veth"))]
    return [f"{one['local']}/{one['prefixlen']}" for link in own for one in link["addr_info"]]


def free_bytes() -> int:
    """Return the bytes that are free where Docker keeps its images."""
    path = DOCKER
    while not os.path.isdir(path):
        path = os.path.dirname(path)
    return shutil.disk_usage(path).free


def marker() -> Any:
    """Return what aioparcs has noted on this host, or None."""
    try:
        with open(MARKER, encoding="utf-8") as file:
            return json.load(file)
    except (OSError, ValueError):
        return None


def main() -> None:
    """Print the facts."""
    sudo = None if os.geteuid() == 0 else ask("sudo", "-n", "true")
    facts = {
        "time": time.time(),
        "hostname": platform.node(),
        "release": release(),
        "kernel": platform.release(),
        "machine": platform.machine(),
        "modules": [name for name in ("overlay", "vxlan", "ip_vs") if has_module(name)],
        "addresses": addresses(),
        "free": free_bytes(),
        "sudo": "" if sudo is None or sudo.returncode == 0 else (sudo.stderr.strip() or "sudo fails"),
        "groups": ask("id", "-nG").stdout.split(),
        "commands": [
            name for name in ("apt-get", "dnf", "docker", "dockerd", "service") if shutil.which(name, path=PATH)
        ],
        "systemd": os.path.isdir("/run/systemd/system"),
        "marker": marker(),
        "trusts": os.listdir(CERTIFICATES) if os.path.isdir(CERTIFICATES) else [],
    }
    print(json.dumps(facts))


if __name__ == "__main__":
    main()
