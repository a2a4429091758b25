# SPDX-License-Identifier: Apache-2.0
"""What Heat did last for a cluster: its events, chosen and shortened; pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

# Of the newest events, with those of nested stacks.
MOST = 200
DEPTH = 3


def stack_name(cluster_uuid: str) -> str:
    """Return the name of a cluster's stack."""
    return f"swarm-mode-{cluster_uuid}"


def path(stack: str, stack_id: str) -> str:
    """Return where Heat has the newest events of a stack.

    :param stack: its name.
    """
    query = f"limit={MOST}&sort_dir=desc&nested_depth={DEPTH}"
    return f"/stacks/{stack}/{stack_id}/events?{query}"


def last_change(stack: str, events: Sequence[Mapping[str, Any]]) -> list[dict[str, str]]:
    """Return the events of the last change of a stack, the newest first.

    :param stack: its name.
    :param events: as Heat lists them, the newest first.
    """
    found = []
    for event in events:
        name, status = str(event["resource_name"]), str(event["resource_status"])
        # A nested stack only says again what its resources said.
        if not name.startswith(f"{stack}-"):
            found.append(
                {
                    "id": str(event["id"]),
                    "time": str(event["event_time"]),
                    "resource": "" if name == stack else name,
                    "status": status,
                    "reason": str(event.get("resource_status_reason") or ""),
                }
            )
        if name == stack and status.endswith("_IN_PROGRESS"):
            break
    return found
