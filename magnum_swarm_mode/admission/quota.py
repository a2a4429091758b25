# SPDX-License-Identifier: Apache-2.0
"""Whether a project's quotas have room for a cluster, decided on what the services say of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from magnum_swarm_mode import exceptions
from magnum_swarm_mode.admission.room import VOLUME_TYPES, Flavor, Wanted
from magnum_swarm_mode.sentences import shown

# Rules that Neutron puts into every new group, of which the cluster's stack makes two.
_SECURITY_GROUPS = 2
_RULES_OF_NEUTRON = 2 * _SECURITY_GROUPS
# Names of what is counted, in the order of a sentence.
SERVERS, CORES, MEMORY = "servers", "cores", "MiB of memory"
SERVER_GROUPS, GROUP_MEMBERS = "server groups", "servers in one server group"
VOLUMES, VOLUME_SPACE, VOLUME_SIZE = "volumes", "GiB of volumes", "GiB in one volume"
FLOATING_IPS, PORTS, NETWORKS = "floating IPs", "ports", "networks"
SUBNETS, ROUTERS = "subnets", "routers"
SECURITY_GROUPS, RULES = "security groups", "security group rules"
# What is limited for each of something, however many of them there are.
_EACH = (GROUP_MEMBERS, VOLUME_SIZE)


def of_type(what: str, kind: str) -> str:
    """Return what ``VOLUMES`` or ``VOLUME_SPACE`` of one type are called."""
    return f"{what} of type {shown(kind)}"


def needs(
    wanted: Wanted,
    manager: Flavor,
    worker: Flavor,
    kinds: Mapping[str, str] | None = None,
    default_kind: str = "",
) -> dict[str, int]:
    """Return how much of what is limited a cluster takes, in the order of a sentence.

    :param kinds: names of volume types by name and id.
    :param default_kind: name of the type of volumes for which none is asked.
    """
    nodes = wanted.nodes
    docker, boot = (wanted.volume_type(label) for label in VOLUME_TYPES)
    # An image may name the type of volumes that are made of it, where nobody asks for one.
    asked = ((wanted.docker_volume_size, docker or default_kind), (wanted.boot_volume_size, boot))
    volumes = [(size, (kinds or {}).get(kind, kind)) for size, kind in asked if size]
    typed: Counter[str] = Counter()
    for size, kind in volumes:
        if kind:
            typed[of_type(VOLUMES, kind)] += nodes
            typed[of_type(VOLUME_SPACE, kind)] += nodes * size
    made = int(wanted.network_is_made)
    members = [wanted.managers] * wanted.manager_server_group
    members += [wanted.workers] * wanted.worker_server_group
    return {
        SERVERS: nodes,
        CORES: wanted.managers * manager.vcpus + wanted.workers * worker.vcpus,
        MEMORY: wanted.managers * manager.ram + wanted.workers * worker.ram,
        SERVER_GROUPS: len(members),
        GROUP_MEMBERS: max(members, default=0),
        VOLUMES: nodes * len(volumes),
        VOLUME_SPACE: nodes * sum(size for size, _ in volumes),
        VOLUME_SIZE: max((size for size, _ in volumes), default=0),
        **typed,
        FLOATING_IPS: wanted.floating_ips,
        # The router has one, too, in a network that is made.
        PORTS: nodes + made,
        NETWORKS: made,
        SUBNETS: made,
        ROUTERS: made,
        SECURITY_GROUPS: _SECURITY_GROUPS,
        RULES: wanted.rules + _RULES_OF_NEUTRON,
    }


def growth(before: Mapping[str, int], after: Mapping[str, int]) -> dict[str, int]:
    """Return what a change takes, from what :func:`needs` returned for before and after it."""
    return {
        name: count if name in _EACH else count - before.get(name, 0)
        for name, count in after.items()
        if count > before.get(name, 0)
    }


def left_by_nova(limits: Mapping[str, Any]) -> dict[str, int]:
    """Return what Nova's absolute limits leave; what is unlimited is left out."""
    pairs = {
        SERVERS: ("maxTotalInstances", "totalInstancesUsed"),
        CORES: ("maxTotalCores", "totalCoresUsed"),
        MEMORY: ("maxTotalRAMSize", "totalRAMUsed"),
        SERVER_GROUPS: ("maxServerGroups", "totalServerGroupsUsed"),
        GROUP_MEMBERS: ("maxServerGroupMembers", None),
    }
    return _left(limits, pairs)


