# SPDX-License-Identifier: Apache-2.0
"""One HTTP request, over TCP, TLS or a unix socket, with its errors sorted."""

import base64
import http.client
import json
import re
import socket
import ssl
import time
from typing import Any, Dict, Mapping, Optional, Tuple
from urllib.parse import SplitResult, unquote, urlsplit

from .errors import NodeError, Temporary
from .system import parsed

CONNECT_TIMEOUT = 10  # seconds, TLS handshake included
# What TLS 1.2 may encrypt with: authenticated, and with a key of its own for each connection. TLS
# 1.3 has no others.
AEAD = "ECDHE+AESGCM:ECDHE+CHACHA20"
# What routers count down from: a packet that arrives with the most has passed none of them, so that
# no container behind a bridge sent it (RFC 5082). Python does not name the options of Linux.
_MOST_HOPS = 255
_LEAST_IPV4, _LEAST_IPV6 = 21, 73  # IP_MINTTL, IPV6_MINHOPCOUNT
LARGEST_ANSWER = 1 << 20  # bytes
_PIECE = 64 << 10  # bytes
LONGEST_ERROR = 64 << 10  # characters that are looked at
# The one sentence that Keystone, Magnum, Heat and Docker put somewhere into an error's body.
_MESSAGE = re.compile(r'"(?:message|detail)": *"((?:[^"\\]|\\.)+)"')


Answer = Tuple[Mapping[str, str], Any]  # headers by name in lower case, body


def host(address: str) -> str:
    """Return an address as it stands in a URL."""
    return f"[{address}]" if ":" in address else address


def tls(ca: str = "", certificate: str = "") -> ssl.SSLContext:
    """Return a context that verifies servers.

    :param ca: PEM text of what to trust; empty for the system's own store
    :param certificate: path of a file with client certificate and key
    :raises NodeError: when either does not parse
    """
    try:
        context = ssl.create_default_context(cadata=ca or None)
        # Magnum's certificates lack the authority key identifier that Python 3.13 demands.
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_ciphers(AEAD)
        context.options |= ssl.OP_NO_RENEGOTIATION
        if certificate:
            context.load_cert_chain(certificate)
    except (OSError, ValueError) as error:
        raise NodeError(f"certificates cannot be loaded: {error}") from error
    return context


def set_neighbour(sock: socket.socket, *, listens: bool) -> None:
    """Let a socket speak only to hosts of the same network, and not to their containers.

    :param listens: whether it accepts connections, from sockets that are set the same way
    """
    if sock.family == socket.AF_INET6:
        option = _LEAST_IPV6 if listens else socket.IPV6_UNICAST_HOPS
        sock.setsockopt(socket.IPPROTO_IPV6, option, _MOST_HOPS)
    else:
        option = _LEAST_IPV4 if listens else socket.IP_TTL
        sock.setsockopt(socket.IPPROTO_IP, option, _MOST_HOPS)


def source_towards(address: str) -> str:
    """Return the address of this host with which it sends to another one.

    :raises OSError: when there is no route
    """
    with socket.socket(family(address), socket.SOCK_DGRAM) as probe:
        probe.connect((address, 9))
        return str(probe.getsockname()[0])


def is_neighbour(own: str, address: str) -> bool:
    """Return whether packets from an address come from another host of the own network.

    Those of this host's containers and of its own processes never leave it, so their hops do not
    tell them apart: they come from its own address, or from one that it reaches with another one.

    :param own: the address of this host in that network
    """
    try:
        return address != own and source_towards(address) == own
    except OSError:
        return False


def family(address: str) -> socket.AddressFamily:
    """Return the family of sockets that a numeric address is for."""
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def _neighbour(address: str, port: int, context: ssl.SSLContext) -> ssl.SSLSocket:
    """Return a connection to a host of the same network; its address is a numeric one."""
    sock = socket.socket(family(address))
    try:
        set_neighbour(sock, listens=False)
        sock.settimeout(CONNECT_TIMEOUT)
        sock.connect((address, port))
        return context.wrap_socket(sock, server_hostname=address)
    except BaseException:
        sock.close()
        raise


