# SPDX-License-Identifier: Apache-2.0
"""Engines of managers that keep a swarm, run the program of a host, and take and give files.

One port on loopback addresses of this process. What the host's program would do is
done when its file "go" arrives: a backup's files are there then, or this engine has the swarm that
was sent to it.
"""

from __future__ import annotations

import base64
import copy
import hashlib
import http.server
import io
import json
import os
import tarfile
import threading
import uuid
from typing import Any
from urllib import parse

import fixtures

from tests.fakes.certificates import Authority
from tests.unit.cli.secure_server import SecureServer

COPY = b"the state of a swarm"


def packed(name: str, content: bytes) -> bytes:
    """Return a tar of one file."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        member = tarfile.TarInfo(name)
        member.size = len(content)
        archive.addfile(member, io.BytesIO(content))
    return file.getvalue()


class Swarm:
    """What a swarm's managers know in common."""

    def __init__(self, ident: str) -> None:
        self.ident = ident
        self.nodes: list[dict[str, Any]] = []
        self.tasks: list[dict[str, Any]] = []
        self.services: list[dict[str, Any]] = []
        self.configs: list[dict[str, Any]] = []
        self.secrets: list[dict[str, Any]] = []
        self.root = f"root of {ident}"
        self.rotating = 0  # looks for which a rotation of the root goes on
        self.tokens = {"Worker": f"w-{ident}", "Manager": f"m-{ident}"}
        self.spec: dict[str, Any] = {"CAConfig": {}, "EncryptionConfig": {}}
        self.pools = ["10.10.0.0/16"]

    def add(self, hostname: str, address: str, *, manager: bool, leader: bool = False) -> str:
        """Let a node in; its id."""
        ident = f"id-{self.ident}-{hostname}"
        node: dict[str, Any] = {
            "ID": ident,
            "Version": {"Index": 1},
            "Spec": {
                "Role": "manager" if manager else "worker",
                "Availability": "active",
                "Labels": {},
            },
            "Description": {"Hostname": hostname, "TLSInfo": {"TrustRoot": self.root}},
            "Status": {"State": "ready", "Addr": address},
        }
        if manager:
            node["ManagerStatus"] = {"Reachability": "reachable", "Addr": f"{address}:2377"}
            if leader:
                node["ManagerStatus"]["Leader"] = True
        self.nodes.append(node)
        return ident

    def put(self, kind: list[dict[str, Any]], name: str, data: bytes = b"", **labels: str) -> None:
        """Have a config, secret or service of that name."""
        spec = {"Name": name, "Labels": labels, "Data": base64.b64encode(data).decode()}
        kind.append({"ID": f"id-of-{name}", "Spec": spec})


