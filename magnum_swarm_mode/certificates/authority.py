# SPDX-License-Identifier: Apache-2.0
"""What is done with certificates of authorities. Pure: the same arguments give the same text."""

import hashlib

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from magnum_swarm_mode import exceptions


def fingerprint(pem: str) -> str:
    """Return the SHA-256 of a certificate, as the node program computes it."""
    der = x509.load_pem_x509_certificate(pem.encode()).public_bytes(serialization.Encoding.DER)
    return hashlib.sha256(der).hexdigest()


def bundle(*certificates: str) -> str:
    """Return certificates one after the other; the first keeps its text as the nodes have it."""
    return "".join(one.strip() + "\n" for one in certificates)


def may_follow(old: str, new: str) -> bool:
    """Return whether a new authority was made so that both can be in use at once."""
    authority = x509.load_pem_x509_certificate(new.encode())
    constraints = authority.extensions.get_extension_for_class(x509.BasicConstraints).value
    before = x509.load_pem_x509_certificate(old.encode())
    return authority.subject != before.subject and constraints.path_length is None


def under(old: str, new: str, key: str) -> str:
    """Return the old authority's certificate signed by the new authority.

    A manager presents it after a certificate that the old authority signed: clients that know the
    old authority stop there, and those that know the new one go on to it. The other way round no
    client would go, for the old authority may not stand above another.

    :param key: of the new authority, PEM.
    :raises Inconsistent: when the key is none of Magnum's.
    """
    before = x509.load_pem_x509_certificate(old.encode())
    authority = x509.load_pem_x509_certificate(new.encode())
    private = serialization.load_pem_private_key(key.encode(), None)
    if not isinstance(private, rsa.RSAPrivateKey):
        raise exceptions.Inconsistent("The key of the cluster's new authority is no RSA key.")
    # The same for the same two, so that the settings of which it is a part are the same as well.
    serial = int.from_bytes(hashlib.sha256((old + new).encode()).digest()[:16], "big") >> 1
    builder = (
        x509.CertificateBuilder()
        .subject_name(before.subject)
        .issuer_name(authority.subject)
        .public_key(before.public_key())
        .serial_number(serial)
        .not_valid_before(authority.not_valid_before_utc)
        .not_valid_after(min(before.not_valid_after_utc, authority.not_valid_after_utc))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(private.public_key()),
            critical=False,
        )
        .add_extension(
            x509.SubjectKeyIdentifier.from_public_key(before.public_key()), critical=False
        )
    )
    usage = before.extensions.get_extension_for_class(x509.KeyUsage)
    builder = builder.add_extension(usage.value, usage.critical)
    signed = builder.sign(private, hashes.SHA256())
    return signed.public_bytes(serialization.Encoding.PEM).decode()
