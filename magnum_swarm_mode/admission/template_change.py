# SPDX-License-Identifier: Apache-2.0
"""What of another cluster template a living cluster can follow; pure functions.

A cluster follows its template in what its user did not choose otherwise when it was created.
"""

from collections.abc import Mapping
from typing import Any

from magnum_swarm_mode import constants, exceptions
from magnum_swarm_mode.labels import parsing as label_parsing
from magnum_swarm_mode.labels import table as label_table
from magnum_swarm_mode.labels.table import FIXED
from magnum_swarm_mode.sentences import shown

# Fields of a template that cannot change, and what a cluster may have in their place.
_FIXED_FIELDS: Mapping[str, str] = {
    "server_type": "",
    "network_driver": "",
    "volume_driver": "",
    "external_network_id": "",
    "fixed_network": "fixed_network",
    "fixed_subnet": "fixed_subnet",
    "dns_nameserver": "",
    "floating_ip_enabled": "floating_ip_enabled",
    "master_lb_enabled": "master_lb_enabled",
    "docker_volume_size": "docker_volume_size",
    "keypair_id": "keypair",
    "tls_disabled": "",
    "registry_enabled": "",
}


def followed(own: object, before: object, after: object) -> Any:
    """Return what a cluster has of something after its template changed.

    :param own: what it has now; nothing, or what the template says, is no choice of its own.
    """
    return after if own in (None, "", before) else own


def labels_after(
    own: Mapping[str, str], before: Mapping[str, str], after: Mapping[str, str]
) -> dict[str, str]:
    """Return a cluster's labels after its template changed."""
    found = dict(own)
    for name in {*before, *after}:
        if before.get(name) == after.get(name) or own.get(name) != before.get(name):
            continue
        if name in after:
            found[name] = after[name]
        else:
            found.pop(name, None)
    return found


def check(
    cluster: Mapping[str, Any],
    before: Mapping[str, Any],
    after: Mapping[str, Any],
    defaults: Any,
) -> label_table.Labels:
    """Refuse a template that a cluster cannot follow; return the values of its labels then.

    :param before: the cluster's template; ``after`` the one that it is to have.
    :param defaults: the operator's defaults of labels.
    :raises Refused: naming what differs.
    """
    if after.get("coe") != constants.COE:
        raise exceptions.Refused(
            f"Cluster template {shown(after.get('name'))} is for {after.get('coe')}; a "
            "swarm-mode cluster can be upgraded to templates for swarm-mode only."
        )
    for name, override in _FIXED_FIELDS.items():
        own = cluster.get(override) if override else None
        old, new = before.get(name) or None, after.get(name) or None
        if followed(own or None, old, new) != (own or old):
            raise exceptions.Refused(
                f"{name} is fixed when a cluster is created: the cluster has "
                f"{_said(own or old)}, template {shown(after.get('name'))} has "
                f"{_said(new)}. Upgrade to a template that differs in image, flavor and "
                "labels only."
            )
    now = label_parsing.parse(cluster.get("labels") or {}, defaults)
    then = label_parsing.parse(
        labels_after(
            cluster.get("labels") or {}, before.get("labels") or {}, after.get("labels") or {}
        ),
        defaults,
    )
    for name in sorted(FIXED):
        if getattr(now, name) != getattr(then, name):
            raise exceptions.Refused(
                f"Label {name} is fixed when a cluster is created: the cluster has "
                f"{_said(getattr(now, name))}, template "
                f"{shown(after.get('name'))} has "
                f"{_said(getattr(then, name))}."
            )
    return then


def _said(value: object) -> str:
    text = ",".join(str(one) for one in value) if isinstance(value, tuple) else value
    return "none" if text in (None, "") else shown(text)
