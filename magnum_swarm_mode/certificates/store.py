# SPDX-License-Identifier: Apache-2.0
"""Magnum's certificate store: what a reference of a cluster's row stands for."""

import contextlib
import dataclasses
from collections.abc import Iterable, Iterator
from typing import Any

from magnum.common import cert_manager

from magnum_swarm_mode import exceptions, log
from magnum_swarm_mode.cloud import sessions as cloud_sessions

LOG = log.of(__name__)

# Columns of a cluster's row with references; Magnum makes all four anew at once.
COLUMNS = ("ca_cert_ref", "magnum_cert_ref", "etcd_ca_cert_ref", "front_proxy_ca_cert_ref")


@dataclasses.dataclass(frozen=True)
class Pair:
    """A certificate and its key, PEM; the key is not encrypted."""

    certificate: str
    key: str = dataclasses.field(repr=False)


def references(cluster: Any) -> dict[str, str]:
    """Return the references in a cluster's row, by column."""
    return {name: str(getattr(cluster, name) or "") for name in COLUMNS}


def certificate(cluster_uuid: str, reference: str) -> str:
    """Return the certificate (PEM) that a reference stands for.

    :raises Unavailable: when it cannot be read now.
    """
    with _reading(cluster_uuid):
        return as_text(_get(cluster_uuid, reference).get_certificate())


def read(cluster_uuid: str, reference: str) -> Pair:
    """Return what a reference stands for; decrypting the key takes a tenth of a second.

    :raises Unavailable: when it cannot be read now.
    """
    with _reading(cluster_uuid):
        found = _get(cluster_uuid, reference)
        return Pair(as_text(found.get_certificate()), as_text(found.get_decrypted_private_key()))


def delete(cluster_uuid: str, unwanted: Iterable[str | None]) -> list[str]:
    """Delete certificates; return those that may still be there."""
    left = []
    for reference in unwanted:
        if not reference:
            continue
        try:
            backend().CertManager.delete_cert(
                reference, resource_ref=cluster_uuid, context=cloud_sessions.admin_context()
            )
        except Exception as error:
            # Gone already, after a conductor died here; Magnum does not stop at its own either.
            LOG.info("Certificate %s of cluster %s: %s", reference, cluster_uuid, error)
            # Each kind of store has errors of its own.
            if 404 not in (getattr(error, "code", None), getattr(error, "status_code", None)):
                left.append(reference)
    return left


def backend() -> Any:
    """Return Magnum's module for its certificate store.

    The session with which all of Magnum asks Barbican has no time-out of its own, so that a
    Barbican that takes requests and never answers would keep threads for ever.
    """
    found = cert_manager.get_backend()
    if make := getattr(found, "get_admin_clients", None):
        try:
            cloud_sessions.bounded(make().keystone().session)
        except Exception as error:
            # A caller that needs the session meets the same error.
            LOG.info("No session for Barbican: %s: %s", type(error).__name__, error)
    return found


@contextlib.contextmanager
def _reading(cluster_uuid: str) -> Iterator[None]:
    """Make one error of those that each kind of store has of its own."""
    try:
        yield
    except Exception as error:
        raise exceptions.Unavailable(
            "Magnum cannot read the cluster's certificates now; tell the operator if it stays so.",
            f"Certificates of cluster {cluster_uuid}: {error}",
        ) from error


def _get(cluster_uuid: str, reference: str) -> Any:
    return backend().CertManager.get_cert(
        reference, resource_ref=cluster_uuid, context=cloud_sessions.admin_context()
    )


def as_text(value: str | bytes) -> str:
    """Return what a store gives, which is text or bytes."""
    return value.decode() if isinstance(value, bytes) else value
