# SPDX-License-Identifier: Apache-2.0
"""A client of the Docker Engine's API, over the unix socket or mutual TLS."""

import ssl
from dataclasses import dataclass
from typing import Any, Dict, List, Optional, Tuple
from urllib.parse import quote

from . import web
from .errors import NodeError
from .paths import DOCKER_SOCKET

# The newest version of the API whose parts used here are known; older engines get their own.
# Engine 20.10 speaks up to 1.41, and 29 nothing older than 1.44.
NEWEST_API = (1, 44)
# A manager that lost its quorum answers only after 20 s of its own.
TIMEOUT = 40.0


@dataclass(frozen=True)
class Info:
    """An engine's view of itself in the swarm (GET /info, "Swarm")."""

    state: str  # inactive, pending, active, error or locked
    node_id: str
    control: bool
    error: str
    cluster_id: str
    managers: int


@dataclass(frozen=True)
class SwarmNode:
    """One entry of GET /nodes."""

    id: str
    version: int
    role: str  # as wanted: manager or worker
    availability: str
    state: str  # unknown, down, ready or disconnected
    address: str
    reachability: str  # unknown, unreachable, reachable; empty: not part of Raft
    manager_address: str  # with port; empty: not part of Raft
    spec: Dict[str, Any]

    @property
    def in_raft(self) -> bool:
        """Whether the node is a member of the managers' consensus group."""
        return bool(self.manager_address or self.reachability)

    def has_address(self, address: str) -> bool:
        """Whether the node's entry bears an address (without port)."""
        return address in (self.address, self.manager_address.rpartition(":")[0].strip("[]"))


def parse_node(entry: Dict[str, Any]) -> SwarmNode:
    """Return a typed node of one element of GET /nodes."""
    spec = entry.get("Spec") or {}
    status = entry.get("Status") or {}
    manager = entry.get("ManagerStatus") or {}
    return SwarmNode(
        id=entry["ID"],
        version=entry["Version"]["Index"],
        role=spec.get("Role", ""),
        availability=spec.get("Availability", ""),
        state=status.get("State", ""),
        address=status.get("Addr", ""),
        reachability=manager.get("Reachability", ""),
        manager_address=manager.get("Addr", ""),
        spec=spec,
    )


class Docker:
    """One engine.

    :param address: host:port of a TLS API; empty for the local unix socket
    :param context: trust and client certificate for the former
    """

    def __init__(
        self,
        address: str = "",
        context: Optional[ssl.SSLContext] = None,
        socket_path: str = DOCKER_SOCKET,
    ) -> None:
        self.address = address
        self._url = f"https://{address}" if address else "http://engine"
        self._context = context
        self._socket = "" if address else socket_path
        self._version = ""

    def _request(self, method: str, path: str, body: Any, timeout: float) -> web.Answer:
        return web.request(
            method,
            self._url + path,
            body,
            context=self._context,
            socket_path=self._socket,
            timeout=timeout,
        )

    def call(self, method: str, path: str, body: Any = None, timeout: float = TIMEOUT) -> Any:
        """Call one path of the API in a version that both sides know.

        :raises NodeError: the engine refuses
        :raises Temporary: the engine does not answer, or with 5xx
        """
        if not self._version:
            offered = self._request("GET", "/_ping", None, timeout).headers.get("api-version", "")
            try:
                major, minor = (int(part) for part in offered.split("."))
            except ValueError:
                raise NodeError(f"{self.address or 'the engine'} is no Docker Engine") from None
            self._version = "/v{}.{}".format(*min((major, minor), NEWEST_API))
        return self._request(method, self._version + path, body, timeout).body

    def info(self) -> Info:
        """Return the engine's state in the swarm."""
        swarm = self.call("GET", "/info")["Swarm"]
        return Info(
            state=swarm.get("LocalNodeState", ""),
            node_id=swarm.get("NodeID", ""),
            control=bool(swarm.get("ControlAvailable")),
            error=swarm.get("Error", ""),
            cluster_id=(swarm.get("Cluster") or {}).get("ID", ""),
            managers=swarm.get("Managers") or 0,
        )

    def engine_version(self) -> str:
        """Return the engine's version, such as 20.10.24+dfsg1."""
        return str(self.call("GET", "/version")["Version"])

    def nodes(self) -> List[SwarmNode]:
        """Return all nodes; only a manager of a swarm with a leader can tell.

        :raises Temporary: no leader
        """
        return [parse_node(entry) for entry in self.call("GET", "/nodes")]

    def tokens(self) -> Tuple[str, str]:
        """Return the join tokens of now: (worker, manager)."""
        tokens = self.call("GET", "/swarm")["JoinTokens"]
        return str(tokens["Worker"]), str(tokens["Manager"])

    def demote(self, node: SwarmNode) -> None:
        """Make a manager a worker; it leaves Raft a moment later."""
        self.call(
            "POST",
            f"/nodes/{node.id}/update?version={node.version}",
            {**node.spec, "Role": "worker"},
        )

    def remove(self, node_id: str) -> None:
        """Forget a node that is down; one already forgotten is fine."""
        self.delete(f"/nodes/{node_id}?force=true")

    def delete(self, path: str) -> None:
        """Delete something; what is gone already is fine."""
        try:
            self.call("DELETE", path)
        except NodeError as error:
            if error.status != 404:
                raise

    def find(self, path: str, name: str) -> Optional[Dict[str, Any]]:
        """Return what GET path/name shows, or None where nothing has that name."""
        try:
            found: Dict[str, Any] = self.call("GET", f"{path}/{quote(name, safe='')}")
        except NodeError as error:
            if error.status != 404:
                raise
            return None
        return found
