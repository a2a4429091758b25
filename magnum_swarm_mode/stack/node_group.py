# SPDX-License-Identifier: Apache-2.0
"""Further groups of workers: each a stack of its own beside the cluster's.

What proves to the managers that a new node belongs to a group is a secret that only the group's
stack holds. Managers are told its digest through a config of the swarm, which their join server
looks up in its own engine, so that they need not be told when they boot.
"""

import hashlib
import re
import secrets
from collections.abc import Collection, Iterable, Mapping
from typing import Any, Protocol

import yaml

from magnum_swarm_mode import exceptions
from magnum_swarm_mode.labels import parsing as label_parsing
from magnum_swarm_mode.labels import table as label_table
from magnum_swarm_mode.labels.table import PER_GROUP
from magnum_swarm_mode.stack import request as stack_request
from magnum_swarm_mode.stack.files import templates, user_data

# The label by which join servers find the config; the node program has the same words.
DIGEST_LABEL = "magnum-swarm-mode.join-secret"
# The label that the group's nodes get in the swarm.
GROUP_LABEL = "magnum.node_group"
_LONGEST_PREFIX = 57
_DEFAULT_MINUTES = 60


class ClusterStack(Protocol):
    """What is needed of a cluster's stack; :class:`magnum_swarm_mode.heat.client.Stack` has it."""

    @property
    def id(self) -> str:
        """The id in Heat."""

    @property
    def outputs(self) -> Mapping[str, Any]:
        """Values by name."""

    @property
    def parameters(self) -> Mapping[str, Any]:
        """Values by name, as Heat shows them: JSON as a text."""


def stack_name(group_uuid: str) -> str:
    """Return the name of a group's stack, which derives from its uuid alone."""
    return f"swarm-mode-group-{group_uuid}"


def config_name(group_uuid: str) -> str:
    """Return the name of the swarm's config with the digest of the group's secret."""
    return f"magnum-swarm-mode.join.{group_uuid}"


def new_secret() -> str:
    """Return what the nodes of a new group prove themselves with."""
    return secrets.token_urlsafe(48)


def digest(secret: str) -> str:
    """Return what managers know of a secret."""
    return hashlib.sha256(secret.encode()).hexdigest()


def name_prefix(cluster_prefix: str, name: str, uuid: str, taken: Collection[str]) -> str:
    """Return what the host names of a group's nodes begin with.

    :param taken: those of other groups, from which it must differ.
    """
    clean = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
    prefix = f"{cluster_prefix}-{clean}"
    reserved = {*taken, f"{cluster_prefix}-manager", f"{cluster_prefix}-worker"}
    if clean and len(prefix) <= _LONGEST_PREFIX and prefix not in reserved:
        return prefix
    suffix = uuid.replace("-", "")[:8]
    return f"{prefix[: _LONGEST_PREFIX - 1 - len(suffix)].rstrip('-')}-{suffix}"


def host_names(cluster_prefix: str, rows: Iterable[Any]) -> re.Pattern[str]:
    """Return what the host names of a cluster's nodes look like.

    :param rows: its node groups.
    """
    prefixes = [f"{cluster_prefix}-manager", f"{cluster_prefix}-worker"]
    for row in rows:
        if not row.is_default:
            plain = name_prefix(cluster_prefix, row.name, row.uuid, ())
            # Another group may have had that one.
            prefixes += [plain, name_prefix(cluster_prefix, row.name, row.uuid, (plain,))]
    return node_names(*prefixes)


def node_names(*prefixes: str) -> re.Pattern[str]:
    """Return what host names look like that begin so, with an index."""
    return re.compile(rf"(?:{'|'.join(map(re.escape, prefixes))})-g?[0-9]+")


def swarm_labels(row: Any) -> dict[str, str]:
    """Return the labels of the swarm that the nodes of a group shall have.

    Magnum 23 keeps such labels; the name of a further group is one on all releases.
    """
    own = {} if row.is_default else {GROUP_LABEL: str(row.name)}
    return {**own, **(getattr(row, "node_labels", None) or {})}


