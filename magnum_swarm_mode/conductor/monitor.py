# SPDX-License-Identifier: Apache-2.0
"""What a cluster's managers say of its health and its use."""

import dataclasses
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from magnum.conductor import monitors
from oslo_log import log as logging

from magnum_swarm_mode import exceptions
from magnum_swarm_mode.cloud import sessions as cloud_sessions
from magnum_swarm_mode.conductor import notifications, reach
from magnum_swarm_mode.conductor.change import operations
from magnum_swarm_mode.db import store as record_store
from magnum_swarm_mode.swarm import client as swarm_client

LOG = logging.getLogger(__name__)

HEALTHY, UNHEALTHY, UNKNOWN = "HEALTHY", "UNHEALTHY", "UNKNOWN"
# Magnum keeps the reasons, as JSON, in a text column of 64 KiB.
_LONGEST_REASON = 300
_MOST_BYTES = 60_000
# One look serves all conductors for this part of the time after which Magnum asks each of them.
_SHARED_SHARE = 0.75

Json = Mapping[str, Any]


@dataclasses.dataclass(frozen=True)
class Health:
    """A status of Magnum's and its reasons: ``api``, ``managers``, ``workers``, and each node."""

    status: str
    reason: Mapping[str, str]


def unknown(problem: str) -> Health:
    """Return the health of a cluster that the conductor cannot ask."""
    return Health(UNKNOWN, {"api": problem[:_LONGEST_REASON]})


def leaderless(problem: str, cluster: str) -> Health:
    """Return the health of a cluster whose managers answer but have lost their quorum.

    :param cluster: its name, for the command that helps.
    """
    return Health(
        UNHEALTHY,
        {
            "api": problem[:_LONGEST_REASON],
            "managers": "no quorum: services run on, but nothing can be changed until more than "
            "half of the managers are back. Start their servers again; if these are lost, make a "
            "manager that is left the first of a new quorum, which keeps services, networks, "
            f"secrets and configs: magnum swarm-recover {cluster}",
        },
    )


def expired(problem: str) -> Health:
    """Return the health of a cluster whose nodes do not believe each other any more."""
    return Health(
        UNHEALTHY,
        {
            "api": problem[:_LONGEST_REASON],
            "managers": "the swarm's own certificates have expired while the servers were switched "
            "off. What the swarm knew is still there: have one manager found it anew, as the "
            'documentation says under "A cluster that was switched off"',
        },
    )


def judge(nodes: Sequence[Json], managers: int | None = None, workers: int | None = None) -> Health:
    """Return a cluster's health from what ``GET /nodes`` answered.

    :param managers: how many managers there should be; None for as many as there are.
    :param workers: how many workers there should be, likewise.
    """
    present = [node for node in nodes if node.get("ManagerStatus")]
    reachable = [node for node in present if _manager_status(node) == "reachable"]
    others = [node for node in nodes if not node.get("ManagerStatus")]
    ready = [node for node in others if _state(node) == "ready"]
    managers = len(present) if managers is None else managers
    workers = len(others) if workers is None else workers
    reason = {
        "api": "ok",
        "managers": _managers(len(reachable), len(present), managers),
        "workers": f"{len(ready)} of {max(workers, len(others))} ready",
    }
    _add_nodes(reason, nodes)
    well = (
        len(reachable) == len(present) == managers
        and len(ready) == len(others) == workers
        and all(_state(node) == "ready" for node in present)
    )
    return Health(HEALTHY if well else UNHEALTHY, reason)


def _add_nodes(reason: dict[str, str], nodes: Sequence[Json]) -> None:
    """Add a line for each node: first managers, then what is not ready, as far as there is room."""
    same = Counter(_hostname(node) for node in nodes)
    room = _MOST_BYTES
    ordered = sorted(
        nodes, key=lambda node: (not node.get("ManagerStatus"), _state(node) == "ready")
    )
    for position, node in enumerate(ordered):
        name, text = _name(node, same), _describe(node)
        room -= len(json.dumps({name: text}))
        if room < 0:
            reason["more"] = f"{len(ordered) - position} more nodes are not listed"
            return
        reason[name] = text


