# SPDX-License-Identifier: Apache-2.0
"""Certificates for fakes, made on the spot."""

import dataclasses
import datetime
import ipaddress
import ssl
import tempfile

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID


@dataclasses.dataclass(frozen=True)
class Pair:
    """A certificate and its key, PEM."""

    certificate: str
    key: str


class Authority:
    """A certificate authority of one test."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test CA")])
        self._certificate = (
            self._builder(self._name, self._key.public_key())
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .sign(self._key, hashes.SHA256())
        )
        self.pem = self._certificate.public_bytes(serialization.Encoding.PEM).decode()

    def _builder(self, subject, public_key):
        now = datetime.datetime.now(datetime.UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(public_key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(hours=1))
            .not_valid_after(now + datetime.timedelta(days=1))
        )

    def client(self) -> Pair:
        """Issue a client's certificate."""
        return self._issue(ExtendedKeyUsageOID.CLIENT_AUTH, [])

    def server(self, *addresses: str) -> Pair:
        """Issue a server's certificate for some addresses."""
        return self._issue(ExtendedKeyUsageOID.SERVER_AUTH, addresses)

    def sign(self, request: str) -> str:
        """Issue a client's certificate for a signing request; both PEM."""
        asked = x509.load_pem_x509_csr(request.encode())
        usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH])
        builder = self._builder(asked.subject, asked.public_key())
        made = builder.add_extension(usage, critical=False).sign(self._key, hashes.SHA256())
        return made.public_bytes(serialization.Encoding.PEM).decode()

    def context(self, *addresses: str) -> ssl.SSLContext:
        """Return the TLS context of a server at some addresses, which demands a certificate."""
        pair = self.server(*addresses)
        made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        with tempfile.NamedTemporaryFile("w", suffix=".pem") as file:
            file.write(f"{pair.certificate}\n{pair.key}")
            file.flush()
            made.load_cert_chain(file.name)
        made.load_verify_locations(cadata=self.pem)
        made.verify_mode = ssl.CERT_REQUIRED
        return made

    def _issue(self, usage, addresses) -> Pair:
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
        builder = self._builder(name, key.public_key()).add_extension(
            x509.ExtendedKeyUsage([usage]), critical=False
        )
        if addresses:
            names = [x509.IPAddress(ipaddress.ip_address(address)) for address in addresses]
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        certificate = builder.sign(self._key, hashes.SHA256())
        return Pair(
            certificate.public_bytes(serialization.Encoding.PEM).decode(),
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            ).decode(),
        )
