# SPDX-License-Identifier: Apache-2.0
"""One HTTP request, over TCP, TLS or a unix socket, with its errors sorted."""

import http.client
import json
import socket
import ssl
from typing import Any, Dict, Mapping, Optional
from urllib.parse import urlsplit

from .errors import NodeError, Temporary

CONNECT_TIMEOUT = 10.0  # seconds, TLS handshake included
LARGEST_ANSWER = 64 << 20
# Worth trying again: timeout, conflict of the moment, too many requests; and every 5xx.
_TEMPORARY = (408, 425, 429)


class Answer:
    """What came back: status, headers (names in lower case) and the JSON or text of the body."""

    def __init__(self, status: int, headers: Dict[str, str], body: Any) -> None:
        self.status = status
        self.headers = headers
        self.body = body


def tls(ca: str, certificate: str = "") -> ssl.SSLContext:
    """Return a context that verifies servers.

    :param ca: PEM text of what to trust; empty for the system's own store
    :param certificate: path of a file with client certificate and key
    :raises NodeError: when either does not parse
    """
    try:
        context = ssl.create_default_context(cadata=ca or None)
        # Magnum's certificates lack the authority key identifier that Python 3.13 demands.
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
        if certificate:
            context.load_cert_chain(certificate)
    except (ssl.SSLError, OSError, ValueError) as error:
        raise NodeError(f"certificates cannot be loaded: {error}") from error
    return context


def _decode(data: bytes) -> Any:
    try:
        return json.loads(data) if data else None
    except ValueError:
        return data.decode(errors="replace")


def _message(body: Any) -> str:
    """Return the one sentence that OpenStack services and Docker put into an error's body."""
    while isinstance(body, (dict, list)) and body:
        if isinstance(body, list):
            body = body[0]
        else:
            body = next(
                (body[key] for key in ("message", "error", "errors", "detail") if body.get(key)),
                json.dumps(body),
            )
    return " ".join(str(body or "no reason given").split())[:300]


def request(
    method: str,
    url: str,
    body: Any = None,
    headers: Optional[Mapping[str, str]] = None,
    context: Optional[ssl.SSLContext] = None,
    socket_path: str = "",
    timeout: float = 30.0,
) -> Answer:
    """Send one request and return its answer.

    :param body: sent as JSON unless None
    :param socket_path: connect to this unix socket instead of the URL's host
    :param timeout: seconds for each read after the connection is made
    :raises Temporary: no connection, no answer, or status 408, 425, 429, 5xx
    :raises NodeError: any other status of 400 or more, or a certificate that does not verify
    """
    parts = urlsplit(url)
    where = f"{method} {parts.scheme}://{parts.netloc}{parts.path}"
    host, port = parts.hostname or "", parts.port
    connection: http.client.HTTPConnection
    if parts.scheme == "https":
        connection = http.client.HTTPSConnection(
            host, port, timeout=CONNECT_TIMEOUT, context=context or tls("")
        )
    else:
        connection = http.client.HTTPConnection(host, port, timeout=CONNECT_TIMEOUT)
    data = None if body is None else json.dumps(body).encode()
    try:
        if socket_path:
            connection.sock = socket.socket(socket.AF_UNIX)
            connection.sock.connect(socket_path)
        else:
            connection.connect()
        connection.sock.settimeout(timeout)
        target = parts.path + (f"?{parts.query}" if parts.query else "")
        connection.request(
            method,
            target or "/",
            data,
            {
                "Accept": "application/json",
                "Content-Type": "application/json",
                **(headers or {}),
            },
        )
        response = connection.getresponse()
        answer = Answer(
            response.status,
            {k.lower(): v for k, v in response.getheaders()},
            _decode(response.read(LARGEST_ANSWER)),
        )
    except ssl.SSLCertVerificationError as error:
        raise NodeError(f"{where}: {error.verify_message}") from error
    except (OSError, http.client.HTTPException) as error:
        raise Temporary(f"{where}: {error or type(error).__name__}") from error
    finally:
        connection.close()
    if answer.status >= 400:
        temporary = answer.status in _TEMPORARY or answer.status >= 500
        raise (Temporary if temporary else NodeError)(
            f"{where}: {answer.status} {_message(answer.body)}", answer.status
        )
    return answer
