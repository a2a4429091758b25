# SPDX-License-Identifier: Apache-2.0
"""Engines of a swarm's managers: one port on loopback addresses of this process."""

from __future__ import annotations

import http.server
import json
import os
import threading
from collections.abc import Mapping, Sequence
from typing import Any
from urllib import parse

import fixtures

from tests.fakes.certificates import Authority
from tests.unit.cli.secure_server import SecureServer

NO_LEADER = (
    "rpc error: code = Unknown desc = The swarm does not have a leader. It's possible that too few "
    "managers are online. Make sure more than half of the managers are online."
)


def node(index: int, *, role: str = "manager", reachable: bool = True, leader: bool = False) -> Any:
    """Return a node as ``GET /nodes`` lists it."""
    hostname = f"swarm-{role}-{index}"
    made: dict[str, Any] = {
        "ID": f"id-of-{hostname}",
        "Version": {"Index": 10},
        "Spec": {"Role": role, "Availability": "active"},
        "Description": {"Hostname": hostname},
        "Status": {"State": "ready" if reachable else "down"},
    }
    if role == "manager":
        reach = "reachable" if reachable else "unreachable"
        made["ManagerStatus"] = {"Reachability": reach, "Addr": f"10.0.0.{index}:2377"}
        if leader:
            made["ManagerStatus"]["Leader"] = True
    return made


class FakeManagers(fixtures.Fixture):
    """Managers by their index; those that are not in ``alive`` have no engine.

    :ivar nodes: what managers with a leader list; shared by all.
    :ivar led: indices of the managers that know a leader.
    :ivar requests: index, method and path of each request that changes something, with its body.
    :ivar failing: paths at which an engine answers 500.
    """

    def __init__(self, alive: Sequence[int], nodes: Sequence[Any], led: Sequence[int] = ()) -> None:
        self.alive, self.nodes, self.led = list(alive), list(nodes), set(led)
        self.requests: list[tuple[int, str, str, Any]] = []
        self.failing: set[str] = set()
        self.port = 0
        self.authority = Authority()

    def address(self, index: int) -> str:
        """Where the manager of that index is, or would be."""
        return f"127.{90 + index}.{os.getpid() // 256 % 256}.{os.getpid() % 255 + 1}"

    def _setUp(self) -> None:  # noqa: N802 (fixtures)
        for index in self.alive:
            self.start(index)

    def start(self, index: int) -> None:
        """Let a manager's engine answer."""
        managers = self

        class Handler(_Handler):
            fake, number = managers, index

        server = SecureServer((self.address(index), self.port), Handler)
        server.daemon_threads = True
        server.tls = self.authority.context(self.address(index))
        self.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        self.addCleanup(thread.join, 5)
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)

    def cluster(self, count: int) -> dict[str, Any]:
        """Return the fields of Magnum's cluster with so many managers."""
        addresses = [self.address(index) for index in range(count)]
        return {
            "api_address": f"tcp://{addresses[0]}:{self.port}",
            "master_addresses": addresses,
            "master_count": count,
            "labels": {},
        }

    def info(self, index: int) -> Mapping[str, Any]:
        """Answer ``GET /info``."""
        swarm = {
            "LocalNodeState": "active",
            "ControlAvailable": True,
            "NodeID": f"id-of-swarm-manager-{index}",
            "NodeAddr": f"10.0.0.{index}",
            "Error": "" if index in self.led else NO_LEADER,
        }
        return {"Name": f"swarm-manager-{index}", "ServerVersion": "26.1.5", "Swarm": swarm}

    def change(self, index: int, method: str, path: str, body: Any) -> tuple[int, Any]:
        """Do what an engine would."""
        self.requests.append((index, method, path, body))
        if path in self.failing:
            return 500, {"message": "it is not well"}
        if path == "/swarm/init":
            assert body["ForceNewCluster"], "a second swarm"
            self.led = {index}
            for one in self.nodes:
                if one["Spec"]["Role"] == "manager":
                    itself = one["Description"]["Hostname"] == f"swarm-manager-{index}"
                    reach = "reachable" if itself else "unreachable"
                    one["ManagerStatus"] = {"Reachability": reach, "Leader": itself}
            return 200, f"id-of-swarm-manager-{index}"
        (found,) = [one for one in self.nodes if one["ID"] == path.split("/")[2]]
        if method == "DELETE":
            if found["Spec"]["Role"] == "manager":
                return 400, {"message": "node is a cluster manager"}
            self.nodes.remove(found)
            return 200, {}
        found["Spec"] = body
        found.pop("ManagerStatus", None)
        return 200, {}

    def answer(self, index: int, path: str) -> tuple[int, Any]:
        """Answer a question."""
        if path == "/version":
            return 200, {"Version": "26.1.5", "ApiVersion": "1.45"}
        if path == "/info":
            return 200, self.info(index)
        if index not in self.led:
            return 503, {"message": NO_LEADER}
        if path == "/nodes":
            return 200, self.nodes
        found = [one for one in self.nodes if one["ID"] == path.split("/")[2]]
        return (200, found[0]) if found else (404, {"message": "node not found"})


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # head and body are two packets
    fake: FakeManagers
    number: int

    def log_message(self, *_: object) -> None:
        """Say nothing on the terminal."""

    def _serve(self) -> None:
        raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path = parse.urlsplit(self.path).path
        if path.startswith("/v1."):
            path = "/" + path.split("/", 2)[2]
        if self.command == "GET":
            status, body = self.fake.answer(self.number, path)
        else:
            body = json.loads(raw) if raw else None
            status, body = self.fake.change(self.number, self.command, path, body)
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_POST = do_DELETE = _serve  # noqa: N815
