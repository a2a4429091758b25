# SPDX-License-Identifier: Apache-2.0
"""The Docker API of the managers: lists the nodes that joined, and does to them what is asked."""

import uuid
from typing import Any

from benchmarks.poll_health import node
from benchmarks.scaled.wire import Answer, Request

_VERSION = {"Version": "26.1.5+dfsg1", "ApiVersion": "1.45"}


class Docker:
    """One swarm.

    :ivar nodes: by id, as ``GET /nodes`` describes them.
    """

    def __init__(self) -> None:
        self.nodes: dict[str, dict[str, Any]] = {}
        self._configs: dict[str, dict[str, Any]] = {}
        self._number = 0

    def join(self, hostname: str, role: str, address: str) -> None:
        """Add a node that is ready."""
        manager = role == "manager"
        described = node(self._number, self._number + 1 if manager else 0)
        self._number += 1
        described["Description"]["Hostname"] = hostname
        # The conductor recognizes a node by the address that Heat gave its server.
        described["Status"]["Addr"] = address
        if manager:
            leads = not any("ManagerStatus" in one for one in self.nodes.values())
            status = {"Reachability": "reachable", "Addr": f"{address}:2377"}
            described["ManagerStatus"] = {**status, "Leader": True} if leads else status
        self.nodes[described["ID"]] = described

    def leave(self, hostname: str) -> None:
        """Let a node be down whose machine is gone."""
        for one in self.nodes.values():
            if one["Description"]["Hostname"] == hostname:
                one["Status"]["State"] = "down"

    def reset(self) -> None:
        """Forget the swarm, for the next one."""
        self.nodes.clear()
        self._configs.clear()

    def answer(self, request: Request) -> Answer:
        """Answer a request, with or without a version in its path."""
        parts = request.path.strip("/").split("/")
        if parts[0].startswith("v1."):
            parts = parts[1:]
        kind, rest = parts[0], parts[1:]
        if kind == "version":
            return Answer(200, _VERSION)
        if kind == "nodes":
            return self._nodes(request, rest)
        if kind == "configs":
            return self._change_configs(request, rest)
        if kind == "swarm":
            return Answer(200, {"Version": {"Index": 1}, "Spec": {"CAConfig": {}}, "TLSInfo": {}})
        if kind == "info":
            return Answer(200, {"Swarm": {}})
        return Answer(200, [])

    def _nodes(self, request: Request, rest: list[str]) -> Answer:
        if not rest:
            return Answer(200, list(self.nodes.values()))
        found = self.nodes.get(rest[0])
        if found is None:
            return Answer(404, {"message": f"node {rest[0]} not found"})
        if request.method == "DELETE":
            del self.nodes[rest[0]]
        elif request.method == "POST":
            found["Spec"] = request.body
            found["Version"]["Index"] += 1
        return Answer(200, found if request.method == "GET" else {})

    def _change_configs(self, request: Request, rest: list[str]) -> Answer:
        if request.method == "POST":
            identifier = uuid.uuid4().hex[:25]
            self._configs[identifier] = {"ID": identifier, "Spec": request.body}
            return Answer(201, {"ID": identifier})
        if request.method == "DELETE":
            self._configs.pop(rest[0], None)
            return Answer(204)
        return Answer(200, list(self._configs.values()))
