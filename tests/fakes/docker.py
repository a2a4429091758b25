# SPDX-License-Identifier: Apache-2.0
"""The part of the Docker API that the conductor asks for, over TLS on a loopback address."""

import contextlib
import http.server
import json
import pathlib
import ssl
import threading
import urllib.parse
from collections.abc import Callable
from typing import Any

import fixtures

NO_LEADER = (
    "rpc error: code = Unknown desc = The swarm does not have a leader. It's possible that too "
    "few managers are online. Make sure more than half of the managers are online."
)


TLS_INFO = {"TrustRoot": "root 0", "CertIssuerSubject": "c3dhcm0=", "CertIssuerPublicKey": "MA=="}


def node(hostname, *, manager=None, leader=False, state="ready", engine="20.10.24", **more):
    """Return a node as ``GET /nodes`` describes it; ``manager`` is its reachability."""
    described: dict[str, Any] = {
        "ID": f"id-of-{hostname}-{more.get('number', 0)}",
        "Version": {"Index": 10},
        "Spec": {
            "Availability": more.get("availability", "active"),
            "Role": "manager" if manager else "worker",
            "Labels": {},
        },
        "Description": {
            "Hostname": hostname,
            "Engine": {"EngineVersion": engine},
            "Resources": {"NanoCPUs": 2_000_000_000, "MemoryBytes": 4 * 2**30},
            "TLSInfo": dict(TLS_INFO),
        },
        "Status": {"State": state},
    }
    if more.get("message"):
        described["Status"]["Message"] = more["message"]
    if manager:
        described["ManagerStatus"] = {"Reachability": manager, "Addr": "10.0.0.1:2377"}
        if leader:
            described["ManagerStatus"]["Leader"] = True
    return described


