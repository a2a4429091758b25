# SPDX-License-Identifier: Apache-2.0
"""A server over TLS for callers that know a secret, and its service for workers.

POST /v1/worker-token {"secret": "…"} -> 200 {"token": "…", "managers": ["address:2377", …]};
401 wrong secret, 409 the address is in the swarm already, 429 too often, 503 no swarm here now.
"""

import contextlib
import hashlib
import hmac
import io
import json
import re
import socket
import ssl
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Callable, Dict, List, Tuple
from urllib.parse import quote

from ..base import web
from ..base.docker import Docker, SwarmNode
from ..base.errors import NodeError, Temporary
from ..base.web import AEAD
from . import formation

PATH = "/v1/worker-token"
# The label of the swarm's configs with the digests of further node groups' secrets.
GROUP = "magnum-swarm-mode.join-secret"
LONGEST_BODY = 4096  # bytes
LONGEST_REQUEST = 2 * LONGEST_BODY  # bytes, with its headers
CLIENT_TIMEOUT = 10  # seconds for a client's handshake and request together
MOST_CLIENTS = 64  # that send at once; one more takes the place of the oldest
MOST_OF_ADDRESS = 4  # of these, from one address
SPACING = 0.5  # seconds between two requests of one address
PENALTY = 5.0  # seconds after a wrong secret
NODES_AGE = 1.0  # seconds for which a list of nodes is used again


class Service:
    """Answers requests of callers that know a secret.

    :cvar path: what is asked for
    :ivar own: the address of this host, which alone serves other hosts then; empty for any caller
    :param secret: what callers must know
    """

    path = ""

    def __init__(self, secret: str, clock: Callable[[], float] = time.monotonic) -> None:
        self.own = ""
        self._secret = secret.encode()
        self._clock = clock
        self._next: Dict[str, float] = {}  # when an address may ask again
        self._guard = threading.Lock()

    def answer(self, address: str, body: bytes) -> Dict[str, Any]:
        """Return the JSON that answers a request from an address.

        :raises NodeError: with the HTTP status that says why not
        """
        if self.own and not web.is_neighbour(self.own, address):
            raise NodeError("this address is no other host of the cluster's network", 403)
        with self._guard:
            now = self._clock()
            self._next = {key: at for key, at in self._next.items() if at > now}
            if address in self._next:
                raise NodeError("too many requests from this address", 429)
            self._next[address] = now + SPACING
        try:
            # json.loads() would read other encodings of bytes, too.
            request = json.loads(body.decode())
            given = request["secret"].encode()
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            raise NodeError('a JSON object with "secret" is expected', 400) from None
        if not self._is_known(given):
            self._next[address] = now + PENALTY
            raise NodeError("the node group's secret is wrong", 401)
        return self._grant(address, request)

    def _is_known(self, secret: bytes) -> bool:
        return hmac.compare_digest(secret, self._secret)

    def _grant(self, address: str, request: Dict[str, Any], /) -> Dict[str, Any]:
        raise NotImplementedError


class Tokens(Service):
    """Gives the worker token; every token comes from the own engine at that moment."""

    path = PATH

    def __init__(
        self, secret: str, docker: Docker, clock: Callable[[], float] = time.monotonic
    ) -> None:
        super().__init__(secret, clock)
        self._docker = docker
        self._nodes: List[SwarmNode] = []
        self._nodes_until = 0.0

    def _is_known(self, secret: bytes) -> bool:
        """Say whether a secret is the own group's, or that of one whose digest Magnum left here."""
        if super()._is_known(secret):
            return True
        label = f"{GROUP}={hashlib.sha256(secret).hexdigest()}"
        filters = quote(json.dumps({"label": [label]}))
        return bool(self._docker.call("GET", f"/configs?filters={filters}"))

    def _grant(self, address: str, _: Dict[str, Any]) -> Dict[str, Any]:
        if self._clock() >= self._nodes_until:
            self._nodes = self._docker.nodes()
            self._nodes_until = self._clock() + NODES_AGE
        nodes = self._nodes
        for node_id in formation.admit_worker(nodes, address):
            self._docker.delete(f"/nodes/{node_id}?force=true")
        managers = [node.manager_address for node in nodes if node.reachability == "reachable"]
        return {"token": self._docker.tokens()[0], "managers": managers}


