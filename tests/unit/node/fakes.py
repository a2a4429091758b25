# SPDX-License-Identifier: Apache-2.0
"""Fakes at the wire: an engine, the services of a cloud, and programs in PATH."""

import base64
import contextlib
import io
import json
import pathlib
import socket
import socketserver
import ssl
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qs

import fixtures
from oslotest import base

from magnum_swarm_mode.node import main
from magnum_swarm_mode.node.base import config as node_config
from magnum_swarm_mode.node.base import node as node_module
from magnum_swarm_mode.node.base import wait
from magnum_swarm_mode.node.base.docker import SwarmNode
from magnum_swarm_mode.node.base.paths import Paths

UUID = "6ba7b810-9dad-11d1-80b4-00c04fd430c8"
SERVER = "16fd2706-8baf-433b-82eb-8c7fada847da"


def config_json(role: str = "manager", managers: Any = 3, **changes: Any) -> dict[str, Any]:
    """Return a configuration as user-data has it; changes replace whole sections."""
    config: dict[str, Any] = {
        "version": 1,
        "role": role,
        "node_group": "default-master",
        "cluster": {"uuid": UUID, "name": "c"},
        "managers": managers
        if isinstance(managers, dict)
        else {
            str(index): {"address": f"127.0.0.{11 + index}", "floating_address": ""}
            for index in range(managers)
        },
        "signal": json.dumps(
            {
                "auth_url": "http://127.0.0.1:1/v3",
                "user_id": "u",
                "password": "signal-password",
                "project_id": "p",
                "alarm_url": "http://127.0.0.1:1/signal",
            }
        ),
        "join": {"port": 2378, "secret": "bootstrap-secret", "timeout": 1200},
        "engine": {"mtu": 1450, "daemon": {"storage-driver": "overlay2"}},
        "swarm": {"address_pool": "10.88.0.0/16", "manager_availability": "drain"},
        "api": {"port": 2376, "addresses": ["172.24.4.9"]},
        "openstack": {
            "auth_url": "http://127.0.0.1:1/v3",
            "magnum_url": "http://127.0.0.1:1/v1",
            "application_credential_id": "id",
            "application_credential_secret": "credential-secret",
        },
    }
    if role == "worker":
        config["ca_certificate"] = "PEM"
        config["openstack"] = {"ca_certificate": ""}
    config.update(changes)
    return config


def parse_config(role: str = "manager", managers: Any = 3, **changes: Any) -> node_config.Config:
    """Return a checked configuration."""
    return node_config.parse(json.dumps(config_json(role, managers, **changes)))


def swarm_node(
    identifier: str = "n",
    address: str = "127.0.0.11",
    role: str = "manager",
    state: str = "ready",
    reachability: str | None = None,
) -> SwarmNode:
    """Return an entry of the list of nodes; a manager is reachable unless told otherwise."""
    if reachability is None:
        reachability = "reachable" if role == "manager" else ""
    return SwarmNode(
        id=identifier,
        version=1,
        role=role,
        state=state,
        address=address,
        reachability=reachability,
        manager_address=f"{address}:2377" if reachability else "",
        spec={"Role": role},
    )


class Request:
    """What a fake server got."""

    def __init__(self, method: str, path: str, headers: Any, body: Any) -> None:
        self.method = method
        self.path = path
        self.headers = headers
        self.body = body


