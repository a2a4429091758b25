# SPDX-License-Identifier: Apache-2.0
"""A client of the Docker Engine's API, over the unix socket or mutual TLS."""

import contextlib
import re
import ssl
from dataclasses import dataclass
from typing import Any, Dict, Iterator, List, Optional, Tuple

from . import web
from .errors import NodeError, Temporary

# The newest version of the API whose parts used here are known; older engines get their own.
# Engine 20.10 speaks up to 1.41, and 29 nothing older than 1.44.
NEWEST_API = (1, 44)
# A manager that lost its quorum answers only after 20 s of its own.
TIMEOUT = 40
# A list of ten thousand nodes has half of it.
LARGEST_ANSWER = 64 << 20  # bytes
_API = re.compile(r"([0-9]{1,3})\.([0-9]{1,3})")


@dataclass(frozen=True)
class Info:
    """An engine's view of itself in the swarm (GET /info, "Swarm")."""

    state: str  # inactive, pending, active, error or locked
    node_id: str = ""
    control: bool = False
    error: str = ""


@dataclass(frozen=True)
class SwarmNode:
    """One entry of GET /nodes."""

    id: str
    version: int
    role: str  # as wanted: manager or worker
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


@contextlib.contextmanager
def understood(what: str) -> Iterator[None]:
    """Have values of another kind than is expected be an error of this program's.

    :raises Temporary: naming what holds them
    """
    try:
        yield
    except (LookupError, TypeError, AttributeError, ValueError) as error:
        raise Temporary(f"{what} cannot be understood ({type(error).__name__})") from error


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("a text is expected")
    return value


def parse_node(entry: Dict[str, Any]) -> SwarmNode:
    """Return a typed node of one element of GET /nodes.

    :raises LookupError, TypeError, AttributeError: when it is none
    """
    spec = entry.get("Spec", {})
    status = entry.get("Status", {})
    manager = entry.get("ManagerStatus") or {}
    return SwarmNode(
        _text(entry["ID"]),
        entry["Version"]["Index"],
        _text(spec.get("Role", "")),
        _text(status.get("State", "")),
        _text(status.get("Addr", "")),
        _text(manager.get("Reachability", "")),
        _text(manager.get("Addr", "")),
        spec,
    )


class Docker:
    """One engine.

    :param address: host:port of a TLS API; empty for the unix socket
    :param context: trust and client certificate for the former
    """

    def __init__(
        self, address: str = "", context: Optional[ssl.SSLContext] = None, socket_path: str = ""
    ) -> None:
        self._url = f"https://{address}" if address else "http://engine"
        self._context = context
        self._socket = socket_path
        self._version = ""

    def _request(self, method: str, path: str, body: Any = None) -> web.Answer:
        url = self._url + path
        return web.request(
            method,
            url,
            body,
            context=self._context,
            socket_path=self._socket,
            timeout=TIMEOUT,
            largest=LARGEST_ANSWER,
        )

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """Call one path of the API in a version that both sides know.

        :raises NodeError: the engine refuses
        :raises Temporary: the engine does not answer, or with 5xx
        """
        if not self._version:
            offered = _API.fullmatch(self._request("GET", "/_ping")[0].get("api-version", "0.0"))
            if not offered:
                raise Temporary("the engine tells no version of its API")
            version = min((int(offered[1]), int(offered[2])), NEWEST_API)
            self._version = "/v{}.{}".format(*version)
        return self._request(method, self._version + path, body)[1]

    def info(self) -> Info:
        """Return the engine's state in the swarm.

        :raises Temporary: the engine does not answer
        """
        with understood("what the engine says of itself"):
            swarm = self.call("GET", "/info")["Swarm"]
            return Info(
                _text(swarm["LocalNodeState"]),
                _text(swarm.get("NodeID", "")),
                swarm.get("ControlAvailable", False) is True,
                _text(swarm.get("Error", "")),
            )

    def engine_version(self) -> str:
        """Return the engine's version, such as 20.10.24+dfsg1."""
        with understood("the engine's version"):
            return _text(self.call("GET", "/version")["Version"])

    def nodes(self) -> List[SwarmNode]:
        """Return all nodes; only a manager of a swarm with a leader can tell.

        :raises Temporary: no leader
        """
        with understood("the swarm's list of nodes"):
            return list(map(parse_node, self.call("GET", "/nodes")))

    def tokens(self) -> Tuple[str, str]:
        """Return the join tokens of now: (worker, manager)."""
        with understood("what the engine says of the swarm"):
            tokens = self.call("GET", "/swarm")["JoinTokens"]
            return _text(tokens["Worker"]), _text(tokens["Manager"])

    def join(
        self, address: str, token: str, managers: List[str], availability: str = "active"
    ) -> None:
        """Let this engine join a swarm.

        :param address: its own, for the others
        :param managers: host:port of each
        :raises Temporary: it does not, for whatever reason the engine gives
        """
        body = {**place(address, availability), "RemoteAddrs": managers, "JoinToken": token}
        self.call("POST", "/swarm/join", body)

    def leave(self) -> None:
        """Forget the swarm, whatever the swarm thinks of it."""
        self.call("POST", "/swarm/leave?force=true")

    def demote(self, node: SwarmNode) -> None:
        """Make a manager a worker; it leaves Raft a moment later."""
        path = f"/nodes/{node.id}/update?version={node.version}"
        self.call("POST", path, {**node.spec, "Role": "worker"})

    def delete(self, path: str) -> None:
        """Delete something; what is gone already is fine."""
        try:
            self.call("DELETE", path)
        except NodeError as error:
            if error.status != 404:
                raise

    def find(self, path: str) -> Optional[Dict[str, Any]]:
        """Return what GET shows, or None where nothing has that name."""
        try:
            found: Dict[str, Any] = self.call("GET", path)
        except NodeError as error:
            if error.status != 404:
                raise
            return None
        return found


def place(address: str, availability: str) -> Dict[str, str]:
    """Return the part that a request to found a swarm and one to join it have in common."""
    return {
        "ListenAddr": "0.0.0.0:2377",
        "AdvertiseAddr": address,
        "DataPathAddr": address,
        "Availability": availability,
    }