class Engine:
    """The engine of one manager."""

    def __init__(self, hosts: FakeHosts, index: int) -> None:
        self.hosts, self.index = hosts, index
        self.hostname = f"manager-{index}"
        self.swarm: Swarm | None = None
        self.node_id = ""
        self.files: dict[str, bytes] = {}
        self.containers: dict[str, dict[str, Any]] = {}
        self.images: list[str] = []
        self.volumes: dict[str, Any] = {}
        self.asked: list[Any] = []
        self.failing = ""

    @property
    def own(self) -> str:
        """Its address in a swarm."""
        return f"10.0.0.{self.index + 1}"

    def info(self) -> dict[str, Any]:
        """Answer ``GET /info``."""
        swarm: dict[str, Any] = {"LocalNodeState": "inactive", "NodeID": "", "NodeAddr": ""}
        if self.swarm:
            swarm = {
                "LocalNodeState": "active",
                "ControlAvailable": True,
                "NodeID": self.node_id,
                "NodeAddr": self.own,
                "Cluster": {"ID": self.swarm.ident},
            }
        return {
            "Name": self.hostname,
            "ServerVersion": self.hosts.version,
            "DockerRootDir": "/var/lib/docker",
            "Swarm": swarm,
        }

    def go(self, asked: dict[str, Any]) -> None:
        """Do what the host's program would."""
        self.asked.append(asked)
        status: dict[str, Any]
        if self.failing:
            status = {"step": "failed", "error": self.failing}
        elif asked["work"] == "backup":
            self.files["swarm.tar.gz"] = COPY
            digest = hashlib.sha256(COPY).hexdigest()
            status = {"step": "done", "sha256": digest, "seconds": 1.5, "ready": True}
        else:
            assert self.files["swarm.tar.gz"] == COPY
            assert self.hosts.kept is not None
            self.swarm = self.hosts.kept
            self.swarm.nodes.clear()
            self.node_id = self.swarm.add(self.hostname, self.own, manager=True, leader=True)
            self.swarm.nodes[0]["Spec"]["Availability"] = "drain"
            status = {"step": "done"}
        self.files["status.json"] = json.dumps(status).encode()

    def run(self, container: dict[str, Any]) -> None:
        """Run a container: a verb of the host's program."""
        verb = container["Cmd"][-1]
        if verb == "launch":
            self.files = {"status.json": b'{"step": "waiting for the command"}'}
        elif verb == "clean":
            self.files = {}

    def answer(self, method: str, path: str, query: dict[str, str], raw: bytes) -> tuple[int, Any]:
        """Answer a request with a status and JSON or bytes."""
        parts = path.strip("/").split("/")
        body = json.loads(raw) if raw and "archive" not in parts and parts[0] != "images" else None
        name = "_".join([method.lower(), parts[0]])
        answered: tuple[int, Any] = getattr(self, name)(parts[1:], query, body if body else raw)
        return answered

    def get_version(self, *_: Any) -> tuple[int, Any]:
        return 200, {"Version": self.hosts.version, "ApiVersion": "1.45"}

    def get_info(self, *_: Any) -> tuple[int, Any]:
        return 200, self.info()

    # -- the swarm --------------------------------------------------------------------------------

    def get_swarm(self, *_: Any) -> tuple[int, Any]:
        assert self.swarm
        self.swarm.rotating = max(0, self.swarm.rotating - 1)
        return 200, {
            "ID": self.swarm.ident,
            "Version": {"Index": 7},
            "Spec": copy.deepcopy(self.swarm.spec),
            "JoinTokens": self.swarm.tokens,
            "TLSInfo": {"TrustRoot": self.swarm.root},
            "RootRotationInProgress": bool(self.swarm.rotating),
            "DefaultAddrPool": self.swarm.pools,
            "DataPathPort": 4789,
        }

    def post_swarm(self, parts: list[str], query: dict[str, str], body: Any) -> tuple[int, Any]:
        if parts == ["leave"]:
            self.swarm, self.node_id = None, ""
            return 200, {}
        if parts == ["join"]:
            (swarm,) = [s for s in self.hosts.swarms if s.tokens["Manager"] == body["JoinToken"]]
            self.swarm = swarm
            self.node_id = swarm.add(self.hostname, body["AdvertiseAddr"], manager=True)
            swarm.nodes[-1]["Spec"]["Availability"] = body["Availability"]
            return 200, {}
        assert parts == ["update"]
        assert self.swarm
        for role in ("Worker", "Manager"):
            if query.get(f"rotate{role}Token", "").lower() == "true":
                self.swarm.tokens = {**self.swarm.tokens, role: str(uuid.uuid4())}
        if body["CAConfig"].get("ForceRotate") != self.swarm.spec["CAConfig"].get("ForceRotate"):
            self.swarm.root, self.swarm.rotating = str(uuid.uuid4()), 3
            for node in self.swarm.nodes:
                node["Description"]["TLSInfo"]["TrustRoot"] = self.swarm.root
        self.swarm.spec = body
        return 200, {}

    def get_nodes(self, parts: list[str], *_: Any) -> tuple[int, Any]:
        assert self.swarm
        if not parts:
            return 200, self.swarm.nodes
        found = [one for one in self.swarm.nodes if one["ID"] == parts[0]]
        return (200, found[0]) if found else (404, {"message": "no such node"})

    def post_nodes(self, parts: list[str], _: Any, body: Any) -> tuple[int, Any]:
        assert self.swarm
        (node,) = [one for one in self.swarm.nodes if one["ID"] == parts[0]]
        node["Spec"] = body
        self.hosts.availabilities.append((node["Description"]["Hostname"], body["Availability"]))
        if body["Availability"] == "drain":
            self.swarm.tasks = [t for t in self.swarm.tasks if t["NodeID"] != node["ID"]]
        return 200, {}

    def get_tasks(self, _: Any, query: dict[str, str], __: Any) -> tuple[int, Any]:
        assert self.swarm
        wanted = json.loads(query.get("filters", "{}")).get("node")
        return 200, [t for t in self.swarm.tasks if not wanted or t["NodeID"] in wanted]

    def get_services(self, *_: Any) -> tuple[int, Any]:
        assert self.swarm
        return 200, self.swarm.services

    def get_secrets(self, *_: Any) -> tuple[int, Any]:
        assert self.swarm
        return 200, self.swarm.secrets

    def get_configs(self, *_: Any) -> tuple[int, Any]:
        assert self.swarm
        return 200, self.swarm.configs

    def delete_configs(self, parts: list[str], *_: Any) -> tuple[int, Any]:
        assert self.swarm
        self.swarm.configs = [one for one in self.swarm.configs if one["ID"] != parts[0]]
        return 204, b""

    def post_configs(self, _: Any, __: Any, body: Any) -> tuple[int, Any]:
        assert self.swarm
        data = base64.b64decode(body["Data"])
        self.swarm.put(self.swarm.configs, body["Name"], data, **body["Labels"])
        return 201, {"ID": "new"}

    def get_networks(self, *_: Any) -> tuple[int, Any]:
        return 200, [
            {"Name": "ingress", "Id": "n0", "Scope": "swarm", "Ingress": True, "Options": {}},
            {"Name": "bridge", "Id": self.hostname, "Scope": "local"},
        ]

    # -- the host ---------------------------------------------------------------------------------

    def post_images(self, _: Any, query: dict[str, str], __: Any) -> tuple[int, Any]:
        self.images.append(f"{query['repo']}:{query['tag']}")
        return 200, {"status": "sha256:0"}

    def get_images(self, *_: Any) -> tuple[int, Any]:
        return 200, [{"Id": one} for one in self.images]

    def delete_images(self, parts: list[str], *_: Any) -> tuple[int, Any]:
        self.images.remove(parse.unquote(parts[0]))
        return 200, []

    def get_containers(self, parts: list[str], *_: Any) -> tuple[int, Any]:
        if parts == ["json"]:
            return 200, [{"Id": one} for one in self.containers]
        if parts[1] == "logs":
            return 200, b"Traceback\nno systemd here\n"
        if parts[1] == "json":
            return 200, {"Id": parts[0], "Config": {"Tty": True}}
        return self.archive(parts[0])

    def archive(self, name: str) -> tuple[int, Any]:
        """Answer a request for a file, whose name the handler has left in the query."""
        if name not in self.files:
            return 404, {"message": "no such file"}
        return 200, packed(name, self.files[name])

    def post_containers(self, parts: list[str], _: Any, body: Any) -> tuple[int, Any]:
        if parts == ["create"]:
            assert body["Image"] in self.images, "no such image"
            ident = str(uuid.uuid4())
            self.containers[ident] = body
            return 201, {"Id": ident}
        if parts[1] == "start":
            assert "SYS_ADMIN" in self.containers[parts[0]]["HostConfig"]["CapAdd"]
            self.run(self.containers[parts[0]])
            return 204, b""
        return 200, {"StatusCode": self.hosts.exit_code}

    def put_containers(self, _: Any, __: Any, raw: bytes) -> tuple[int, Any]:
        with tarfile.open(fileobj=io.BytesIO(raw)) as archive:
            (member,) = archive.getmembers()
            file = archive.extractfile(member)
            assert file is not None
            self.files[member.name] = file.read()
            if member.name == "go.json":
                self.go(json.loads(self.files["go.json"]))
        return 200, b""

    def delete_containers(self, parts: list[str], *_: Any) -> tuple[int, Any]:
        self.containers.pop(parts[0], None)
        return 204, b""

    def get_volumes(self, parts: list[str], *_: Any) -> tuple[int, Any]:
        found = self.volumes.get(parts[0])
        return (200, found) if found else (404, {"message": "no such volume"})

    def post_volumes(self, _: Any, __: Any, body: Any) -> tuple[int, Any]:
        self.volumes[body["Name"]] = body
        return 201, body

    def delete_volumes(self, parts: list[str], *_: Any) -> tuple[int, Any]:
        del self.volumes[parts[0]]
        return 204, b""


