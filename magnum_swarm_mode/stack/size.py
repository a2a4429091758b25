# SPDX-License-Identifier: Apache-2.0
"""How many resources Heat counts in a cluster's stack: ``max_resources_per_stack`` limits them."""

from __future__ import annotations

from typing import Any

import yaml

from magnum_swarm_mode import exceptions
from magnum_swarm_mode.admission.room import Wanted
from magnum_swarm_mode.stack.files import templates

# No stack can have it: Heat looks at its limits, and then goes no further.
_NO_NAME = "0"
# The condition that only an absent manager does not meet.
_THERE = "present"
# More resources would make a request that is too large for Heat.
_MOST_RESOURCES = 10_000


def of_cluster(wanted: Wanted) -> int:
    """Return the resources in the stack of a cluster, those in nested stacks included.

    Such as not every cluster has (server groups, the wait for workers) do not count; they are few.

    :raises Inconsistent: when templates are missing or broken.
    """
    port = "manager_port_floating" if wanted.floating_ip_enabled else "manager_port"
    manager = "manager_volume" if wanted.docker_volume_size else "manager"
    network = "network_made" if wanted.network_is_made else "network_existing"
    # A member of a group of resources that is a template is a resource, and a stack of its own.
    per_manager = 2 + _resources(port) + _resources(manager)
    fixed = _resources("cluster") + _resources(network)
    return fixed + wanted.managers * per_manager + of_node_group(wanted)


def of_node_group(wanted: Wanted) -> int:
    """Return the resources in a stack of workers; it has no managers.

    :raises Inconsistent: when templates are missing or broken.
    """
    parts = ["volume"] * bool(wanted.docker_volume_size)
    parts += ["floating"] * wanted.worker_floating_ip_enabled
    per_worker = 1 + (_resources("_".join(["worker", *parts])) if parts else 0)
    return _resources("node_group") + wanted.workers * per_worker


def preview(count: int) -> dict[str, Any]:
    """Return the preview to ask Heat for, who tells its limits only by refusing what is beyond.

    :param count: how many resources the stack would have.
    """
    names = (f"r{number}" for number in range(min(count, _MOST_RESOURCES)))
    template = {
        "heat_template_version": "2018-08-31",
        "resources": {name: {"type": "OS::Heat::None"} for name in names},
    }
    return {"stack_name": _NO_NAME, "template": template}


def _resources(template: str) -> int:
    file = f"{template}.yaml"
    try:
        # What stands for an existing network has none.
        found = yaml.load(templates.read(file), yaml.CSafeLoader).get("resources") or {}
        return sum(one.get("condition", _THERE) == _THERE for one in found.values())
    except (yaml.YAMLError, AttributeError, TypeError) as error:
        raise exceptions.Inconsistent(
            "The templates for clusters are not valid on the server; ask the operator.",
            f"Template {file}: {error}.",
        ) from error