def left_by_cinder(limits: Mapping[str, Any]) -> dict[str, int]:
    """Return what Cinder's absolute limits leave; what is unlimited is left out."""
    pairs = {
        VOLUMES: ("maxTotalVolumes", "totalVolumesUsed"),
        VOLUME_SPACE: ("maxTotalVolumeGigabytes", "totalGigabytesUsed"),
    }
    return _left(limits, pairs)


def left_by_type(quota: Mapping[str, Any]) -> dict[str, int]:
    """Return what Cinder's quotas leave of each type of volumes, and how large one may be."""
    left = {}
    for key, item in quota.items():
        # The id of the project is among them.
        if not isinstance(item, Mapping) or int(item["limit"]) < 0:
            continue
        rest = int(item["limit"]) - int(item.get("in_use", 0)) - int(item.get("reserved", 0))
        for prefix, name in (("volumes_", VOLUMES), ("gigabytes_", VOLUME_SPACE)):
            if key.startswith(prefix):
                left[of_type(name, key.removeprefix(prefix))] = rest
    if (largest := quota.get("per_volume_gigabytes")) and int(largest["limit"]) >= 0:
        left[VOLUME_SIZE] = int(largest["limit"])
    return left


def _left(limits: Mapping[str, Any], pairs: Mapping[str, tuple[str, str | None]]) -> dict[str, int]:
    left = {}
    for name, (limit, used) in pairs.items():
        # A release may not show all of them; -1 means unlimited.
        if limit in limits and int(limits[limit]) >= 0:
            left[name] = int(limits[limit]) - (int(limits.get(used, 0)) if used else 0)
    return left


def left_by_neutron(quota: Mapping[str, Any]) -> dict[str, int]:
    """Return what Neutron's quota details leave; what is unlimited is left out."""
    names = {
        FLOATING_IPS: "floatingip",
        PORTS: "port",
        NETWORKS: "network",
        SUBNETS: "subnet",
        ROUTERS: "router",
        SECURITY_GROUPS: "security_group",
        RULES: "security_group_rule",
    }
    left = {}
    for name, key in names.items():
        item = quota.get(key)
        if item is not None and int(item["limit"]) >= 0:
            left[name] = int(item["limit"]) - int(item["used"]) - int(item.get("reserved", 0))
    return left


def check_quota(
    needed: Mapping[str, int], left: Mapping[str, int], what: str = "The cluster"
) -> None:
    """Refuse a cluster that the project's quotas have no room for.

    :param needed: what :func:`needs` or :func:`growth` returned.
    :param left: what is left of it; what is not named is not limited.
    :param what: what needs it, for the sentence.
    :raises Refused: with the arithmetic of everything that is too little.
    """
    lacking = [
        f"needs {count} {name}, quota leaves {max(0, left[name])}"
        for name, count in needed.items()
        if count and name in left and count > left[name]
    ]
    if lacking:
        raise exceptions.Refused(
            f"{what} {'; '.join(lacking)}. Make it smaller, delete what is not needed any "
            "more, or ask the operator for a larger quota."
        )


def check_stack(
    resources: int, message: str, what: str = "the cluster", *, is_new: bool = True
) -> None:
    """Refuse what Heat's own limits have no room for.

    :param resources: how many there would be in the stack.
    :param message: Heat's refusal of a further stack of so many, empty where it did not refuse.
    :param what: what needs the stack, for the sentence.
    :param is_new: whether the stack is a further one.
    :raises Refused: with what Heat says.
    """
    # Heat refuses for other reasons as well, which say nothing of the limits.
    limits = ("resources per stack", "stacks per tenant") if is_new else ("resources per stack",)
    if any(limit in message for limit in limits):
        raise exceptions.Refused(
            f"Heat takes no stack of {resources} resources for {what}: {message.rstrip('.')}. Make "
            "it smaller, delete stacks that are not needed any more, or ask the operator for a "
            "larger limit."
        )