class FakeHosts(fixtures.Fixture):
    """Managers of a cluster.

    :ivar kept: the swarm that a backup holds.
    :ivar swarms: those that an engine can join.
    :ivar availabilities: what was wanted of nodes, in turn.
    """

    def __init__(self, count: int, *, workers: int = 1, name: str = "new") -> None:
        self.count = count
        self.version = "26.1.5"
        self.exit_code = 0
        self.availabilities: list[tuple[str, str]] = []
        self.swarm = Swarm(name)
        self.kept: Swarm | None = None
        self.engines = [Engine(self, index) for index in range(count)]
        for engine in self.engines:
            engine.swarm = self.swarm
            engine.node_id = self.swarm.add(
                engine.hostname, engine.own, manager=True, leader=engine.index == 0
            )
        for index in range(workers):
            self.swarm.add(f"worker-{index}", f"10.0.0.{100 + index}", manager=False)
        self.port = 0
        self.authority = Authority()

    @property
    def swarms(self) -> list[Swarm]:
        """All swarms that there are."""
        return [one for one in (self.swarm, self.kept) if one]

    def address(self, index: int) -> str:
        """Where the manager of that index is."""
        return f"127.{70 + index}.{os.getpid() // 256 % 256}.{os.getpid() % 255 + 1}"

    def cluster(self) -> dict[str, Any]:
        """Return the fields of Magnum's cluster."""
        addresses = [self.address(index) for index in range(self.count)]
        return {
            "api_address": f"tcp://{addresses[0]}:{self.port}",
            "master_addresses": addresses,
            "master_count": self.count,
            "labels": {},
        }

    def _setUp(self) -> None:  # noqa: N802 (fixtures)
        for engine in self.engines:
            self._serve(engine)

    def _serve(self, its: Engine) -> None:
        class Handler(_Handler):
            engine = its

        server = SecureServer((self.address(its.index), self.port), Handler)
        server.daemon_threads = True
        server.tls = self.authority.context(self.address(its.index))
        self.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        self.addCleanup(thread.join, 5)
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # head and body are two packets
    engine: Engine

    def log_message(self, *_: object) -> None:
        """Say nothing on the terminal."""

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        pieces = []
        while size := int(self.rfile.readline(), 16):
            pieces.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(pieces)

    def _handle(self) -> None:
        raw = self._body()
        url = parse.urlsplit(self.path)
        query = dict(parse.parse_qsl(url.query))
        path = url.path.split("/", 2)[2] if url.path.startswith("/v1.") else url.path
        if self.command == "GET" and path.endswith("/archive"):
            status, body = self.engine.archive(query["path"].rpartition("/")[2])
        else:
            status, body = self.engine.answer(self.command, path, query, raw)
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        stat = base64.b64encode(b"{}").decode()
        self.send_header("X-Docker-Container-Path-Stat", stat)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_POST = do_PUT = do_DELETE = _handle  # noqa: N815