def _managers(reachable: int, present: int, wanted: int) -> str:
    # Raft counts every manager that the swarm knows, also one that will never come back.
    spare = reachable - (present // 2 + 1)
    quorum = f"quorum holds, {spare} more may fail" if spare >= 0 else "no quorum"
    return f"{reachable} of {max(wanted, present)} reachable; {quorum}"


def _state(node: Json) -> str:
    return str((node.get("Status") or {}).get("State") or "unknown")


def _manager_status(node: Json) -> str:
    return str((node.get("ManagerStatus") or {}).get("Reachability") or "unknown")


def _name(node: Json, same: Mapping[str, int]) -> str:
    """Return the node's host name, told apart by its id where several bear the same."""
    hostname = _hostname(node)
    if hostname and same[hostname] == 1:
        return hostname
    return f"{hostname or 'node'} ({node.get('ID') or 'no id'})"


def _hostname(node: Json) -> str:
    return str((node.get("Description") or {}).get("Hostname") or "")


def _describe(node: Json) -> str:
    status = node.get("Status") or {}
    parts = [_state(node)]
    if status.get("Message"):
        parts[0] += f" ({status['Message']})"
    parts.append(str((node.get("Spec") or {}).get("Availability") or "unknown"))
    if node.get("ManagerStatus"):
        parts.append(
            "leader" if node["ManagerStatus"].get("Leader") else f"manager {_manager_status(node)}"
        )
    engine = ((node.get("Description") or {}).get("Engine") or {}).get("EngineVersion")
    if engine:
        parts.append(f"engine {engine}")
    return ", ".join(parts)[:_LONGEST_REASON]


@dataclasses.dataclass(frozen=True)
class Use:
    """What a cluster's services take of it.

    :ivar cpu: percent of the ready nodes' processors that tasks have reserved.
    :ivar memory: percent of the ready nodes' memory that tasks have reserved.
    """

    cpu: float
    memory: float
    nodes_ready: int
    tasks_wanted: int
    tasks_running: int


def measure(nodes: Sequence[Json], services: Sequence[Json], tasks: Sequence[Json]) -> Use:
    """Return a cluster's use from nodes, services and those tasks that are wanted to run."""
    ready = [node for node in nodes if _state(node) == "ready"]
    per_service = Counter(str(task.get("ServiceID")) for task in tasks)
    wanted = sum(_wanted(service, per_service[str(service.get("ID"))]) for service in services)
    return Use(
        cpu=_share(tasks, ready, "NanoCPUs"),
        memory=_share(tasks, ready, "MemoryBytes"),
        nodes_ready=len(ready),
        tasks_wanted=wanted,
        tasks_running=sum(1 for task in tasks if _state(task) == "running"),
    )


def _wanted(service: Json, tasks: int) -> int:
    replicated = ((service.get("Spec") or {}).get("Mode") or {}).get("Replicated")
    # A global service wants as many as the nodes that fit, which are those that have a task.
    return int(replicated.get("Replicas") or 0) if replicated else tasks


def _share(tasks: Sequence[Json], nodes: Sequence[Json], resource: str) -> float:
    total = sum(
        ((node.get("Description") or {}).get("Resources") or {}).get(resource) or 0
        for node in nodes
    )
    reserved = sum(
        (((task.get("Spec") or {}).get("Resources") or {}).get("Reservations") or {}).get(resource)
        or 0
        for task in tasks
    )
    return 100.0 * reserved / total if total else 0.0


class SwarmModeMonitor(monitors.MonitorBase):
    """Asks whichever manager answers, within the deadlines of ``docker_api``."""

    def __init__(self, context: Any, cluster: Any) -> None:
        super().__init__(context, cluster)
        self.data: dict[str, Any] = {}

    @property
    def metrics_spec(self) -> dict[str, dict[str, str]]:
        """The metrics, with their units and the methods that compute them."""
        return {
            "cpu_util": {"unit": "%", "func": "compute_cpu_util"},
            "memory_util": {"unit": "%", "func": "compute_memory_util"},
            "nodes_ready": {"unit": "node", "func": "compute_nodes_ready"},
            "tasks_wanted": {"unit": "task", "func": "compute_tasks_wanted"},
            "tasks_running": {"unit": "task", "func": "compute_tasks_running"},
        }

    def pull_data(self) -> None:
        """Read what the metrics are computed from.

        :raises Unavailable: when no manager answers.
        """
        swarm = self._swarm()
        self.data["use"] = measure(swarm.nodes(), swarm.services(), swarm.tasks())

    def compute_cpu_util(self) -> float:
        """Percent of processors reserved."""
        return float(self.data["use"].cpu)

    def compute_memory_util(self) -> float:
        """Percent of memory reserved."""
        return float(self.data["use"].memory)

    def compute_nodes_ready(self) -> int:
        """Nodes that are ready."""
        return int(self.data["use"].nodes_ready)

    def compute_tasks_wanted(self) -> int:
        """Tasks that services ask for."""
        return int(self.data["use"].tasks_wanted)

    def compute_tasks_running(self) -> int:
        """Tasks that run."""
        return int(self.data["use"].tasks_running)

    def poll_health_status(self) -> None:
        """Write ``health_status`` and ``health_status_reason`` into ``data``.

        A cluster that is not made yet, or is being deleted, has no health, and one that another
        conductor has just looked at needs no second look; nothing is written.
        """
        if not self.cluster.api_address or self.cluster.status == "DELETE_IN_PROGRESS":
            return
        store = record_store.Store()
        interval = cloud_sessions.CONF.kubernetes.health_polling_interval
        if not store.claim_health(self.cluster.uuid, int(interval * _SHARED_SHARE)):
            return
        is_at_rest = not self.cluster.status.endswith("_IN_PROGRESS")
        record = store.get(self.cluster.uuid) if is_at_rest else None
        if is_at_rest:
            operations.Operations(store).recall(self.cluster, record)
        health, nodes = self._poll(store)
        if is_at_rest and (
            line := operations.Operations(store).heal(self.context, self.cluster, record, nodes)
        ):
            health = Health(health.status, {**health.reason, "healing": line})
        self.data["health_status"] = health.status
        self.data["health_status_reason"] = dict(health.reason)
        before = self.cluster.health_status
        if before != health.status:
            notifications.health_changed(
                self.context, self.cluster, before, health.status, health.reason
            )

    def _poll(self, store: record_store.Store) -> tuple[Health, list[dict[str, Any]] | None]:
        """Return the health, and the nodes that it follows from if the managers told them."""
        try:
            answered, nodes = self._swarm().poll(swarm_client.address_of(self.cluster.api_address))
        except swarm_client.NoLeader as error:
            return leaderless(error.user_message, self.cluster.name), None
        except swarm_client.CertificatesExpired as error:
            return expired(error.user_message), None
        except exceptions.SwarmModeError as error:
            LOG.info("Health of cluster %s: %s", self.cluster.uuid, error.operator_message)
            return unknown(error.user_message), None
        if self.cluster.status in operations.BUSY:
            # Until the operation has ended, what is there is what shall be there.
            return judge(nodes), nodes
        address = swarm_client.url(answered)
        if address != self.cluster.api_address and not self.cluster.status.endswith("_IN_PROGRESS"):
            self._move_api(store, address)
        return judge(nodes, self.cluster.master_count, self.cluster.node_count), nodes

    def _move_api(self, store: record_store.Store, address: str) -> None:
        """Name to users a manager that answers instead of one that does not."""
        changes = {"api_address": address}
        if store.change_cluster(self.cluster.uuid, self.cluster.status, changes):
            LOG.info(
                "The API of cluster %s is at %s from now on, for %s does not answer",
                self.cluster.uuid,
                address,
                self.cluster.api_address,
            )
            self.cluster.api_address = address
            self.cluster.obj_reset_changes(list(changes))

    def _swarm(self) -> swarm_client.Swarm:
        return reach.swarm_of(self.cluster, list(self.cluster.master_addresses or ()))