class FakeDocker(fixtures.Fixture):
    """One manager's API.

    :ivar answers: path without version to status and body; bytes are sent as they are.
    :ivar requests: paths that were asked for.
    :ivar changes: what was done to nodes: host name, and what it was set to or ``"removed"``.
    :ivar connections: how many TLS connections were made.
    :ivar delay: seconds before each answer.
    :ivar drip: seconds between the bytes of an answer.
    :ivar chunked: whether answers come in chunks instead of with a length.
    :ivar on_config: called with each new config, after it is there.
    :ivar on_headers: called with the headers of each question.
    :ivar meanwhile: what happens once, just before the next change.
    :ivar cut: whether the connection ends in the middle of an answer.
    """

    def __init__(self, authority_pem, pair, address="127.0.0.1", port=0):
        super().__init__()
        self._authority_pem, self._pair = authority_pem, pair
        self.address, self.port = address, port
        self.requests: list[str] = []
        self.changes: list[tuple[str, Any]] = []
        self.connections = 0
        self.delay = self.drip = 0.0
        self.chunked = self.cut = False
        self.serial = 0
        self.on_config: Callable[[Any], Any] = lambda spec: None
        self.on_headers: Callable[[Any], Any] = lambda headers: None
        self.meanwhile: Callable[[], Any] | None = None
        self._ends = contextlib.ExitStack()
        self.stopping = threading.Event()
        self.answers: dict[str, tuple[int, Any]] = {
            "/version": (200, {"Version": "20.10.24+dfsg1", "ApiVersion": "1.41"}),
            "/nodes": (200, [node("manager-0", manager="reachable", leader=True)]),
            "/services": (200, []),
            "/tasks": (200, []),
            "/configs": (200, []),
            "/swarm": (
                200,
                {
                    "Version": {"Index": 5},
                    "Spec": {"CAConfig": {"NodeCertExpiry": 7776000000000000}},
                    "TLSInfo": dict(TLS_INFO),
                    "RootRotationInProgress": False,
                    "JoinTokens": {"Worker": "SWMTKN-1-root-w0", "Manager": "SWMTKN-1-root-m0"},
                },
            ),
        }

    def _setUp(self):  # noqa: N802 (fixtures)
        directory = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        (directory / "pair.pem").write_text(f"{self._pair.certificate}\n{self._pair.key}")
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(directory / "pair.pem")
        self.context.load_verify_locations(cadata=self._authority_pem)
        self.context.verify_mode = ssl.CERT_REQUIRED
        server = _Server((self.address, self.port), _Handler)
        server.fake = self
        self.addCleanup(self.stop)
        self._ends.callback(server.server_close)
        self.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        self._ends.callback(thread.join)
        self._ends.callback(server.shutdown)
        self._ends.callback(self.stopping.set)

    def change(self, method, path, version, spec):
        """Do to a node what the engine would; return status and body of the answer."""
        if self.meanwhile is not None:
            happening, self.meanwhile = self.meanwhile, None
            happening()
        if path.startswith("/configs/"):
            return self._change_config(method, path, spec)
        if path == "/swarm/update":
            return self._change_swarm(version, spec)
        nodes = self.answers["/nodes"][1]
        identifier = path.split("/")[2]
        found = next((node for node in nodes if node["ID"] == identifier), None)
        if found is None:
            return 404, {"message": f"node {identifier} not found"}
        hostname = found["Description"]["Hostname"]
        if method == "DELETE":
            if found.get("ManagerStatus"):
                return 400, {"message": "node is a cluster manager and is a member of the raft"}
            nodes.remove(found)
            self.changes.append((hostname, "removed"))
            return 200, {}
        if version != str(found["Version"]["Index"]):
            return 500, {"message": "rpc error: code = Unknown desc = update out of sequence"}
        found["Version"]["Index"] += 1
        changed = {key: value for key, value in spec.items() if found["Spec"].get(key) != value}
        self.changes.append((hostname, changed))
        found["Spec"] = spec
        if spec.get("Role") == "worker" and found.pop("ManagerStatus", {}).get("Leader"):
            next(n for n in nodes if n.get("ManagerStatus"))["ManagerStatus"]["Leader"] = True
        return 200, {}

    def _change_config(self, method, path, spec):
        configs = self.answers["/configs"][1]
        if method == "POST":
            if any(one["Spec"]["Name"] == spec["Name"] for one in configs):
                return 409, {"message": f"config {spec['Name']} already exists"}
            configs.append({"ID": f"config-{self.serial}", "Spec": spec})
            self.serial += 1
            self.on_config(spec)
            return 201, {"ID": configs[-1]["ID"]}
        configs[:] = [one for one in configs if one["ID"] != path.split("/")[2]]
        return 204, {}

    def _change_swarm(self, version, spec):
        """Rotate the swarm's root, at once on all nodes that are ready, and both join tokens."""
        swarm = self.answers["/swarm"][1]
        if version != str(swarm["Version"]["Index"]):
            return 500, {"message": "rpc error: code = Unknown desc = update out of sequence"}
        swarm["Version"]["Index"] += 1
        before = swarm["Spec"]["CAConfig"].get("ForceRotate", 0)
        number = spec["CAConfig"].get("ForceRotate", 0)
        swarm["Spec"] = spec
        if number != before:
            told = {"TrustRoot": f"root {number}", "CertIssuerPublicKey": f"key {number}"}
            swarm["TLSInfo"].update(told)
            for one in self.answers["/nodes"][1]:
                if one["Status"]["State"] == "ready":
                    one["Description"]["TLSInfo"].update(told)
            swarm["JoinTokens"] = {
                "Worker": f"SWMTKN-1-root-w{number}",
                "Manager": f"SWMTKN-1-root-m{number}",
            }
        return 200, {}

    def stop(self):
        """End the manager with all its connections; a second time changes nothing."""
        self.stopping.set()
        self._ends.close()


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    fake: FakeDocker

    def handle_error(self, request, client_address):
        pass  # clients that give up are what some tests are about


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # head and body are two packets
    server: _Server

    def setup(self):
        self.fake = self.server.fake
        self.request = self.fake.context.wrap_socket(self.request, server_side=True)
        self.fake.connections += 1
        super().setup()

    def log_message(self, *args):
        pass

    def do_POST(self):
        self._change()

    def do_DELETE(self):
        self._change()

    def _change(self):
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length)
        url = urllib.parse.urlsplit(self.path)
        self.fake.requests.append(f"{self.command} {url.path}")
        version = urllib.parse.parse_qs(url.query).get("version", [""])[0]
        status, answer = self.fake.change(
            self.command, "/" + url.path.split("/", 2)[2], version, json.loads(body or b"{}")
        )
        text = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def do_GET(self):
        fake = self.fake
        if fake.stopping.is_set():
            self.close_connection = True
            return
        path = urllib.parse.urlsplit(self.path).path
        fake.requests.append(path)
        fake.on_headers(self.headers)
        if path.startswith("/v1."):
            path = "/" + path.split("/", 2)[2]
        fake.stopping.wait(fake.delay)
        status, body = fake.answers[path]
        text = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        if fake.chunked:
            self._send_chunks(text)
            return
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        if fake.cut:
            self.wfile.write(text[: len(text) // 2])
            self.close_connection = True
        elif fake.drip:
            self._drip(text)
        else:
            self.wfile.write(text)

    def _send_chunks(self, text):
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for start in range(0, len(text), 10_000):
            piece = text[start : start + 10_000]
            self.wfile.write(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
        self.wfile.write(b"0\r\n\r\n")

    def _drip(self, text):
        for byte in text:
            self.wfile.write(bytes([byte]))
            self.wfile.flush()
            if self.fake.stopping.wait(self.fake.drip):
                return
