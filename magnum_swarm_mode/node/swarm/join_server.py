# SPDX-License-Identifier: Apache-2.0
"""Serves the worker token over TLS to callers that know the node group's secret.

POST /v1/worker-token {"secret": "…"} -> 200 {"token": "…", "managers": ["address:2377", …]};
401 wrong secret, 409 the address is in the swarm already, 429 too often, 503 no swarm here now.
"""

import grp
import hashlib
import hmac
import json
import os
import pwd
import ssl
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Callable, Dict, List, Tuple
from urllib.parse import quote

from ..base.docker import Docker, SwarmNode
from ..base.errors import NodeError, Temporary
from ..base.node import Node
from . import formation, settings

PATH = "/v1/worker-token"
# The label of the swarm's configs with the digests of further node groups' secrets.
GROUP = "magnum-swarm-mode.join-secret"
LONGEST_BODY = 4096  # bytes
CLIENT_TIMEOUT = 10  # seconds for each read from a client
MOST_CLIENTS = 64  # at once; whoever comes on top is cut off and tries again
SPACING = 0.5  # seconds between two requests of one address
PENALTY = 5.0  # seconds after a wrong secret
NODES_AGE = 1.0  # seconds for which a list of nodes is used again


class Tokens:
    """Answers requests; every token comes from the own engine at that moment.

    :param secret: what callers must know
    """

    def __init__(
        self, secret: str, docker: Docker, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._secret = secret.encode()
        self._docker = docker
        self._clock = clock
        self._next: Dict[str, float] = {}  # when an address may ask again
        self._guard = threading.Lock()
        self._nodes: List[SwarmNode] = []
        self._nodes_until = 0.0

    def answer(self, address: str, body: bytes) -> Dict[str, Any]:
        """Return the JSON that answers a request from an address.

        :raises NodeError: with the HTTP status that says why not
        """
        with self._guard:
            now = self._clock()
            self._next = {key: at for key, at in self._next.items() if at > now}
            if address in self._next:
                raise NodeError("too many requests from this address", 429)
            self._next[address] = now + SPACING
        try:
            given = json.loads(body)["secret"].encode()
        except (ValueError, KeyError, TypeError, AttributeError):
            raise NodeError('a JSON object with "secret" is expected', 400) from None
        if not hmac.compare_digest(given, self._secret) and not self._is_of_group(given):
            self._next[address] = now + PENALTY
            raise NodeError("the node group's secret is wrong", 401)
        return self._grant(address)

    def _is_of_group(self, secret: bytes) -> bool:
        """Say whether a secret is that of a further node group, whose digest Magnum left here."""
        label = f"{GROUP}={hashlib.sha256(secret).hexdigest()}"
        filters = quote(json.dumps({"label": [label]}))
        return bool(self._docker.call("GET", f"/configs?filters={filters}"))

    def _grant(self, address: str) -> Dict[str, Any]:
        if self._clock() >= self._nodes_until:
            self._nodes = self._docker.nodes()
            self._nodes_until = self._clock() + NODES_AGE
        nodes = self._nodes
        for node_id in formation.admit_worker(nodes, address):
            self._docker.delete(f"/nodes/{node_id}?force=true")
        managers = [node.manager_address for node in nodes if node.reachability == "reachable"]
        return {"token": self._docker.tokens()[0], "managers": managers}


class Server(ThreadingHTTPServer):
    """A TLS server whose handshakes happen in the clients' threads."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, address: Tuple[str, int], context: ssl.SSLContext, tokens: Tokens) -> None:
        super().__init__(address, Handler)
        self.context = context
        self.tokens = tokens
        self._places = threading.BoundedSemaphore(MOST_CLIENTS)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Give each client a thread while there are places."""
        if self._places.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Shake hands and answer; a client that fails at it is nobody's problem but its own."""
        try:
            request.settimeout(CLIENT_TIMEOUT)
            request = self.context.wrap_socket(request, server_side=True)
            self.finish_request(request, client_address)
        except OSError as error:
            print(f"{client_address[0]}: {error}", flush=True)
        finally:
            self.shutdown_request(request)
            self._places.release()


class Handler(BaseHTTPRequestHandler):
    """One request, then the connection ends."""

    server: Server

    def do_POST(self) -> None:
        """Answer a request for the worker token."""
        address = self.client_address[0]
        length = self.headers.get("Content-Length", "")
        status = 200
        try:
            if self.path != PATH:
                raise NodeError("nothing here", 404)
            if not length.isdigit() or int(length) > LONGEST_BODY:
                raise NodeError(f"at most {LONGEST_BODY} bytes are expected", 413)
            body = self.server.tokens.answer(address, self.rfile.read(int(length)))
        except NodeError as error:
            status = 503 if isinstance(error, Temporary) else error.status or 500
            body = {"message": str(error)}
        self.send_response(status)
        self.end_headers()
        self.wfile.write(json.dumps(body).encode())
        print(address, status, body.get("message", "worker token"), flush=True)

    def log_message(self, *_: Any) -> None:
        """Keep http.server from writing lines of its own."""


def serve(node: Node) -> None:
    """Serve until there are new settings, as nobody in the group that may use the engine's socket.

    They are taken over at the start, by root; systemd starts this again.

    :raises NodeError: the certificate cannot be loaded or the port is taken
    """
    try:
        applied = settings.apply(node)
    except Exception as error:
        # Workers get their tokens whatever is wrong with the settings.
        node.say(f"settings: {error}")
        applied = -1
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    port = node.config.join_port
    try:
        context.load_cert_chain(node.paths.certificate)
        server = Server(("0.0.0.0", port), context, Tokens(node.config.join_secret, node.docker))
    except OSError as error:
        raise NodeError(f"port {port} cannot be served: {error}") from error
    os.setgroups([])
    os.setgid(grp.getgrnam("docker").gr_gid)
    os.setuid(pwd.getpwnam("nobody").pw_uid)
    watched = (node, applied, server.shutdown)
    threading.Thread(target=settings.watch, args=watched, daemon=True).start()
    server.serve_forever()
