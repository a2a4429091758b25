# SPDX-License-Identifier: Apache-2.0
"""What can be seen of a cluster while it is made, with its owner's rights only."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from devcloud.demo.rest import Cloud, RestError, UnreachableError

HANDLE = "OS::Heat::WaitConditionHandle"
NESTED_DEPTH = 5


@dataclass(frozen=True)
class Seen:
    """One look at a cluster."""

    status: str  # Magnum's, such as CREATE_IN_PROGRESS; empty when there is no such cluster
    reason: str
    managers_wanted: int
    workers_wanted: int
    servers_asked: int  # servers that Nova knows
    servers_running: int
    resources: int  # resources that Heat knows
    resources_done: int
    managers_joined: int  # nodes that told Heat that they are in the swarm
    workers_joined: int
    failures: tuple[str, ...]  # "name: reason" of each failed resource, innermost first

    @property
    def nodes_wanted(self) -> int:
        """Servers that the cluster shall have."""
        return self.managers_wanted + self.workers_wanted


def stack_name(cluster_uuid: str) -> str:
    """The name of a cluster's Heat stack."""
    return f"swarm-mode-{cluster_uuid}"


def find_stack(cloud: Cloud, cluster_uuid: str) -> dict[str, Any] | None:
    """The Heat stack of a cluster, or None."""
    found = cloud.get("orchestration", f"/stacks?name={stack_name(cluster_uuid)}")["stacks"]
    return found[0] if found else None


def stack_resources(cloud: Cloud, stack: dict[str, Any]) -> list[dict[str, Any]]:
    """Every resource of a stack and of those nested in it."""
    path = f"/stacks/{stack['stack_name']}/{stack['id']}/resources?nested_depth={NESTED_DEPTH}"
    try:
        resources: list[dict[str, Any]] = cloud.get("orchestration", path)["resources"]
    except RestError as error:
        if error.status in (404, 500):  # the stack, or one nested in it, went away meanwhile
            return []
        raise
    return resources


def signals(cloud: Cloud, handle: Mapping[str, Any]) -> int:
    """How many successful signals a wait condition's handle has got.

    :param handle: the resource as Heat lists it, of whatever nested stack
    """
    links = {one["rel"]: str(one["href"]) for one in handle["links"]}
    path = "/stacks/" + links["self"].partition("/stacks/")[2] + "/metadata"
    got = cloud.find("orchestration", path) or {}
    return sum(
        isinstance(one, dict) and one.get("status") == "SUCCESS"
        for one in (got.get("metadata") or {}).values()
    )


def failures(resources: Iterable[dict[str, Any]]) -> tuple[str, ...]:
    """``name: reason`` of each resource that failed; those that only say so of others come last."""
    failed = [one for one in resources if one["resource_status"].endswith("_FAILED")]
    failed.sort(key=lambda one: one["resource_status_reason"].startswith("resources"))
    return tuple(f"{one['resource_name']}: {one['resource_status_reason']}" for one in failed)


def find_cluster(cloud: Cloud, name: str) -> dict[str, Any] | None:
    """Magnum's record of a cluster; None when there is none of that name or uuid.

    :raises UnreachableError: for a moment after the request Magnum has the cluster without its
        node groups, and cannot show it
    """
    try:
        found: dict[str, Any] | None = cloud.find("container-infra", f"/clusters/{name}")
    except RestError as error:
        if error.status == 400 and "master_count" in error.body:
            raise UnreachableError(f"{name} has no node groups yet") from error
        raise
    return found


def look(cloud: Cloud, cluster: str) -> Seen | None:
    """Look once at a cluster; None when there is none of that name.

    :raises RestError, UnreachableError: a service does not answer as it should
    """
    record = find_cluster(cloud, cluster)
    if record is None:
        return None
    servers: list[dict[str, Any]] = []
    resources: list[dict[str, Any]] = []
    joined = {"manager": 0, "worker": 0}
    stack = find_stack(cloud, record["uuid"])
    if stack is not None:
        resources = stack_resources(cloud, stack)
        everyone = cloud.get("compute", "/servers/detail")["servers"]
        ids = {one["physical_resource_id"] for one in resources}
        servers = [one for one in everyone if one["id"] in ids]
        for one in resources:
            if one["resource_type"] == HANDLE and one["physical_resource_id"]:
                role = "manager" if "manager" in one["resource_name"] else "worker"
                joined[role] += signals(cloud, one)
    return Seen(
        status=record["status"] or "",
        reason=record["status_reason"] or "",
        managers_wanted=record["master_count"],
        workers_wanted=record["node_count"],
        servers_asked=len(servers),
        servers_running=sum(one["status"] == "ACTIVE" for one in servers),
        resources=len(resources),
        resources_done=sum(one["resource_status"].endswith("_COMPLETE") for one in resources),
        managers_joined=joined["manager"],
        workers_joined=joined["worker"],
        failures=failures(resources),
    )
