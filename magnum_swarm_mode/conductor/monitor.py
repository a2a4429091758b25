# SPDX-License-Identifier: Apache-2.0
"""What a cluster's managers say of its health and its use."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from magnum.conductor import monitors

from magnum_swarm_mode import exceptions, log, reach
from magnum_swarm_mode.cloud import sessions as cloud_sessions
from magnum_swarm_mode.conductor import notifications, roles, rows
from magnum_swarm_mode.conductor.change import heal, requests
from magnum_swarm_mode.db.store import Record, Store
from magnum_swarm_mode.decisions import health as decisions_health
from magnum_swarm_mode.decisions import status
from magnum_swarm_mode.decisions.health import Health
from magnum_swarm_mode.stack import node_group
from magnum_swarm_mode.stack import request as stack_request
from magnum_swarm_mode.swarm import client as swarm_client
from magnum_swarm_mode.swarm import identity

LOG = log.of(__name__)

# One look serves all conductors for this part of the time after which Magnum asks each of them.
_SHARED_SHARE = 0.75


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
        record = Store().get(self.cluster.uuid)
        swarm = self._swarm(record, list(self.cluster.nodegroups))
        self.data["use"] = decisions_health.measure(swarm.nodes(), swarm.services(), swarm.tasks())

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
        store = Store()
        interval = cloud_sessions.CONF.kubernetes.health_polling_interval
        if not store.claim_health(self.cluster.uuid, int(interval * _SHARED_SHARE)):
            return
        is_at_rest = not self.cluster.status.endswith("_IN_PROGRESS")
        record = store.get(self.cluster.uuid)
        if is_at_rest:
            record = requests.recall(store, self.cluster, record)
        # Magnum's object reads them again each time that they or their sums are asked for.
        groups = list(self.cluster.nodegroups)
        own = self._own(groups)
        health, nodes = self._poll(record, groups)
        line, notes = "", {}
        if is_at_rest:
            line = heal.heal(store, self.context, self.cluster, record, nodes, own)
        if is_at_rest and nodes is not None:
            swarm = self._swarm(record, groups)
            notes = roles.mend(store, self.cluster, record, swarm, nodes, self._managers_at)
        if nodes is not None:
            names = self._names(record, nodes, own)
            health = self._judge(nodes, groups, notes=notes, own=own, names=names)
        if line:
            health = Health(health.status, {**health.reason, "healing": line})
        self.data["health_status"] = health.status
        self.data["health_status_reason"] = dict(health.reason)
        before = self.cluster.health_status
        if before != health.status:
            notifications.health_changed(
                self.context, self.cluster, before, health.status, health.reason
            )

    def _poll(
        self, record: Record | None, groups: Sequence[Any]
    ) -> tuple[Health, list[dict[str, Any]] | None]:
        """Return the nodes as the managers tell them, or None and the health without them."""
        try:
            swarm = self._swarm(record, groups)
            answered, nodes = swarm.poll(swarm_client.address_of(self.cluster.api_address))
        except swarm_client.NoLeader as error:
            return decisions_health.leaderless(error.user_message, self.cluster.name), None
        except swarm_client.CertificatesExpired as error:
            return decisions_health.expired(error.user_message), None
        except exceptions.SwarmModeError as error:
            LOG.info("Health of cluster %s: %s", self.cluster.uuid, error.operator_message)
            return decisions_health.unknown(error.user_message), None
        address = swarm_client.url(answered)
        if address != self.cluster.api_address and not self._is_busy():
            self._move_api(address)
        return decisions_health.unknown(""), nodes

    def _names(
        self, record: Record | None, nodes: list[dict[str, Any]], own: re.Pattern[str]
    ) -> dict[str, str]:
        """Return the ids of nodes to the host names of the servers that they are."""
        if record is None:
            return {}
        plan = record.state.plan
        return identity.certain(identity.identify(nodes, plan.ids, plan.addresses, own))

    def _own(self, groups: Sequence[Any]) -> re.Pattern[str]:
        prefix = stack_request.node_name_prefix(self.cluster.name or "", self.cluster.uuid)
        return node_group.host_names(prefix, groups)

    def _judge(
        self,
        nodes: list[dict[str, Any]],
        groups: Sequence[Any],
        *,
        notes: Mapping[str, str],
        own: re.Pattern[str],
        names: Mapping[str, str],
    ) -> Health:
        if self.cluster.status in status.BUSY:
            # Until the operation has ended, what is there is what shall be there.
            return decisions_health.judge(nodes, names=names)
        managers = sum(int(one.node_count) for one in groups if one.role == "master")
        workers = sum(int(one.node_count) for one in groups if one.role != "master")
        return decisions_health.judge(nodes, managers, workers, notes=notes, own=own, names=names)

    def _managers_at(self, record: Record) -> list[str]:
        """Return the managers' addresses, of which none are known while Heat is silent."""
        try:
            _, stack = reach.find_stack(self.context, self.cluster, record.state, at_rest=True)
        except exceptions.SwarmModeError as error:
            LOG.info("Roles in cluster %s: %s", self.cluster.uuid, error.operator_message)
            return []
        return reach.output(stack, "manager_fixed_addresses")

    def _is_busy(self) -> bool:
        return str(self.cluster.status).endswith("_IN_PROGRESS")

    def _move_api(self, address: str) -> None:
        """Name to users a manager that answers instead of one that does not."""
        before = self.cluster.api_address
        if rows.write(self.cluster, {"api_address": address}):
            LOG.info(
                "The API of cluster %s is at %s from now on, for %s does not answer",
                self.cluster.uuid,
                address,
                before,
            )

    def _swarm(self, record: Record | None, groups: Sequence[Any]) -> swarm_client.Swarm:
        managers = [one for one in groups if one.role == "master"]
        addresses = [str(at) for one in managers for at in one.node_addresses or ()]
        return reach.swarm_known(self.cluster, addresses, record, groups)
