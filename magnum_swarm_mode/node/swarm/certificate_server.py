# SPDX-License-Identifier: Apache-2.0
"""Has Magnum sign the certificates of other managers.

POST /v1/certificate {"secret": "…", "csr": "…"} -> 200 {"pem": "…"}; 401 wrong secret, 409 the
address has a certificate already, 429 too often, 503 Magnum is not well.

Who asks is known by the network: the cluster's security groups let only managers reach the port,
a host cannot send from another one's address, and neither a container on another host reaches it
(``web.set_neighbour``) nor anything on this one (``web.is_neighbour``). A host that serves Docker's
API, or is ready in the swarm, has a certificate and renews it by itself, so that one more is signed
for nobody else on it. A manager's address is known of those that the own configuration lists.
"""

import re
import ssl
import time
from typing import Any, Callable, Dict

from ..base import openstack, system, web
from ..base.config import Config
from ..base.docker import Docker
from ..base.errors import NodeError, Temporary
from . import certificates
from .join_server import Service

# As OpenSSL prints it, with blanks in older releases.
_SUBJECT = re.compile(r"subject=\s*CN\s*=\s*swarm-manager-([0-9]{1,5})")
# One request and nothing around it: of two, Magnum may read another one than OpenSSL does.
_PEM = re.compile(
    r"-----BEGIN CERTIFICATE REQUEST-----\n(?:[A-Za-z0-9+/=]{1,76}\n)+"
    r"-----END CERTIFICATE REQUEST-----\n*"
)


class Signatures(Service):
    """Signs the requests of other managers with the own key, and hands them to Magnum.

    :param pair: PEM text with the own key
    :param context: for connections to Docker APIs of the cluster
    :param docker: the own engine
    """

    path = "/v1/certificate"

    def __init__(
        self,
        config: Config,
        pair: str,
        context: ssl.SSLContext,
        docker: Docker,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(config.join_secret, clock)
        self._config = config
        self._pair = pair
        self._context = context
        self._docker = docker

    def _grant(self, address: str, request: Dict[str, Any]) -> Dict[str, Any]:
        csr = request.get("csr")
        if not isinstance(csr, str) or not csr.isascii():
            raise NodeError('a JSON object with "csr" is expected', 400)
        self._refuse_others(address, csr)
        self._refuse_served(address)
        self._refuse_ready(address)
        proof = certificates.proof(self._pair, self._config.cluster_uuid, csr)
        return {"pem": openstack.sign(self._config, csr, proof)}

    def _refuse_others(self, address: str, csr: str) -> None:
        """Raise when a request is for a manager of which the address is known to be another one.

        :raises NodeError: (403) it is, or (400) the request is for no manager
        """
        if not _PEM.fullmatch(csr):
            raise NodeError("the request is no single one in PEM", 400)
        subject = system.run("openssl", "req", "-noout", "-subject", stdin=csr, check=False)
        match = _SUBJECT.fullmatch(subject.strip())
        if not match:
            raise NodeError("the request is for no manager", 400)
        known = self._config.managers.get(match[1])
        if known and known["address"] != address:
            raise NodeError(f"this address is not that of manager {match[1]}", 403)

    def _refuse_ready(self, address: str) -> None:
        """Raise when a node of an address is ready in the swarm, also while its API is restarted.

        :raises NodeError: (409) it is
        """
        if self._docker.info().state != "active":
            return
        try:
            nodes = self._docker.nodes()
        except Temporary:
            # Without a leader nobody can tell; managers that are built again need a certificate to
            # say that the quorum is lost.
            return
        if any(node.has_address(address) and node.state == "ready" for node in nodes):
            raise NodeError("a node of this address is ready in the swarm", 409)

    def _refuse_served(self, address: str) -> None:
        """Raise unless nobody serves the Docker API at an address.

        :raises NodeError: (409) somebody does
        :raises Temporary: it cannot be known now
        """
        url = f"https://{web.host(address)}:{self._config.api_port}/_ping"
        try:
            web.request("GET", url, context=self._context, timeout=10)
        except Temporary as error:
            if isinstance(error.__cause__, ConnectionRefusedError):
                return
            raise
        except NodeError:
            # The host that serves it has a certificate, though one that is not valid now.
            pass
        raise NodeError("this address has a certificate already", 409)
