# SPDX-License-Identifier: Apache-2.0
"""The Docker API of a cluster's managers, as the cluster's owner reaches it.

The certificate is got as ``magnum cluster-config`` gets it: the key is made here, Magnum signs.
Each manager is asked by its own address, because what is done to one of them must be done to that
one, and is trusted as little as the conductor trusts it.
"""

from __future__ import annotations

import dataclasses
import ssl
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar
from urllib import parse

import requests
from docker import errors as docker_errors
from magnumclient.common import utils as magnum_utils

from magnum_swarm_mode import text
from magnum_swarm_mode.cli.errors import CommandError, one_line
from magnum_swarm_mode.wire import answers, engine, exchange

SWARM_MODE = "swarm-mode"
# A manager without quorum answers some questions only after 20 s of its own.
REQUEST_SECONDS = 45.0
_ASK_SECONDS = 10.0
_MOST_AT_ONCE = 16

Value = TypeVar("Value")
# What a request to the Docker API may end with; see the docker and requests packages.
FAILURES = (docker_errors.DockerException, requests.RequestException, OSError)
Json = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Manager:
    """What the engine at one of the cluster's manager addresses says of itself.

    :ivar address: as Magnum names it; the key for :meth:`Access.client`.
    :ivar problem: why it did not answer; empty if it did, and then the other fields are known.
    :ivar state: of the engine in the swarm: inactive, pending, active, error or locked.
    :ivar control: whether it is a manager.
    :ivar error: what the engine complains of, such as a missing leader.
    :ivar node_address: its address as the swarm knows it.
    :ivar swarm_id: of the swarm; empty where the engine does not know.
    :ivar data: directory of the engine's data.
    """

    address: str
    problem: str = ""
    state: str = ""
    node_id: str = ""
    control: bool = False
    error: str = ""
    node_address: str = ""
    swarm_id: str = ""
    hostname: str = ""
    version: str = ""
    data: str = ""

    @property
    def serves(self) -> bool:
        """Whether it is a manager of a swarm that has a leader."""
        return self.state == "active" and self.control and not self.error


class Access:
    """Clients of a cluster's managers.

    :ivar cluster: Magnum's record.
    :ivar addresses: of all managers, as Magnum names them.
    """

    def __init__(self, cluster: Any, context: ssl.SSLContext) -> None:
        self.cluster = cluster
        counts = (getattr(cluster, "master_count", 0), getattr(cluster, "node_count", 0))
        self._nodes = sum(int(count or 0) for count in counts)
        endpoint = parse.urlsplit(cluster.api_address)
        self.addresses: list[str] = list(cluster.master_addresses or ()) or [str(endpoint.hostname)]
        self._port = endpoint.port or 2376
        self._context = context

    def client(self, address: str, seconds: float = REQUEST_SECONDS) -> Any:
        """Return docker's client of one manager's engine.

        :param seconds: that one request and its whole answer may take.
        :raises CommandError: if it does not answer.
        """
        bounds = answers.for_command(self._nodes)
        adapter = exchange.Adapter(
            address, self._port, self._context, bounds, seconds, streams=True
        )
        try:
            return engine.connect(adapter)
        except FAILURES as e:
            adapter.close()
            raise CommandError(f"Manager {address} does not answer: {reason(e)}.") from e

    def look(self, address: str, seconds: float = _ASK_SECONDS) -> Manager:
        """Ask one manager's engine about itself; an engine that does not answer is an answer."""
        try:
            return seen(address, self.client(address, seconds).info())
        except (CommandError, *FAILURES) as e:
            return Manager(address, problem=reason(e))

    def managers(self, seconds: float = _ASK_SECONDS) -> list[Manager]:
        """Ask all managers at once, whether or not they answer."""
        with ThreadPoolExecutor(min(len(self.addresses), _MOST_AT_ONCE)) as pool:
            return list(pool.map(lambda address: self.look(address, seconds), self.addresses))

    def serving(self) -> Manager:
        """Return a manager of a swarm that has a leader.

        :raises CommandError: if there is none; says of each why.
        """
        managers = self.managers()
        for manager in managers:
            if manager.serves:
                return manager
        raise CommandError(f"No manager of {self.cluster.name} serves: {listed(managers)}.")


def seen(address: str, info: Mapping[str, Any]) -> Manager:
    """Return a manager of what ``GET /info`` answered."""
    swarm = _part(info, "Swarm")

    def told(of: Any, name: str) -> str:
        return text.line((of.get(name) if isinstance(of, Mapping) else None) or "")

    return Manager(
        address,
        state=told(swarm, "LocalNodeState"),
        node_id=told(swarm, "NodeID"),
        control=bool(swarm.get("ControlAvailable")),
        error=told(swarm, "Error"),
        node_address=told(swarm, "NodeAddr"),
        swarm_id=told(_part(swarm, "Cluster"), "ID"),
        hostname=told(info, "Name"),
        version=told(info, "ServerVersion"),
        data=told(info, "DockerRootDir"),
    )


def _part(of: Any, name: str) -> Mapping[str, Any]:
    """Return a part of a description; empty where there is none."""
    found = of.get(name) if isinstance(of, Mapping) else None
    return found if isinstance(found, Mapping) else {}