class Server(ThreadingHTTPServer):
    """A TLS server whose handshakes happen in the clients' threads.

    A connection has one deadline over its handshake and its request. Where there is no place left
    for one that still sends, one of the address that connected most often lately is dropped, the
    oldest first: a client in good order connects seldom, and needs milliseconds.
    """

    daemon_threads = True
    # The kernel drops what comes on top, and a client tries again after 1, 3, 7 and 15 s.
    request_queue_size = 4096

    def __init__(self, address: Tuple[str, int], context: ssl.SSLContext, service: Service) -> None:
        super().__init__(address, Handler)
        self.context = context
        self.service = service
        # For requests that are being answered: as many as may wait for the engine.
        self.places = threading.BoundedSemaphore(MOST_CLIENTS)
        self._guard = threading.Lock()
        # Connections whose request has not been read, oldest first: address and deadline.
        self._sending: Dict[Any, Tuple[str, float]] = {}
        self._connected: Dict[str, int] = {}  # address to how often since the last reset
        self._reset = 0.0

    def get_request(self) -> Tuple[Any, Any]:
        """Accept a connection; its handshake is still to come."""
        request, address = super().get_request()
        request.settimeout(CLIENT_TIMEOUT)
        wrap = self.context.wrap_socket
        return wrap(request, server_side=True, do_handshake_on_connect=False), address

    def process_request(self, request: Any, client_address: Any) -> None:
        """Give each client a thread; an address with too many connections loses its oldest."""
        source, now = client_address[0], time.monotonic()
        with self._guard:
            if now >= self._reset:
                self._connected, self._reset = {}, now + CLIENT_TIMEOUT
            self._connected[source] = self._connected.get(source, 0) + 1
            same = [one for one, (address, _) in self._sending.items() if address == source]
            if len(same) >= MOST_OF_ADDRESS:
                self._drop(same[0])
            elif len(self._sending) >= MOST_CLIENTS:
                self._drop(max(self._sending, key=self._times))
            self._sending[request] = (source, now + CLIENT_TIMEOUT)
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Shake hands and answer; no error of one connection ends in another one."""
        try:
            request.do_handshake()
            self.finish_request(request, client_address)
        except Exception as error:
            print(f"{client_address[0]}: {error!r}", flush=True)
        finally:
            self.has_sent(request)
            self.shutdown_request(request)

    def has_sent(self, request: Any) -> None:
        """Note that a connection is not waited for any more."""
        with self._guard:
            self._sending.pop(request, None)

    def service_actions(self) -> None:
        """Drop the connections whose deadline has passed; called twice a second."""
        now = time.monotonic()
        with self._guard:
            for request in [one for one, (_, end) in self._sending.items() if end <= now]:
                self._drop(request)

    def _times(self, request: Any) -> int:
        """Return how often the address of a connection has connected lately."""
        return self._connected.get(self._sending[request][0], 0)

    def _drop(self, request: Any) -> None:
        """End a connection; its thread, which waits for bytes, sees the end of the stream."""
        del self._sending[request]
        # The client may have been first. Not SSLSocket.shutdown(), which takes TLS away from the
        # thread that reads.
        with contextlib.suppress(OSError):
            socket.socket.shutdown(request, socket.SHUT_RDWR)


class Bounded(io.RawIOBase):
    """What a connection sends, which ends after the longest request."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._left = LONGEST_REQUEST

    def readable(self) -> bool:
        """Return that it can be read."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Read what is there, and return the number of bytes; 0 at the end."""
        size = min(len(buffer), self._left)
        read: int = self._connection.recv_into(buffer, size) if size else 0
        self._left -= read
        return read


class Handler(BaseHTTPRequestHandler):
    """One request, then the connection ends."""

    server: Server

    def setup(self) -> None:
        """Bound what is read, headers included."""
        super().setup()
        self.rfile = io.BufferedReader(Bounded(self.connection))

    def do_POST(self) -> None:
        """Answer a request."""
        address = self.client_address[0]
        status = 200
        try:
            body = self._answer(address)
        except NodeError as error:
            status = 503 if isinstance(error, Temporary) else error.status or 500
            body = {"message": str(error)}
        self.send_response(status)
        self.end_headers()
        self.wfile.write(json.dumps(body).encode())
        print(address, status, body.get("message", self.path), flush=True)

    def _answer(self, address: str) -> Dict[str, Any]:
        if self.path != self.server.service.path:
            raise NodeError("nothing here", 404)
        length = self.headers.get("Content-Length", "")
        if length and not re.fullmatch("[0-9]+", length):
            raise NodeError("Content-Length is not a number", 400)
        if not 0 < len(length) < 5 or int(length) > LONGEST_BODY:
            raise NodeError(f"at most {LONGEST_BODY} bytes are expected", 413)
        given = self.rfile.read(int(length))
        self.server.has_sent(self.connection)
        if not self.server.places.acquire(blocking=False):
            raise Temporary("too many requests wait for the engine")
        try:
            return self.server.service.answer(address, given)
        finally:
            self.server.places.release()

    def log_message(self, *_: Any) -> None:
        """Keep http.server from writing lines of its own."""


def tls() -> ssl.SSLContext:
    """Return the server's context, without its certificate: AEAD suites of TLS 1.2 and 1.3."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(AEAD)
    return context
