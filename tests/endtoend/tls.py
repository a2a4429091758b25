# SPDX-License-Identifier: Apache-2.0
"""Raw TLS connections to a Docker API, with any certificate or none."""

import http.client
import selectors
import socket
import ssl
import tempfile
from collections.abc import Sequence
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

TIMEOUT = 10.0  # seconds
REFUSED = "refused"


def listens(address: str, port: int) -> bool:
    """Whether somebody accepts connections at a port."""
    try:
        _touch(address, port)
    except OSError:
        return False
    return True


def _touch(address: str, port: int, seconds: float = 3.0) -> None:
    silent = connect(address, port, seconds)
    if silent:
        silent.close()


def connect(address: str, port: int = 2376, seconds: float = 3.0) -> socket.socket | None:
    """Connect and say nothing.

    :param seconds: that it may take
    :return: nothing where the other side ends the connection at once, which TCP can report while
        it connects
    :raises OSError: there is nobody at that port
    """
    try:
        connection = socket.create_connection((address, port), seconds)
    except ConnectionResetError:
        return None
    connection.settimeout(3 * TIMEOUT)
    return connection


def ended(connections: Sequence[socket.socket]) -> list[socket.socket]:
    """Those of several silent connections that the other side has ended."""
    with selectors.DefaultSelector() as selector:
        for connection in connections:
            selector.register(connection, selectors.EVENT_READ)
        # The other side says nothing before a handshake: what can be read is the end.
        return [
            one for key, _ in selector.select(0) if isinstance(one := key.fileobj, socket.socket)
        ]


def ask(
    address: str,
    path: str = "/info",
    *,
    port: int = 2376,
    certificate: str = "",
    key: str = "",
    encrypted: bool = True,
) -> str:
    """What the server answers, as status and text; :data:`REFUSED` where it closes the connection.

    Its own certificate is not verified: what matters is whom it lets in.

    :param certificate: PEM, with ``key`` its private key; empty for none
    :raises OSError: there is nobody at that port
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if certificate:
        with tempfile.TemporaryDirectory() as directory:
            file = Path(directory, "both.pem")
            file.write_text(f"{certificate}\n{_plain(key)}\n", encoding="ascii")
            context.load_cert_chain(file)
    connection: http.client.HTTPConnection
    if encrypted:
        connection = http.client.HTTPSConnection(address, port, timeout=TIMEOUT, context=context)
    else:
        connection = http.client.HTTPConnection(address, port, timeout=TIMEOUT)
    # Somebody listens; what follows is a refusal and not an absence.
    _touch(address, port, TIMEOUT)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return f"{answer.status} {answer.read(4096).decode(errors='replace')}"
    except (ssl.SSLError, http.client.HTTPException, ConnectionError):
        return REFUSED
    finally:
        connection.close()


def _plain(key: str) -> str:
    """A private key without the headers that its owner put into the PEM, which OpenSSL refuses."""
    parsed = serialization.load_pem_private_key(key.encode(), None)
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8)
    return parsed.private_bytes(*form, serialization.NoEncryption()).decode()


def belong_together(certificate: str, key: str) -> bool:
    """Whether a private key is that of a certificate."""
    try:
        public = x509.load_pem_x509_certificate(certificate.encode()).public_key()
        private = serialization.load_pem_private_key(key.encode(), None)
    except (ValueError, TypeError):
        return False
    form = (serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return bool(public.public_bytes(*form) == private.public_key().public_bytes(*form))


def signing_request(name: str = "test") -> str:
    """A new certificate signing request, PEM."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    request = x509.CertificateSigningRequestBuilder().subject_name(subject)
    signed = request.sign(key, hashes.SHA256())
    return signed.public_bytes(serialization.Encoding.PEM).decode()


def signed_by(certificate: str, authority: str) -> bool:
    """Whether ``authority`` (PEM) signed ``certificate`` (PEM)."""
    parsed = x509.load_pem_x509_certificate(certificate.encode())
    try:
        parsed.verify_directly_issued_by(x509.load_pem_x509_certificate(authority.encode()))
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True
