# SPDX-License-Identifier: Apache-2.0
"""One reading of a node as ``GET /nodes`` describes it.

What managers answer is not trusted: whatever is missing, or is something else than it should be,
reads as empty or ``unknown``, and raises nothing.
"""

import ipaddress
from collections.abc import Mapping
from typing import Any

Json = Mapping[str, Any]

MANAGER, WORKER = "manager", "worker"
READY, DOWN, DISCONNECTED, UNKNOWN = "ready", "down", "disconnected", "unknown"


def part(node: Json, *names: str) -> Json:
    """Return a part of a description by the names that lead to it; empty where there is none."""
    found: Any = node
    for name in names:
        found = found.get(name) if isinstance(found, Mapping) else None
    return found if isinstance(found, Mapping) else {}


def node_id(node: Json) -> str:
    """Return the node's id in the swarm."""
    return str(node.get("ID") or "")


def hostname(node: Json) -> str:
    """Return the node's host name."""
    return str(part(node, "Description").get("Hostname") or "")


def state(node: Json) -> str:
    """Return ``ready``, ``down``, ``disconnected`` or ``unknown``; also of a task."""
    return str(part(node, "Status").get("State") or UNKNOWN)


def message(node: Json) -> str:
    """Return what the swarm says of the node's state."""
    return str(part(node, "Status").get("Message") or "")


def availability(node: Json) -> str:
    """Return ``active``, ``pause`` or ``drain``."""
    return str(part(node, "Spec").get("Availability") or UNKNOWN)


def role(node: Json) -> str:
    """Return what the node shall be, ``manager`` or ``worker``."""
    return str(part(node, "Spec").get("Role") or WORKER)


def labels(node: Json) -> dict[str, str]:
    """Return the labels that the swarm has of the node."""
    return {str(name): str(value) for name, value in part(node, "Spec", "Labels").items()}


def in_raft(node: Json) -> bool:
    """Return whether the node is one of those that have the swarm's state."""
    return bool(part(node, "ManagerStatus"))


def reachability(node: Json) -> str:
    """Return whether the leader reaches a manager: ``reachable``, ``unreachable``, ``unknown``."""
    return str(part(node, "ManagerStatus").get("Reachability") or UNKNOWN)


def is_reachable(node: Json) -> bool:
    """Return whether the node is a manager that the leader reaches."""
    return reachability(node) == "reachable"


def leads(node: Json) -> bool:
    """Return whether the node is the leader."""
    return bool(part(node, "ManagerStatus").get("Leader"))


def address(node: Json) -> str:
    """Return the address by which other managers reach a manager."""
    return str(part(node, "ManagerStatus").get("Addr") or "").rpartition(":")[0].strip("[]")


def seen_address(node: Json) -> str:
    """Return the address from which the managers see a node that is no manager.

    The node does not choose it. Empty where it says nothing: of a manager, which chooses its
    address itself, and where the leader sees its own engine at no address of the network.
    """
    return "" if in_raft(node) else _status_address(node)


def network_address(node: Json) -> str:
    """Return a node's address in the cluster's network; empty where it is not known.

    The others reach a manager at the one that it announces, and see any other node at its own.
    """
    return plain_address(address(node)) or _status_address(node)


def _status_address(node: Json) -> str:
    return plain_address(str(part(node, "Status").get("Addr") or "").strip("[]"))


def plain_address(text: str) -> str:
    """Return an address in the one way to write it; empty for what names no node."""
    try:
        found = ipaddress.ip_address(text)
    except ValueError:
        return ""
    if isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped:
        found = found.ipv4_mapped
    return "" if found.is_loopback or found.is_unspecified else str(found)


def engine(node: Json) -> str:
    """Return the version of the node's engine."""
    return str(part(node, "Description", "Engine").get("EngineVersion") or "")


def resource(node: Json, name: str) -> int:
    """Return how much of ``NanoCPUs`` or ``MemoryBytes`` the node has."""
    value = part(node, "Description", "Resources").get(name)
    return value if isinstance(value, int) else 0
