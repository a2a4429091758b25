# SPDX-License-Identifier: Apache-2.0
"""An HTTP server over TLS, whose handshakes happen in the threads of the requests."""

from __future__ import annotations

import http.server
import ssl
from typing import Any


class SecureServer(http.server.ThreadingHTTPServer):
    """A server with a TLS context, to be set before it serves."""

    daemon_threads = True
    tls: ssl.SSLContext

    def finish_request(self, request: Any, client_address: Any) -> None:
        """Shake hands, then answer."""
        with self.tls.wrap_socket(request, server_side=True) as secured:
            super().finish_request(secured, client_address)

    def handle_error(self, *_: Any) -> None:
        """Say nothing of clients that end the connection."""
