# SPDX-License-Identifier: Apache-2.0
"""Magnum's objects as magnum-api hands them to the conductor, with the fields that all need."""

from __future__ import annotations

import uuid
from typing import Any

from magnum import objects

_TEMPLATE: dict[str, Any] = {
    "name": "template",
    "image_id": "ubuntu_xenial",
    "flavor_id": "m1.small",
    "master_flavor_id": "m1.small",
    "keypair_id": "key",
    "external_network_id": "public",
    "coe": "swarm-mode",
    "cluster_distro": "debian",
    "server_type": "vm",
    "network_driver": "overlay",
    "floating_ip_enabled": True,
    "master_lb_enabled": False,
    "tls_disabled": False,
    "registry_enabled": False,
    "public": False,
    "hidden": False,
}
_CLUSTER: dict[str, Any] = {
    "name": "swarm",
    "keypair": "key",
    "floating_ip_enabled": True,
    "master_lb_enabled": False,
    "create_timeout": 60,  # minutes
}


def cluster_template(context: Any, **fields: Any) -> Any:
    """Return a cluster template of the context's user, not saved.

    :param fields: other values, by the names of Magnum's fields.
    """
    template = objects.ClusterTemplate(
        context,
        **{
            **_TEMPLATE,
            "labels": {},
            "project_id": context.project_id,
            "user_id": context.user_id,
            **fields,
        },
    )
    if "driver" in template.fields:
        template.driver = "swarm_mode"
    return template


def cluster(context: Any, template: Any, **fields: Any) -> Any:
    """Return a cluster of a template and of the context's user, not saved.

    :param fields: other values, by the names of Magnum's fields.
    """
    own = {
        "labels": {},
        "uuid": str(uuid.uuid4()),
        "project_id": context.project_id,
        "user_id": context.user_id,
        "cluster_template_id": template.uuid,
    }
    return objects.Cluster(context, **{**_CLUSTER, **own, **fields})
