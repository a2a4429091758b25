# SPDX-License-Identifier: Apache-2.0
"""What a cluster's certificate authority is called, and how one that follows another is made.

Magnum calls it by the cluster's name, which may have 242 characters; the common name of a
certificate has 64 at most (RFC 5280, "ub-common-name"), which the cryptography library enforces in
octets. Without this, a cluster with a longer name fails while its certificates are made.

An authority that follows another needs a name of its own: OpenSSL, and HAProxy with it, looks for
the issuer of a certificate by its name and takes the first that it finds, so that of two
authorities with one name only one would be believed. And it may stand above another authority,
which Magnum's may not: while both are in use, managers present the old one signed by the new one
(see ``rotation``).
"""

from __future__ import annotations

import contextlib
import contextvars
import functools
import secrets
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

from cryptography import x509
from cryptography.x509.oid import NameOID

from magnum_swarm_mode import constants, exceptions, sentences

LONGEST_COMMON_NAME = 64  # octets
# The name of the authority that is just being made to follow another; empty for none.
_SUCCESSOR: contextvars.ContextVar[str] = contextvars.ContextVar("successor", default="")


def common_name(name: str, cluster_uuid: str, suffix: str = "") -> str:
    """Return the cluster's name where a certificate can bear it, else its uuid."""
    fits = len((name + suffix).encode()) <= LONGEST_COMMON_NAME
    return (name if fits else cluster_uuid) + suffix


def generate(original: Callable[..., Any], cluster: Any, context: Any = None) -> Any:
    """Stand around ``generate_certificates_to_cluster``.

    What is made is noted, and a second authority differs from the first by its name.
    """
    if not _is_ours(cluster):
        return original(cluster, context=context)
    from magnum_swarm_mode.certificates import orphans  # needs Magnum's configuration

    if not cluster.ca_cert_ref:
        with _requested(sentences.CREATION):
            orphans.begin(cluster)
            with orphans.noted(cluster.uuid):
                return original(cluster, context=context)
    token = _SUCCESSOR.set(_successor_name(cluster))
    try:
        with _requested(sentences.CERTIFICATES, sentences.UNCHANGED), orphans.noted(cluster.uuid):
            return original(cluster, context=context)
    finally:
        _SUCCESSOR.reset(token)


@contextlib.contextmanager
def _requested(what: str, advice: str = "") -> Iterator[None]:
    """Name the request that fails: Magnum's handlers save the sentence as it is.

    :raises MagnumException: for one, of the same class.
    :raises Unavailable: for any other exception.
    """
    from magnum.common import exception  # needs Magnum's configuration

    try:
        yield
    except Exception as error:
        why = str(error).rstrip(". ")
        said = f"{sentences.failed(what, why)}. {advice}".rstrip()
        if isinstance(error, exception.MagnumException):
            error.message = said
            raise
        raise exceptions.Unavailable(said, f"{type(error).__name__}: {error}") from error


def _successor_name(cluster: Any) -> str:
    # The time is for people. It alone is not unique: a clock can be set back.
    moment = time.strftime(" %Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time()))
    suffix = f"{moment} {secrets.token_hex(3)}"
    return common_name(cluster.name or cluster.uuid, cluster.uuid, suffix)


def authority(original: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Stand around ``_generate_ca_cert``, which returns a reference, certificate and passphrase."""
    made = original(*args, **kwargs)
    _note(made[0])
    return made


def client(original: Callable[..., str], *args: Any, **kwargs: Any) -> str:
    """Stand around ``_generate_client_cert``, which returns a reference."""
    reference = original(*args, **kwargs)
    _note(reference)
    return reference


def pair(original: Callable[..., Any], row: Any, *args: Any, **kwargs: Any) -> Any:
    """Stand around ``X509KeyPair.create``: a pair is noted before it is made."""
    from magnum_swarm_mode.certificates import orphans  # needs Magnum's configuration

    if orphans.is_noting():
        row.uuid = str(uuid.uuid4())
        orphans.note(row.uuid)
    return original(row, *args, **kwargs)


def _note(reference: str) -> None:
    from magnum_swarm_mode.certificates import orphans  # needs Magnum's configuration

    orphans.note(reference)
    orphans.made(reference)


def issuer_name(original: Callable[[Any], str], cluster: Any) -> str:
    """Stand around Magnum's ``_get_issuer_name``; other engines' clusters are left as they were."""
    name = original(cluster)
    if not _is_ours(cluster):
        return name
    if successor := _SUCCESSOR.get():
        return successor
    if cluster.ca_cert_ref:
        # A cluster may have got another name since, which its authority does not have.
        return _subject(cluster.uuid, cluster.ca_cert_ref)
    return common_name(name, cluster.uuid)


def ca_extensions(original: Callable[[], list[Any]]) -> list[Any]:
    """Stand around ``_build_ca_extentions``: a second authority may stand above the first."""
    extensions = original()
    if not _SUCCESSOR.get():
        return extensions
    constraints = x509.BasicConstraints(ca=True, path_length=None)
    return [
        x509.Extension(one.oid, one.critical, constraints) if one.oid == constraints.oid else one
        for one in extensions
    ]


def subject_of(pem: str) -> str:
    """Return the common name of a certificate (PEM)."""
    (attribute,) = x509.load_pem_x509_certificate(pem.encode()).subject.get_attributes_for_oid(
        NameOID.COMMON_NAME
    )
    return str(attribute.value)


@functools.lru_cache(maxsize=4096)
def _subject(cluster_uuid: str, reference: str) -> str:
    from magnum_swarm_mode.certificates import (
        store as certificate_store,  # needs Magnum's configuration
    )

    return subject_of(certificate_store.certificate(cluster_uuid, reference))


def _is_ours(cluster: Any) -> bool:
    return bool(getattr(cluster.cluster_template, "coe", None) == constants.COE)
