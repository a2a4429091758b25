# SPDX-License-Identifier: Apache-2.0
"""Keys and requests to sign as managers make them, for tests."""

from __future__ import annotations

import base64
import dataclasses
import functools
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from magnum_swarm_mode.admission import manager_keys


@dataclasses.dataclass(frozen=True)
class Maker:
    """Who has a private key."""

    private: Any = dataclasses.field(
        default_factory=functools.partial(ec.generate_private_key, ec.SECP256R1())
    )

    @property
    def public(self) -> str:
        """The public key as it is recorded."""
        form = serialization.PublicFormat.SubjectPublicKeyInfo
        key = self.private.public_key().public_bytes(serialization.Encoding.DER, form)
        return base64.b64encode(key).decode()

    def csr(self, *names: str) -> str:
        """Return a request to sign (PEM) with common names."""
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name) for name in names])
        built = x509.CertificateSigningRequestBuilder().subject_name(subject)
        signed = built.sign(self.private, hashes.SHA256())
        return signed.public_bytes(serialization.Encoding.PEM).decode()

    def proof(self, cluster_uuid: str, csr: str) -> str:
        """Return the signature by which a request of somebody else is signed."""
        text = manager_keys.text(cluster_uuid, csr)
        return base64.b64encode(self.private.sign(text, ec.ECDSA(hashes.SHA256()))).decode()
