# SPDX-License-Identifier: Apache-2.0
"""The two things that a manager asks of Magnum: a signature and the cluster's status."""

from typing import Any, Optional

from . import keystone, web
from .config import Config
from .errors import NodeError


def _call(config: Config, method: str, path: str, body: Optional[Any] = None) -> Any:
    context = web.tls(config.openstack_ca) if config.openstack_ca else None
    token = keystone.token(
        config.auth_url,
        keystone.application_credential(config.credential_id, config.credential_secret),
        context,
    )
    return web.request(
        method,
        config.magnum_url.rstrip("/") + path,
        body,
        # Signing goes through message queue and conductor, and may wait there.
        {"X-Auth-Token": token},
        context=context,
        timeout=60,
    ).body


def sign(config: Config, csr: str) -> str:
    """Return the certificate (PEM) that the cluster's CA makes of a signing request.

    :raises Temporary: Keystone or Magnum cannot be reached or are not well
    :raises NodeError: they refuse
    """
    body = _call(config, "POST", "/certificates", {"cluster_uuid": config.cluster_uuid, "csr": csr})
    pem = body.get("pem") if isinstance(body, dict) else None
    if not pem:
        raise NodeError("Magnum's answer holds no certificate")
    return str(pem).strip() + "\n"


def cluster_status(config: Config) -> str:
    """Return Magnum's status of this cluster, such as CREATE_IN_PROGRESS.

    :raises Temporary: Keystone or Magnum cannot be reached or are not well
    :raises NodeError: they refuse
    """
    body = _call(config, "GET", f"/clusters/{config.cluster_uuid}")
    return str(body.get("status")) if isinstance(body, dict) else ""
