"""Certificates made for one listener and pinned by their fingerprints: there is no authority to ask."""

from __future__ import annotations

import datetime
import hashlib
import os
import ssl
from typing import Any

from aioparcs.errors import SettingError

__all__ = ["client_context", "make_certificate", "server_context"]


def client_context() -> ssl.SSLContext:
    """Return a context that verifies no certificate: the pinned fingerprint is compared after the handshake."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def server_context() -> tuple[ssl.SSLContext, str]:
    """
    Return the TLS context of a new certificate, and its fingerprint.

    Raises:
        SettingError: ``cryptography`` is not installed.
    """
    try:
        certificate, key = make_certificate("aioparcs job")  # pinned: its name and its dates don't matter
    except ImportError as error:
        raise SettingError("TLS needs the package cryptography: install aioparcs[tls]") from error
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    _load(context, certificate, key)
    return context, hashlib.sha256(ssl.PEM_cert_to_DER_cert(certificate.decode())).hexdigest()


def make_certificate(name: str, *extensions: tuple[Any, bool]) -> tuple[bytes, bytes]:
    """
    Return a new self-signed certificate for ten years and its key, as PEM; needs the package cryptography.

    Args:
        name: its common name.
        extensions: extensions as cryptography has them, each with whether it is critical.
    """
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))  # of clocks that differ a little
        .not_valid_after(now + datetime.timedelta(days=3650))
    )
    for extension, is_critical in extensions:
        builder = builder.add_extension(extension, critical=is_critical)
    pem = serialization.Encoding.PEM
    plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    return builder.sign(key, hashes.SHA256()).public_bytes(pem), key.private_bytes(pem, *plain)


def _load(context: ssl.SSLContext, certificate: bytes, key: bytes) -> None:
    """Load the pair through memory: ``ssl`` reads files only, and a key is never written to a disk."""
    with os.fdopen(os.memfd_create("aioparcs-tls"), "wb") as file:
        file.write(certificate + key)
        file.flush()
        context.load_cert_chain(f"/proc/self/fd/{file.fileno()}")