def listed(managers: Iterable[Manager]) -> str:
    """Say of each manager how it is, on one line."""
    return "; ".join(
        f"{one.address}: {one.problem or one.error or f'{one.state} in the swarm'}"
        for one in managers
    )


def leader(nodes: Iterable[Json]) -> Json | None:
    """Return the leader among the nodes that ``GET /nodes`` lists."""
    return next((n for n in nodes if (n.get("ManagerStatus") or {}).get("Leader")), None)


def is_reachable(node: Json) -> bool:
    """Return whether a node is a manager that the others reach."""
    return (node.get("ManagerStatus") or {}).get("Reachability") == "reachable"


def quorum(managers: int) -> int:
    """Return how many of so many managers must be reachable."""
    return managers // 2 + 1


def open_cluster(client: Any, name: str) -> Access:
    """Return access to a cluster's managers, with a certificate that Magnum signs now.

    :param client: of Magnum.
    :param name: or uuid of the cluster.
    :raises CommandError: if it is of another COE, or has no address yet.
    """
    cluster = client.clusters.get(name)
    template = client.cluster_templates.get(cluster.cluster_template_id)
    if template.coe != SWARM_MODE:
        raise CommandError(f"Cluster {name} is of COE {template.coe}, not of {SWARM_MODE}.")
    if not cluster.api_address:
        raise CommandError(
            f"Cluster {name} has no API address yet: its status is {cluster.status}."
        )
    if template.tls_disabled:
        raise CommandError(f"Cluster {name} serves Docker's API without TLS, which is not used.")
    return Access(cluster, _context(client, cluster.uuid))


def _context(client: Any, uuid: str) -> ssl.SSLContext:
    """Return a TLS context that believes only the cluster's CA and shows a new certificate."""
    made = magnum_utils.generate_csr_and_key()
    authority = client.certificates.get(cluster_uuid=uuid).pem
    signed = client.certificates.create(cluster_uuid=uuid, csr=made["csr"]).pem
    try:
        return engine.tls_context(authority, signed, made["key"])
    except (ssl.SSLError, ValueError) as e:
        raise CommandError(f"What Magnum gave as certificates cannot be used: {e}.") from e


def wait_for(
    what: str,
    look: Callable[[], Value],
    good: Callable[[Value], bool],
    seconds: float,
    interval: float = 1.0,
    describe: Callable[[Value], str] = str,
) -> Value:
    """Look until what is seen is good, and return it.

    Failures of requests meanwhile are waited out.

    :raises CommandError: if it is not good in time; says what was seen last.
    """
    deadline = time.monotonic() + seconds
    while True:
        try:
            value = look()
            if good(value):
                return value
            last = describe(value)
        except (CommandError, *FAILURES) as e:
            last = reason(e)
        if time.monotonic() >= deadline:
            raise CommandError(f"Waited {seconds:.0f} s for {what}; seen last: {last}")
        time.sleep(interval)


def reason(error: BaseException) -> str:
    """Say in a few words why a request failed."""
    if isinstance(error, CommandError):
        return one_line(error).rstrip(".")
    return engine.reason(error).rstrip(".")


def change_node(client: Any, node_id: str, change: Callable[[Json], None]) -> None:
    """Change what the swarm wants of a node; tried again when somebody else was faster.

    :param change: gets a node's ``Spec`` and changes it.
    """

    def attempt() -> bool:
        node = client.inspect_node(node_id)
        spec = dict(node["Spec"])
        change(spec)
        client.update_node(node_id, node["Version"]["Index"], spec)
        return True

    wait_for(f"node {node_id} to be changed", attempt, bool, 30)


def remove_node(client: Any, node_id: str, seconds: float = 60) -> None:
    """Remove the entry of a node whose engine is gone, a manager's too, which is demoted first.

    :raises CommandError: if the swarm does not let it go in time.
    """

    def attempt() -> bool:
        try:
            node = client.inspect_node(node_id)
            if node["Spec"].get("Role") == "manager":
                spec = {**node["Spec"], "Role": "worker"}
                client.update_node(node_id, node["Version"]["Index"], spec)
            client.remove_node(node_id, force=True)
        except docker_errors.NotFound:
            return True
        return True

    wait_for(f"node {node_id} to be removed", attempt, bool, seconds)


def join_manager(
    client: Any, via: Any, own: str, others: list[str], *, availability: str = "active"
) -> None:
    """Have an engine that is in no swarm join one as a manager.

    :param client: of the engine that joins.
    :param via: client of a manager of the swarm.
    :param own: the address that the others reach the engine at.
    :param others: those of managers of the swarm, as the swarm knows them.
    """
    body = {
        "ListenAddr": "0.0.0.0:2377",
        "AdvertiseAddr": own,
        "DataPathAddr": own,
        "Availability": availability,
        "RemoteAddrs": [f"{exchange.in_url(address)}:2377" for address in others],
        "JoinToken": via.inspect_swarm()["JoinTokens"]["Manager"],
    }
    url = client._url("/swarm/join")
    client._raise_for_status(client._post_json(url, data=body))