def _read(response: http.client.HTTPResponse, largest: int) -> bytes:
    """Return a body, or a little more of it than it may have."""
    pieces, size = [], 0
    while size <= largest:
        # Not all at once: as much memory as could come is reserved then.
        piece = response.read(_PIECE)
        if not piece:
            break
        pieces.append(piece)
        size += len(piece)
    return b"".join(pieces)


def _login(proxy: SplitResult) -> Dict[str, str]:
    """Return the header with which a proxy lets a client in that has to say who it is."""
    if not proxy.username:
        return {}
    pair = unquote(proxy.username) + ":" + unquote(proxy.password or "")
    return {"Proxy-Authorization": "Basic " + base64.b64encode(pair.encode()).decode()}


def _failure(where: str, error: Exception) -> NodeError:
    """Return the error for a request that got no answer."""
    if isinstance(error, ssl.SSLCertVerificationError):
        now = time.ctime()
        return NodeError(f"{where}: {error.verify_message}; this server's time is {now}")
    if isinstance(error, (OSError, http.client.HTTPException)):
        return Temporary(f"{where}: {error or type(error).__name__}")
    # A header, of either side, that is none.
    return NodeError(f"{where}: {error}")


def _refusal(where: str, status: int, data: str) -> NodeError:
    """Return the error for an answer that is one."""
    message = _MESSAGE.search(data[:LONGEST_ERROR])
    text = f"{where}: {status} {message[1] if message else data[:200]}"
    return (Temporary if status in (408, 429) or status >= 500 else NodeError)(text, status)


def request(
    method: str,
    url: str,
    body: Any = None,
    headers: Optional[Mapping[str, str]] = None,
    context: Optional[ssl.SSLContext] = None,
    socket_path: str = "",
    timeout: float = 30,
    proxy: str = "",
    neighbour: bool = False,
    largest: int = LARGEST_ANSWER,
) -> Answer:
    """Send one request and return headers and body of its answer.

    A body that is not JSON is returned as text.

    :param body: sent as JSON unless None
    :param socket_path: connect to this unix socket instead of the URL's host
    :param timeout: seconds for each read after the connection is made
    :param proxy: URL of the HTTP proxy to ask, with user and password if it wants them
    :param neighbour: whether the server accepts only hosts of the same network
    :param largest: bytes that the body may have
    :raises Temporary: no connection, no answer, too large a one, or status 408, 429, 5xx
    :raises NodeError: any other status of 400 or more, or a certificate that does not verify
    """
    where = method + " " + url.partition("?")[0]
    kind: Any = http.client.HTTPConnection
    extra = {}
    try:
        parts, via = urlsplit(url), urlsplit(proxy)
        if parts.scheme == "https":
            kind = http.client.HTTPSConnection
            extra = {"context": context or tls()}
        target = via if proxy else parts
        path = parts.path + (f"?{parts.query}" if parts.query else "")
        login = _login(via)
        connection = kind(target.hostname, target.port, timeout=CONNECT_TIMEOUT, **extra)
        if proxy and extra:
            connection.set_tunnel(parts.hostname, parts.port, login)
        elif proxy:
            path, headers = url, {**login, **(headers or {})}
    except ValueError as error:
        raise NodeError(f"{where}: {error}") from error
    try:
        if socket_path:
            connection.sock = socket.socket(socket.AF_UNIX)
            connection.sock.connect(socket_path)
        elif neighbour:
            connection.sock = _neighbour(parts.hostname or "", parts.port or 443, context or tls())
        else:
            connection.connect()
        connection.sock.settimeout(timeout)
        connection.request(
            method,
            path,
            None if body is None else json.dumps(body).encode(),
            {"Accept": "application/json", "Content-Type": "application/json", **(headers or {})},
        )
        response = connection.getresponse()
        status = response.status
        raw = _read(response, largest)
        found = {name.lower(): value for name, value in response.getheaders()}
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise _failure(where, error) from error
    finally:
        connection.close()
    if len(raw) > largest:
        raise Temporary(f"{where}: {status}, and more than {largest} bytes")
    data = raw.decode(errors="replace")
    if status >= 400:
        raise _refusal(where, status, data)
    try:
        return found, parsed(data)
    except ValueError:
        return found, data
