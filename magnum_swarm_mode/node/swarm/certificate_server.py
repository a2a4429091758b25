# SPDX-License-Identifier: Apache-2.0
"""Has Magnum sign the certificates of other managers.

POST /v1/certificate {"secret": "…", "csr": "…"} -> 200 {"pem": "…"}; 401 wrong secret, 409 the
address has a certificate already, 429 too often, 503 Magnum is not well.

Who asks is known by the network: the cluster's security groups let only managers reach the port,
a host cannot send from another one's address, and no container reaches it (``web.set_neighbour``).
A host that serves the Docker API has a certificate and renews it by itself, so that one more is
signed for nobody else on it.
"""

import ssl
import time
from typing import Any, Callable, Dict

from ..base import openstack, web
from ..base.config import Config
from ..base.errors import NodeError, Temporary
from . import certificates
from .join_server import Service


class Signatures(Service):
    """Signs the requests of other managers with the own key, and hands them to Magnum.

    :param pair: PEM text with the own key
    :param context: verifies that who serves a Docker API is a manager of the cluster
    """

    path = "/v1/certificate"

    def __init__(
        self,
        config: Config,
        pair: str,
        context: ssl.SSLContext,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(config.join_secret, clock)
        self._config = config
        self._pair = pair
        self._context = context

    def _grant(self, address: str, request: Dict[str, Any]) -> Dict[str, Any]:
        csr = request.get("csr")
        if not isinstance(csr, str) or not csr.isascii():
            raise NodeError('a JSON object with "csr" is expected', 400)
        self._refuse_served(address)
        proof = certificates.proof(self._pair, self._config.cluster_uuid, csr)
        return {"pem": openstack.sign(self._config, csr, proof)}

    def _refuse_served(self, address: str) -> None:
        """Raise unless nobody serves the Docker API at an address with the cluster's certificate.

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
        except NodeError as error:
            if isinstance(error.__cause__, ssl.SSLCertVerificationError):
                return
        raise NodeError("this address has a certificate already", 409)
