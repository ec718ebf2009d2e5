"""The registry that a cluster gets if the user has none: its certificate and password, and its Swarm service."""

from __future__ import annotations

import base64
import secrets
from ipaddress import IPv4Address
from typing import Any, NamedTuple

from aioparcs.transport.certificates import make_certificate

__all__ = ["IMAGE", "LABEL", "NAME", "USER", "Keys", "make_keys", "secret_specs", "service_spec"]

NAME = "aioparcs-registry"
"""The name of the Swarm service, and of its volume; its secrets' names begin with it."""

LABEL = "io.aioparcs.registry"
"""The label of the Swarm service that has the registry's address."""

IMAGE = "registry:2"
USER = "aioparcs"
"""Who logs in to the registry."""

_PORT = 5000
_FILES = {"certificate": "tls.crt", "key": "tls.key", "passwords": "htpasswd"}
_ENVIRONMENT = {
    "REGISTRY_HTTP_ADDR": f"0.0.0.0:{_PORT}",
    "REGISTRY_HTTP_TLS_CERTIFICATE": "/run/secrets/tls.crt",
    "REGISTRY_HTTP_TLS_KEY": "/run/secrets/tls.key",
    "REGISTRY_AUTH": "htpasswd",
    "REGISTRY_AUTH_HTPASSWD_REALM": NAME,
    "REGISTRY_AUTH_HTPASSWD_PATH": "/run/secrets/htpasswd",
    "REGISTRY_STORAGE_DELETE_ENABLED": "true",
}


class Keys(NamedTuple):
    """
    What a registry needs to be trusted, and to know who may use it.

    Attributes:
        certificate: its certificate, which it has signed itself, as PEM.
        key: the key of that, as PEM.
        password: the password of `USER`.
        passwords: its file of passwords, which has a hash of that.
    """

    certificate: str
    key: str
    password: str
    passwords: str


def make_keys(address: IPv4Address) -> Keys:
    """Return new keys for a registry at an address; needs the extra ``ssh``."""
    import bcrypt
    from cryptography import x509

    certificate, private = make_certificate(
        NAME,
        (x509.SubjectAlternativeName([x509.IPAddress(address)]), False),
        (x509.BasicConstraints(ca=True, path_length=0), True),
    )
    password = secrets.token_urlsafe(24)
    hashed = bcrypt.hashpw(password.encode(), bcrypt.gensalt()).decode()
    return Keys(certificate.decode(), private.decode(), password, f"{USER}:{hashed}\n")


def secret_specs(keys: Keys) -> list[dict[str, Any]]:
    """Return the secrets of a registry, as Docker takes them; the last characters of a name tell keys apart."""
    mark = secrets.token_hex(4)
    return [
        {
            "Name": f"{NAME}-{field}-{mark}",
            "Labels": {LABEL: file},
            "Data": base64.b64encode(getattr(keys, field).encode()).decode(),
        }
        for field, file in _FILES.items()
    ]


def service_spec(address: str, node: str, stored: dict[str, str]) -> dict[str, Any]:
    """
    Return the Swarm service of a registry, as Docker takes it.

    Args:
        address: the registry's, ``HOST:PORT``.
        node: the ID of the node that it runs on, which has its volume.
        stored: the IDs of its secrets, by their names.
    """
    files = [
        {"SecretID": identity, "SecretName": name, "File": {"Name": file, "UID": "0", "GID": "0", "Mode": 0o400}}
        for (name, identity), file in zip(stored.items(), _FILES.values(), strict=True)
    ]
    return {
        "Name": NAME,
        "Labels": {LABEL: address},
        "TaskTemplate": {
            "ContainerSpec": {
                "Image": IMAGE,
                "Env": [f"{name}={value}" for name, value in _ENVIRONMENT.items()],
                "Mounts": [{"Type": "volume", "Source": NAME, "Target": "/var/lib/registry"}],
                "Secrets": files,
            },
            "Placement": {"Constraints": [f"node.id=={node}"]},
            "RestartPolicy": {"Condition": "any"},
        },
        "Mode": {"Replicated": {"Replicas": 1}},
        "EndpointSpec": {
            "Mode": "dnsrr",
            "Ports": [{"Protocol": "tcp", "TargetPort": _PORT, "PublishedPort": _PORT, "PublishMode": "host"}],
        },
    }