def check_labels(
    group: Mapping[str, Any] | None, cluster: Mapping[str, Any] | None, defaults: Any
) -> label_table.Labels:
    """Return the labels of a group, those that it has not being the cluster's.

    :raises Refused: for a label that is unknown, bad, or the whole cluster's.
    """
    values = label_parsing.parse({**(cluster or {}), **(group or {})}, defaults)
    whole = label_parsing.parse(cluster or {}, defaults)
    for name, value in (group or {}).items():
        if label_parsing.asks_for_nothing(name, value):
            continue
        if name not in PER_GROUP and getattr(values, name) != getattr(whole, name):
            own = ", ".join(sorted(PER_GROUP))
            raise exceptions.Refused(
                f"Label {name} is the whole cluster's and cannot differ in a node group; leave it "
                f"out. Labels that a node group may have of its own are {own}."
            )
    return values


def build(
    cluster: Any,
    row: Any,
    values: label_table.Labels,
    stack: ClusterStack,
    prefix: str,
    secret: str,
) -> stack_request.StackRequest:
    """Return what Heat is asked to make a group of.

    :param stack: the cluster's, whose outputs and parameters the group shares.
    :raises Refused: when values cannot be passed on.
    :raises Unavailable: when the cluster's stack does not show what is needed.
    """
    template = cluster.cluster_template
    volume = int(
        row.docker_volume_size or cluster.docker_volume_size or template.docker_volume_size or 0
    )
    worker = ["volume"] * bool(volume) + ["floating_ip"] * values.worker_floating_ip_enabled
    environment = stack_request.environment_of(
        ("cluster", *(["_".join(["worker", *worker])] if worker else [])),
        {
            "docker_volume_size": volume,
            "docker_volume_type": values.docker_volume_type,
            "external_network": template.external_network_id or "",
        },
    )
    # The group has neither network nor managers of its own.
    registry = environment["resource_registry"]
    environment["resource_registry"] = {
        kind: file for kind, file in registry.items() if kind.endswith("::Worker")
    }
    files = {
        name: templates.read(name)
        for name in environment["resource_registry"].values()
        if name.endswith(".yaml")
    }
    files["user_data/worker.yaml"] = user_data.render("worker")
    minutes = int(cluster.create_timeout or 0) or _DEFAULT_MINUTES
    told = stack.outputs
    needed = ("node_configuration", "node_security_group", "network", "subnet")
    if any(not told.get(name) for name in needed):
        raise exceptions.Unavailable(
            "Heat does not show the cluster's network and managers now, so that no node group can "
            "be made; try again later.",
            f"Stack {stack.id} lacks one of the outputs {', '.join(needed)}.",
        )
    text = templates.read("node_group.yaml")
    declared, own = yaml.safe_load(text)["parameters"], stack_request.label_parameters(values)
    return stack_request.StackRequest(
        template=text,
        files=files,
        environment=environment,
        parameters={
            **{name: value for name, value in own.items() if name in declared},
            "cluster_uuid": cluster.uuid,
            "node_group": row.name,
            "group_name_prefix": prefix,
            "node_configuration": told["node_configuration"],
            "ca_certificate": stack.parameters["ca_certificate"],
            "join_secret": secret,
            "join_timeout": int(stack.parameters["join_timeout"]),
            "network": told["network"],
            "subnet": told["subnet"],
            "security_groups": [told["node_security_group"]],
            "count": int(row.node_count),
            "signals": int(row.node_count),
            "removals": [],
            "flavor": row.flavor_id or cluster.flavor_id or template.flavor_id,
            "image": row.image_id or template.image_id,
            "green_flavor": row.flavor_id or cluster.flavor_id or template.flavor_id,
            "green_image": row.image_id or template.image_id,
            "key_name": stack.parameters.get("key_name") or "",
            "create_timeout": max(30, minutes * 60 - 30),
        },
        tags=("magnum-swarm-mode", cluster.uuid),
    )
