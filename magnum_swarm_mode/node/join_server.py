# SPDX-License-Identifier: Apache-2.0
"""Serves the worker token over TLS to callers that know the node group's secret.

POST /v1/worker-token {"secret": "…"} -> 200 {"token": "…", "managers": ["address:2377", …]};
401 wrong secret, 409 the address is in the swarm already, 429 too often, 503 no swarm here now.
"""

import grp
import hmac
import json
import os
import pwd
import ssl
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Callable, Dict, List, Tuple

from . import formation
from .config import Config
from .docker import Docker, SwarmNode
from .errors import NodeError, Temporary
from .paths import Paths

PATH = "/v1/worker-token"
LONGEST_BODY = 4096  # bytes
CLIENT_TIMEOUT = 10.0  # seconds for each read from a client
MOST_CLIENTS = 64  # at once; whoever comes on top is cut off and tries again
SPACING = 0.5  # seconds between two requests of one address
PENALTY = 5.0  # seconds after a wrong secret
NODES_AGE = 1.0  # seconds for which a list of nodes is used again


class Limiter:
    """How often each address may ask."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._next: Dict[str, float] = {}
        self._guard = threading.Lock()

    def allow(self, address: str) -> bool:
        """Say whether an address may ask now, and count it."""
        with self._guard:
            now = self._clock()
            if len(self._next) > 10000:
                self._next = {key: at for key, at in self._next.items() if at > now}
            if self._next.get(address, 0.0) > now:
                return False
            self._next[address] = now + SPACING
            return True

    def punish(self, address: str) -> None:
        """Let an address wait longer."""
        with self._guard:
            self._next[address] = self._clock() + PENALTY


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
        self._limiter = Limiter(clock)
        self._nodes: Tuple[float, List[SwarmNode]] = (float("-inf"), [])

    def answer(self, address: str, body: bytes) -> Tuple[int, Dict[str, Any]]:
        """Return status and JSON for a request from an address."""
        if not self._limiter.allow(address):
            return 429, {"message": "too many requests from this address"}
        try:
            given = json.loads(body)["secret"].encode()
        except (ValueError, KeyError, TypeError, AttributeError):
            return 400, {"message": 'a JSON object with "secret" is expected'}
        if not hmac.compare_digest(given, self._secret):
            self._limiter.punish(address)
            return 401, {"message": "the node group's secret is wrong"}
        try:
            return self._grant(address)
        except Temporary as error:
            return 503, {"message": str(error)}
        except NodeError as error:
            return 500, {"message": str(error)}

    def _grant(self, address: str) -> Tuple[int, Dict[str, Any]]:
        at, nodes = self._nodes
        if self._clock() - at > NODES_AGE:
            nodes = self._docker.nodes()
            self._nodes = (self._clock(), nodes)
        admission = formation.admit_worker(nodes, address)
        if not admission.granted:
            return 409, {"message": admission.why}
        for node_id in admission.dead:
            self._docker.remove(node_id)
        managers = [node.manager_address for node in nodes if node.reachability == "reachable"]
        return 200, {"token": self._docker.tokens()[0], "managers": managers}


class Server(ThreadingHTTPServer):
    """A TLS server whose handshakes happen in the clients' threads."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(
        self,
        address: Tuple[str, int],
        context: ssl.SSLContext,
        tokens: Tokens,
        log: Callable[[str], None],
    ) -> None:
        super().__init__(address, Handler)
        self.context = context
        self.tokens = tokens
        self.log = log
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
            secured = self.context.wrap_socket(request, server_side=True)
            super().process_request_thread(secured, client_address)
        except OSError:
            self.shutdown_request(request)
        finally:
            self._places.release()

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002
        """Say in one line that a client went away."""
        self.log(f"{client_address[0]} went away")


class Handler(BaseHTTPRequestHandler):
    """One request, then the connection ends."""

    server: Server
    server_version = "join"
    sys_version = ""

    def do_POST(self) -> None:
        """Answer a request for the worker token."""
        address = self.client_address[0]
        length = self.headers.get("Content-Length", "")
        if self.path != PATH:
            status, body = 404, {"message": "nothing here"}
        elif not length.isdigit() or int(length) > LONGEST_BODY:
            status, body = 413, {"message": f"1 to {LONGEST_BODY} bytes are expected"}
        else:
            status, body = self.server.tokens.answer(address, self.rfile.read(int(length)))
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)
        self.server.log(f"{address}: {status} {body.get('message', 'worker token')}")

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Keep http.server from writing lines of its own."""


def drop_privileges() -> None:
    """Become nobody in the group that may use the engine's socket."""
    os.setgroups([])
    os.setgid(grp.getgrnam("docker").gr_gid)
    os.setuid(pwd.getpwnam("nobody").pw_uid)


def serve(config: Config, paths: Paths, docker: Docker, log: Callable[[str], None]) -> None:
    """Serve until the process ends.

    :raises NodeError: the certificate cannot be loaded or the port is taken
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(paths.certificate)
        server = Server(
            ("0.0.0.0", config.join_port), context, Tokens(config.join_secret, docker), log
        )
    except OSError as error:
        raise NodeError(f"port {config.join_port} cannot be served: {error}") from error
    drop_privileges()
    server.serve_forever()
