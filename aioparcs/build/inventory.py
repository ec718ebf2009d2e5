"""
The inventory of an image: all Python distributions and Debian packages in it, as SPDX 2.3 in JSON.

Runs in the image while it is built, with whatever Python is there; aioparcs itself never imports it.
"""

import hashlib
import json
import os
import re
import sys
import time
from importlib.metadata import distributions
from pathlib import Path
from typing import Any
from urllib.parse import quote

FILE = "usr/share/sbom/image.spdx.json"
ROOT = "SPDXRef-image"


def main(root: Path) -> None:
    """Write the inventory of the file system below a folder."""
    packages = sorted([*python_packages(), *debian_packages(root)], key=lambda package: str(package["SPDXID"]))
    file = root / FILE
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(document(packages), indent=1) + "\n")


def document(packages: list[dict[str, Any]]) -> dict[str, Any]:
    """Return a document about packages; its namespace is made of them, so that the same ones give the same document."""
    digest = hashlib.sha256(json.dumps(packages).encode()).hexdigest()
    created = time.gmtime(int(os.environ.get("SOURCE_DATE_EPOCH") or time.time()))
    image = package(ROOT, "image", digest[:16], "NOASSERTION") | {"primaryPackagePurpose": "CONTAINER"}
    relations = [("SPDXRef-DOCUMENT", "DESCRIBES", ROOT), *((ROOT, "CONTAINS", one["SPDXID"]) for one in packages)]
    return {
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": "image",
        "documentNamespace": f"urn:aioparcs:sbom:{digest}",
        "creationInfo": {"created": time.strftime("%Y-%m-%dT%H:%M:%SZ", created), "creators": ["Tool: aioparcs"]},
        "packages": [image, *packages],
        "relationships": [
            {"spdxElementId": one, "relationshipType": kind, "relatedSpdxElement": other}
            for one, kind, other in relations
        ],
    }


def package(identity: str, name: str, version: str, declared: str, locator: str = "") -> dict[str, Any]:
    """
    Return what a document says of a package.

    Args:
        identity: its name in the document.
        name: its name.
        version: its version.
        declared: the license that it declares.
        locator: its package URL (purl), "" for none.
    """
    reference = {"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl", "referenceLocator": locator}
    return {
        "SPDXID": identity,
        "name": name,
        "versionInfo": version,
        "downloadLocation": "NOASSERTION",
        "filesAnalyzed": False,
        "licenseConcluded": "NOASSERTION",
        "licenseDeclared": declared,
        "copyrightText": "NOASSERTION",
        **({"externalRefs": [reference]} if locator else {}),
    }


def python_packages() -> list[dict[str, Any]]:
    """Return the distributions that this Python finds; of those of one name the first, which is imported."""
    found: dict[str, dict[str, Any]] = {}
    for one in distributions():
        name = re.sub(r"[-_.]+", "-", str(one.metadata["Name"])).lower()
        locator = f"pkg:pypi/{name}@{quote(one.version)}"
        declared = (one.metadata.get_all("License-Expression") or ["NOASSERTION"])[0]
        found.setdefault(name, package(f"SPDXRef-python-{name}", name, one.version, declared, locator))
    return list(found.values())


def debian_packages(root: Path) -> list[dict[str, Any]]:
    """Return the packages that dpkg has installed; none on a system without it."""
    try:
        text = (root / "var/lib/dpkg/status").read_text(errors="replace")
        system = (root / "etc/os-release").read_text()
    except OSError:
        return []
    vendor = re.search(r'(?m)^ID="?([\w.-]+)', system)
    found = []
    for paragraph in text.split("\n\n"):
        fields = dict(re.findall(r"(?m)^(Package|Status|Version|Architecture): (.*)$", paragraph))
        if fields.get("Status", "").endswith(" installed"):
            name, version, kind = fields["Package"], fields["Version"], fields["Architecture"]
            place = f"{vendor[1] if vendor else 'debian'}/{quote(name)}@{quote(version, safe='')}"
            identity = f"SPDXRef-deb-{re.sub('[^A-Za-z0-9.-]', '-', f'{name}-{kind}')}"
            found.append(package(identity, name, version, "NOASSERTION", f"pkg:deb/{place}?arch={kind}"))
    return found


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "/"))