class _Handler(BaseHTTPRequestHandler):
    def _answer(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        data = self.rfile.read(length)
        request = Request(self.command, self.path, self.headers, json.loads(data) if data else None)
        status, headers, body = self.server.fake.answer(request)  # type: ignore[attr-defined]
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if body is not None:
            self.wfile.write(body if isinstance(body, bytes) else json.dumps(body).encode())

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def do_DELETE(self) -> None:
        self._answer()

    def date_time_string(self, timestamp: float | None = None) -> str:
        date = getattr(self.server.fake, "date", "")  # type: ignore[attr-defined]
        return date or super().date_time_string(timestamp)

    def address_string(self) -> str:
        return "client"

    def log_message(self, *_: Any) -> None:
        pass


class _TcpServer(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True


class _UnixServer(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True


class Server(fixtures.Fixture):
    """An HTTP server in a thread; answer() is what it says.

    :param where: a path for a unix socket, else a port is chosen on the loopback address
    :param context: for TLS
    """

    def __init__(self, where: str = "", context: ssl.SSLContext | None = None) -> None:
        super().__init__()
        self.where = where
        self.context = context
        self.requests: list[Request] = []
        self.answers: dict[str, tuple[int, dict[str, str], Any]] = {}

    def _setUp(self) -> None:  # noqa: N802 (the name that fixtures call)
        server: Any
        if self.where:
            server = _UnixServer(self.where, _Handler)
        else:
            server = _TcpServer(("127.0.0.1", 0), _Handler)
            self.port = server.server_address[1]
            scheme = "https" if self.context else "http"
            self.url = f"{scheme}://127.0.0.1:{self.port}"
            if self.context:
                server.socket = self.context.wrap_socket(server.socket, server_side=True)
        server.fake = self
        self.addCleanup(server.server_close)
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        self.addCleanup(thread.join)
        self.addCleanup(server.shutdown)

    def answer(self, request: Request) -> tuple[int, dict[str, str], Any]:
        self.requests.append(request)
        key = f"{request.method} {request.path}"
        return self.answers.get(key, (404, {}, {"message": f"no {key}"}))

    def calls(self) -> list[str]:
        """Return method and path of every request so far."""
        return [f"{request.method} {request.path}" for request in self.requests]


class Cloud(Server):
    """Keystone, Magnum and Heat: every call needs the token that Keystone gave."""

    def __init__(self) -> None:
        super().__init__()
        self.status = "CREATE_IN_PROGRESS"
        self.signals: list[dict[str, Any]] = []
        self.date = ""
        self.issued_at: Any = ""
        self.failures = 0  # how many of the next requests are answered with 503
        self.sign: Any = lambda csr: f"certificate of {csr}"
        self.ca = "the CA"
        self.refuse = 0  # status of every call with a token
        self.special: dict[str, tuple[int, Any]] = {}  # by path: status and body instead

    def answer(self, request: Request) -> tuple[int, dict[str, str], Any]:
        self.requests.append(request)
        if self.failures:
            self.failures -= 1
            return 503, {}, {"error": {"message": "not now"}}
        if request.path == "/v3":
            return 200, {}, {}
        if request.path == "/v3/auth/tokens":
            return 201, {"X-Subject-Token": "token"}, {"token": {"issued_at": self.issued_at}}
        if request.headers.get("X-Auth-Token") != "token":
            return 401, {}, {"error": {"message": "no token"}}
        if request.path in self.special:
            status, body = self.special[request.path]
            return status, {}, body
        if self.refuse:
            return self.refuse, {}, {"errors": [{"detail": "it is refused"}]}
        if request.path == "/v1/certificates":
            return 201, {}, {"pem": self.sign(request.body["csr"])}
        if request.path == f"/v1/certificates/{UUID}":
            return 200, {}, {"pem": self.ca}
        if request.path == f"/v1/clusters/{UUID}":
            return 200, {}, {"status": self.status}
        if request.path == "/signal":
            self.signals.append(request.body)
            return 200, {}, None
        return 404, {}, None

    def sections(self) -> dict[str, Any]:
        """Return the sections of a configuration that point here."""
        return {
            "openstack": {
                "auth_url": f"{self.url}/v3",
                "magnum_url": f"{self.url}/v1",
                "application_credential_id": "id",
                "application_credential_secret": "credential-secret",
            },
            "signal": json.dumps(
                {
                    "auth_url": f"{self.url}/v3",
                    "user_id": "u",
                    "password": "signal-password",
                    "project_id": "p",
                    "alarm_url": f"{self.url}/signal",
                }
            ),
        }


class Engine(Server):
    """A Docker Engine: state in the swarm, nodes, configs and networks."""

    def __init__(self, where: str = "", context: ssl.SSLContext | None = None) -> None:
        super().__init__(where, context)
        self.state = "inactive"
        self.node_id = ""
        self.control = False
        self.error = ""
        self.nodes: list[dict[str, Any]] = []
        self.configs: dict[str, dict[str, Any]] = {}
        self.networks: dict[str, dict[str, Any]] = {}
        self.on_join: Any = None
        self.join_status = 200
        self.serial = 0

    def add_node(
        self,
        identifier: str,
        address: str,
        role: str = "manager",
        state: str = "ready",
        reachability: str = "reachable",
    ) -> None:
        entry: dict[str, Any] = {
            "ID": identifier,
            "Version": {"Index": 7},
            "Spec": {"Role": role, "Availability": "active"},
            "Status": {"State": state, "Addr": address},
        }
        if role == "manager":
            entry["ManagerStatus"] = {
                "Reachability": reachability,
                "Addr": f"{address}:2377",
            }
        self.nodes.append(entry)

    def enter(self, node_id: str, address: str) -> None:
        """Become a manager that others reach."""
        self.state, self.node_id, self.control = "active", node_id, True
        self.add_node(node_id, address)

    def answer(self, request: Request) -> tuple[int, dict[str, str], Any]:
        self.requests.append(request)
        if request.path == "/_ping":
            return 200, {"Api-Version": "1.41"}, b"OK"
        path, _, query = request.path.removeprefix("/v1.41").partition("?")
        self.filters = json.loads(parse_qs(query).get("filters", ["{}"])[0])
        parts = path.strip("/").split("/")
        handler = getattr(self, f"{request.method}_{parts[0]}".lower())
        status, body = handler(parts[1:], request.body)
        return status, {}, body

    def get_info(self, parts: list[str], body: Any) -> tuple[int, Any]:
        return 200, {
            "Swarm": {
                "LocalNodeState": self.state,
                "NodeID": self.node_id,
                "ControlAvailable": self.control,
                "Error": self.error,
            }
        }

    def get_version(self, parts: list[str], body: Any) -> tuple[int, Any]:
        return 200, {"Version": "20.10.24"}

    def get_nodes(self, parts: list[str], body: Any) -> tuple[int, Any]:
        if self.error or not self.control:
            return 503, {"message": self.error or "This node is not a swarm manager."}
        if parts:
            return 200, next(node for node in self.nodes if node["ID"] == parts[0])
        return 200, self.nodes

    def delete_nodes(self, parts: list[str], body: Any) -> tuple[int, Any]:
        entry = next((node for node in self.nodes if node["ID"] == parts[0]), None)
        if entry is None:
            return 404, {"message": "node not found"}
        if entry.get("ManagerStatus"):
            return 400, {"message": "node is a cluster manager and is a member of the raft cluster"}
        self.nodes.remove(entry)
        return 200, None

    def post_nodes(self, parts: list[str], body: Any) -> tuple[int, Any]:
        entry = next(node for node in self.nodes if node["ID"] == parts[0])
        entry["Spec"] = body
        if body["Role"] == "worker":
            entry.pop("ManagerStatus", None)
        return 200, None

    def get_swarm(self, parts: list[str], body: Any) -> tuple[int, Any]:
        if not self.control:
            return 503, {"message": "This node is not a swarm manager."}
        return 200, {"JoinTokens": {"Worker": "SWMTKN-1-w", "Manager": "SWMTKN-1-m"}}

    def post_swarm(self, parts: list[str], body: Any) -> tuple[int, Any]:
        if parts == ["leave"]:
            self.state, self.node_id = "inactive", ""
        elif parts == ["init"]:
            self.enter("founder", body["AdvertiseAddr"])
        elif self.on_join:
            self.on_join(body)
        return (self.join_status, {"message": "joining failed"}) if parts == ["join"] else (200, "")

    def get_configs(self, parts: list[str], body: Any) -> tuple[int, Any]:
        if self.error:
            return 503, {"message": self.error}
        if not parts and "name" in self.filters:
            (prefix,), (label,) = self.filters["name"], self.filters["label"]
            configs = self.configs.values()
            return 200, [
                one
                for one in configs
                if one["Spec"]["Name"].startswith(prefix)
                and tuple(label.split("=")) in one["Spec"]["Labels"].items()
            ]
        if not parts:
            wanted = {tuple(one.split("=")) for one in self.filters["label"]}
            return 200, [
                found
                for found in self.configs.values()
                if wanted <= set(found["Spec"].get("Labels", {}).items())
            ]
        for found in self.configs.values():
            if found["Spec"]["Name"] == parts[0]:
                return 200, found
        return 404, {"message": "config not found"}

    def post_configs(self, parts: list[str], body: Any) -> tuple[int, Any]:
        if any(found["Spec"]["Name"] == body["Name"] for found in self.configs.values()):
            return 409, {"message": "config exists"}
        self.serial += 1
        identifier = f"config{self.serial}"
        self.configs[identifier] = {"ID": identifier, "Spec": body}
        return 201, {"ID": identifier}

    def delete_configs(self, parts: list[str], body: Any) -> tuple[int, Any]:
        return (200, None) if self.configs.pop(parts[0], None) else (404, {"message": "none"})

    def get_networks(self, parts: list[str], body: Any) -> tuple[int, Any]:
        found = self.networks.get(parts[0])
        return (200, found) if found else (404, {"message": "no such network"})

    def post_networks(self, parts: list[str], body: Any) -> tuple[int, Any]:
        self.networks[body["Name"]] = body
        return 201, {"Id": "x"}

    def delete_networks(self, parts: list[str], body: Any) -> tuple[int, Any]:
        return (200, None) if self.networks.pop(parts[0], None) else (404, {"message": "none"})


def told(generation: int, contents: Any, cluster: str = UUID) -> dict[str, Any]:
    """Return settings of the conductor's for a cluster as the engine has them."""
    name = f"magnum-swarm-mode.settings.{generation}"
    data = base64.b64encode(json.dumps(contents).encode()).decode()
    labels = {"magnum-swarm-mode.cluster": cluster}
    return {"ID": name, "Spec": {"Name": name, "Data": data, "Labels": labels}}


class Forwarder(fixtures.Fixture):
    """An HTTP proxy that forwards to this machine; ``asked`` are the first lines it got."""

    def _setUp(self) -> None:  # noqa: N802 (the name that fixtures call)
        self.asked: list[str] = []
        self.logins: list[str] = []
        forwarder = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                forwarder.forward(self.rfile, self.connection)

        server = _TcpServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{server.server_address[1]}"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)

    def forward(self, client: Any, connection: socket.socket) -> None:
        first = client.readline().decode()
        headers = list(iter(client.readline, b"\r\n"))
        self.asked.append(first.strip())
        for line in headers:
            name, _, value = line.decode().partition(": ")
            if name == "Proxy-Authorization":
                self.logins.append(value.strip())
        method, url, version = first.split()
        host, _, path = url.removeprefix("http://").partition("/")
        with socket.create_connection((host.split(":")[0], int(host.split(":")[1]))) as server:
            if method == "CONNECT":
                connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            else:
                server.sendall(f"{method} /{path} {version}\r\n".encode())
                server.sendall(b"".join(headers) + b"\r\n")
            answers = threading.Thread(target=self._copy, args=(server.recv, connection))
            answers.start()
            self._copy(client.read1, server)
            answers.join()

    @staticmethod
    def _copy(read: Any, to: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := read(65536):
                to.sendall(data)
            to.shutdown(socket.SHUT_WR)


class Programs(fixtures.Fixture):
    """Programs that write down how they were called, before everything else in PATH."""

    def _setUp(self) -> None:  # noqa: N802 (the name that fixtures call)
        self.directory = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        self.log = self.directory / "calls"
        self.log.touch()
        self.useFixture(
            fixtures.EnvironmentVariable("PATH", f"{self.directory}:/usr/sbin:/usr/bin:/sbin:/bin")
        )

    def add(self, name: str, script: str = "") -> None:
        """Make a program that runs a shell script."""
        path = self.directory / name
        path.write_text(f'#!/bin/sh\necho "{name} $*" >>{self.log}\n{script}\n')
        path.chmod(0o755)

    def calls(self) -> list[str]:
        return self.log.read_text().splitlines()


class Authority(fixtures.Fixture):
    """A cluster's CA, made with openssl as a test would."""

    def _setUp(self) -> None:  # noqa: N802 (the name that fixtures call)
        self.directory = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        self._run(
            *("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"),
            *("-keyout", "ca.key", "-out", "ca.pem", "-days", "2", "-subj", "/CN=cluster"),
        )
        self.pem = (self.directory / "ca.pem").read_text()

    def _run(self, *arguments: str, stdin: str = "") -> str:
        return subprocess.run(
            ("openssl", *arguments),
            cwd=self.directory,
            input=stdin,
            capture_output=True,
            text=True,
            check=True,
        ).stdout

    def sign(self, csr: str) -> str:
        """Sign as Magnum does: with the extensions of the request."""
        return self._run(
            *("x509", "-req", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial"),
            *("-days", "1", "-copy_extensions", "copy"),
            stdin=csr,
        )

    def pair(self, address: str = "127.0.0.1") -> str:
        """Return the path of a file with a certificate for an address, and its key."""
        path = self.directory / "pair.pem"
        key = self._run("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256")
        (self.directory / "pair.key").write_text(key)
        csr = self._run(
            *("req", "-new", "-key", "pair.key", "-subj", "/CN=x"),
            *("-addext", f"subjectAltName=IP:{address}"),
        )
        path.write_text(self.sign(csr) + key)
        return str(path)

    def server_context(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.pair())
        return context


class Waiting(fixtures.Fixture):
    """Another clock and another pause for every wait."""

    def __init__(self, clock: Any, sleep: Any) -> None:
        super().__init__()
        self.replacements = (clock, sleep)

    def _setUp(self) -> None:  # noqa: N802 (the name that fixtures call)
        defaults = wait.until.__defaults__
        assert defaults is not None
        self.addCleanup(setattr, wait.until, "__defaults__", defaults)
        wait.until.__defaults__ = (*defaults[:-2], *self.replacements)


class NodeTest(base.BaseTestCase):
    """A test with a node in a directory of its own."""

    def setUp(self) -> None:
        super().setUp()
        # What a node says belongs to its journal, not into the tests' output.
        self.useFixture(fixtures.MonkeyPatch("sys.stdout", io.StringIO()))
        self.root = self.useFixture(fixtures.TempDir()).path
        self.paths = Paths(self.root)
        for name in ("run", "dev/disk/by-id", "etc", "var/log"):
            pathlib.Path(self.root, name).mkdir(parents=True)

    def make_node(self, config: dict[str, Any]) -> node_module.Node:
        """Return a node that has read its configuration."""
        self.paths.config.parent.mkdir(parents=True, exist_ok=True)
        self.paths.config.write_text(json.dumps(config))
        seed = self.paths.seeds[0]
        seed.parent.mkdir(parents=True, exist_ok=True)
        meta = {"uuid": SERVER, "name": "m0", "meta": {}}
        seed.write_text(json.dumps({"ds": {"meta_data": meta}}))
        node = node_module.Node(self.paths)
        node.load()
        return node

    def log(self) -> str:
        return self.paths.log.read_text() if self.paths.log.exists() else ""


class ProgramTest(NodeTest):
    """The whole program of a single manager, in an environment where all is well."""

    def setUp(self) -> None:
        super().setUp()
        self.programs = self.useFixture(Programs())
        for name in ("systemctl", "iptables", "ip"):
            self.programs.add(name)
        self.programs.add("dockerd", 'echo "Docker version 26.1.5, build x"')
        self.authority = self.useFixture(Authority())
        self.cloud = self.useFixture(Cloud())
        self.cloud.sign = self.authority.sign
        self.cloud.ca = self.authority.pem
        self.useFixture(fixtures.MonkeyPatch("sys.stderr", sys.stdout))
        self.useFixture(
            fixtures.MonkeyPatch("magnum_swarm_mode.node.duties.packages.missing", lambda _: [])
        )
        self.make_node(config_json(managers=1, **self.cloud.sections()))

    def run_verb(self, verb: str) -> int:
        """Run one verb and return its exit code."""
        return main.main([verb], self.paths)
