# SPDX-License-Identifier: Apache-2.0
"""Who honours which field of the API's types, or why it is refused.

A field that is in none of the tables is a defect, and a test looks for such.
"""

from __future__ import annotations

import dataclasses
import enum
import ipaddress
import re
import urllib.parse
from collections.abc import Callable, Collection, Mapping
from typing import Any

from magnum_swarm_mode import constants, exceptions
from magnum_swarm_mode.sentences import shown

NETWORK_DRIVER = "overlay"
STORAGE_DRIVER = "overlay2"
# Minutes; a longer deadline than Heat's could not be kept.
LONGEST_CREATE_TIMEOUT = constants.LONGEST_WAIT // 60
# Host names of nodes end with an index of four digits.
MOST_WORKERS = 10000
# Every manager takes part in every write to Raft's log; the user-data of each names all.
MOST_MANAGERS = 99

Check = Callable[[Any], "str | None"]


class Handling(enum.Enum):
    """What becomes of a value that a user gives."""

    HONOURED = "honoured"
    REFUSED = "refused"
    MAGNUM = "Magnum's own"


@dataclasses.dataclass(frozen=True)
class Field:
    """What is done with one field of an API type.

    :ivar handling: who deals with the value.
    :ivar text: what the value does; for a refused field the sentence that the user reads.
    :ivar check: returns a sentence when this value cannot be honoured, else None.
    :ivar harmless: values of a refused field that ask for nothing.
    """

    handling: Handling
    text: str
    check: Check | None = None
    harmless: tuple[Any, ...] = ()


def _honoured(text: str, check: Check | None = None) -> Field:
    return Field(Handling.HONOURED, text, check)


def _refused(sentence: str, *harmless: Any) -> Field:
    return Field(Handling.REFUSED, sentence, harmless=harmless)


def _magnums(text: str) -> Field:
    return Field(Handling.MAGNUM, text)


def _answer_only(name: str) -> Field:
    return _refused(f"{name} is written by Magnum and cannot be given; leave it out.")


def _one_of(name: str, *allowed: str) -> Check:
    def check(value: Any) -> str | None:
        if value in allowed:
            return None
        return f"{name}={shown(value)} is not offered; use {' or '.join(allowed)} or leave it out."

    return check


def _server_type(value: Any) -> str | None:
    if value == constants.SERVER_TYPE:
        return None
    return (
        f"server_type={shown(value)} is not offered: swarm-mode clusters run on virtual "
        f"machines; use {constants.SERVER_TYPE}."
    )


def _api_port(value: Any) -> str | None:
    if value == constants.API_PORT:
        return None
    return (
        f"apiserver_port={shown(value)} is not offered: the Docker API is served on port "
        f"{constants.API_PORT}; leave apiserver_port out."
    )


def _proxy(name: str) -> Check:
    def check(value: Any) -> str | None:
        text = str(value)
        try:
            url = urllib.parse.urlsplit(text)
            good = url.scheme in ("http", "https") and bool(url.hostname) and url.port != 0
        except ValueError:
            good = False
        if good and _is_plain(text):
            return None
        # A proxy's address may hold a password, so that it is not repeated here.
        return f"{name} is not the address of a proxy; give one like http://proxy.example.com:3128."

    return check


def _no_proxy(value: Any) -> str | None:
    text = str(value)
    if _is_plain(text) and all(map(_is_network, filter(lambda one: "/" in one, text.split(",")))):
        return None
    return (
        f"no_proxy={shown(value)} is not a list of hosts; give names, addresses or networks "
        "separated by commas, without spaces."
    )


def _is_network(text: str) -> bool:
    try:
        ipaddress.ip_network(text, strict=False)
    except ValueError:
        return False
    return True


def _insecure_registry(value: Any) -> str | None:
    if re.fullmatch(r"[A-Za-z0-9.\-]+(:[0-9]{1,5})?|[0-9.]+/[0-9]{1,2}", str(value)):
        return None
    return (
        f"insecure_registry={shown(value)} is not a registry; give host, host:port or an IPv4 "
        "network, without http://."
    )


def _create_timeout(value: Any) -> str | None:
    if _is_between(value, 0, LONGEST_CREATE_TIMEOUT):
        return None
    return (
        f"create_timeout={shown(value)} cannot be kept: Heat waits for nodes "
        f"{LONGEST_CREATE_TIMEOUT} minutes at most; give 0 to {LONGEST_CREATE_TIMEOUT}."
    )


def manager_count(value: Any) -> str | None:
    """Return why there cannot be so many managers; None where there can."""
    count = int(value)
    if count < 1:
        return (
            f"master_count={count} is not possible: a swarm needs at least one manager; use 1, or "
            "3 to survive the loss of one."
        )
    if count % 2 == 0:
        # Raft decides with a majority: n managers survive the loss of (n - 1) // 2.
        survives = (count - 1) // 2
        return (
            f"master_count={count} is refused: {count} managers need {count // 2 + 1} for a quorum "
            f"and survive the loss of {survives}, no more than {count - 1} would; use {count - 1} "
            f"or {count + 1}."
        )
    if count > MOST_MANAGERS:
        return (
            f"master_count={shown(count)} is refused: every manager takes part in every decision; "
            "3, 5 or 7 are usual."
        )
    return None


def _is_between(value: Any, least: int, most: int) -> bool:
    try:
        return least <= int(value) <= most
    except (TypeError, ValueError, OverflowError):
        return False


def _node_count(value: Any) -> str | None:
    if _is_between(value, 0, MOST_WORKERS):
        return None
    return (
        f"node_count={shown(value)} is not possible; give the number of workers, 0 to "
        f"{MOST_WORKERS}."
    )


def _docker_volume_size(value: Any) -> str | None:
    if _is_between(value, 1, constants.LARGEST_VOLUME):
        return None
    return (
        f"docker_volume_size={shown(value)} is not possible; give the size of each node's volume "
        f"in GiB, 1 to {constants.LARGEST_VOLUME}, or leave it out."
    )


_PROXY = "proxy of the engine, of apt, and of the nodes' requests to Keystone, Magnum and Heat"
_STORAGE = (
    "docker_storage_driver is only offered as overlay2, the engine's default; use overlay2 or "
    "leave it out."
)
_LOAD_BALANCER = (
    "master_lb_enabled is not offered in this release: every manager serves the Docker API under "
    "its own address; set it to false (several managers need no load balancer)."
)
_TLS = (
    "tls_disabled is refused: whoever reaches a Docker API without TLS is root on every node; set "
    "it to false."
)
_REGISTRY = (
    "registry_enabled is not offered: clusters run no registry of their own; set it to false and "
    "name an existing registry in insecure_registry or in the images."
)
_VOLUME_DRIVER = (
    "volume_driver is not offered in this release: clusters come without a volume plug-in; leave "
    "it out (docker_volume_size gives the engine of each node a Cinder volume)."
)
_DISCOVERY = (
    "discovery_url is refused: managers of a swarm find each other without a discovery service; "
    "leave it out."
)
_TAINTS = (
    "node_taints is not offered: Swarm has no taints; give the nodes node_labels and constrain "
    "services to them."
)

CLUSTER_TEMPLATE_FIELDS: Mapping[str, Field] = {
    "uuid": _magnums("the template's identity"),
    "name": _magnums("the template's name"),
    "coe": _honoured("chooses this driver"),
    "driver": _honoured(
        "the driver's entry point, swarm_mode; filled in when left out",
        _one_of("driver", constants.ENTRY_POINT),
    ),
    "image_id": _honoured(
        f"image of all nodes; its os_distro must be {' or '.join(constants.OS_DISTROS)}"
    ),
    "cluster_distro": _honoured(
        "taken from the image's os_distro, which it must not contradict",
        _one_of("cluster_distro", *constants.OS_DISTROS),
    ),
    "flavor_id": _honoured("flavor of workers, and of managers where they have none of their own"),
    "master_flavor_id": _honoured("flavor of managers"),
    "keypair_id": _honoured("SSH key of all nodes, if the cluster names none"),
    "dns_nameserver": _honoured("DNS servers of the network that is made, and of the engines"),
    "external_network_id": _honoured("network of floating IPs and of the router that is made"),
    "fixed_network": _honoured("existing network of all nodes; one is made when left out"),
    "fixed_subnet": _honoured("existing subnet of all nodes, in fixed_network"),
    "network_driver": _honoured("overlay, Swarm's own", _one_of("network_driver", NETWORK_DRIVER)),
    "apiserver_port": _honoured("2376, the port of the Docker API", _api_port),
    "docker_volume_size": _honoured(
        "GiB of a Cinder volume for each node's engine", _docker_volume_size
    ),
    "docker_storage_driver": Field(
        Handling.HONOURED,
        "overlay2, storage driver of the engine",
        lambda value: None if value == STORAGE_DRIVER else _STORAGE,
    ),
    "http_proxy": _honoured(_PROXY, _proxy("http_proxy")),
    "https_proxy": _honoured(_PROXY, _proxy("https_proxy")),
    "no_proxy": _honoured("what all of these reach without the proxy", _no_proxy),
    "insecure_registry": _honoured(
        "registry that the engine talks to without a trusted certificate", _insecure_registry
    ),
    "labels": _honoured("see the table of labels"),
    "server_type": _honoured("vm", _server_type),
    "floating_ip_enabled": _honoured("whether managers get floating IPs"),
    "public": _magnums("who may use the template"),
    "hidden": _magnums("who sees the template"),
    "tags": _magnums("free text"),
    "links": _answer_only("links"),
    "project_id": _answer_only("project_id"),
    "user_id": _answer_only("user_id"),
    "created_at": _answer_only("created_at"),
    "updated_at": _answer_only("updated_at"),
    "volume_driver": _refused(_VOLUME_DRIVER),
    "registry_enabled": _refused(_REGISTRY, False),
    "tls_disabled": _refused(_TLS, False),
    "master_lb_enabled": _refused(_LOAD_BALANCER, False),
}

CLUSTER_FIELDS: Mapping[str, Field] = {
    "name": _honoured("name of the cluster"),
    "cluster_template_id": _honoured("the template"),
    "keypair": _honoured("SSH key of all nodes"),
    "node_count": _honoured(f"number of workers, 0 to {MOST_WORKERS}", _node_count),
    "master_count": _honoured(
        f"number of managers, odd, at most {MOST_MANAGERS}; 3, 5 or 7 are usual", manager_count
    ),
    "docker_volume_size": _honoured(
        "GiB of a Cinder volume for each node's engine", _docker_volume_size
    ),
    "labels": _honoured("see the table of labels"),
    "merge_labels": _magnums("whether the template's labels are added"),
    "master_flavor_id": _honoured("flavor of managers"),
    "flavor_id": _honoured("flavor of workers"),
    "create_timeout": _honoured(
        f"minutes until creation fails, 1 to {LONGEST_CREATE_TIMEOUT}; 0 is one hour",
        _create_timeout,
    ),
    "fixed_network": _honoured("existing network of all nodes"),
    "fixed_subnet": _honoured("existing subnet of all nodes"),
    "floating_ip_enabled": _honoured("whether managers get floating IPs"),
    "master_lb_enabled": _refused(_LOAD_BALANCER, False),
    "discovery_url": _refused(_DISCOVERY),
    **{
        name: _answer_only(name)
        for name in (
            "uuid",
            "links",
            "stack_id",
            "cluster_id",
            "status",
            "status_reason",
            "health_status",
            "health_status_reason",
            "api_address",
            "coe_version",
            "container_version",
            "project_id",
            "user_id",
            "node_addresses",
            "master_addresses",
            "faults",
            "labels_overridden",
            "labels_added",
            "labels_skipped",
            "created_at",
            "updated_at",
        )
    },
}

NODE_GROUP_FIELDS: Mapping[str, Field] = {
    "name": _honoured("name of the group, and the node label magnum.node_group of its nodes"),
    "node_count": _honoured(f"number of workers, 0 to {MOST_WORKERS}", _node_count),
    "min_node_count": _magnums("the fewest workers that a resize may ask for"),
    "max_node_count": _magnums("the most workers that a resize may ask for"),
    "role": _honoured("any word but master; all further groups are of workers"),
    "flavor_id": _honoured("flavor of the group's nodes; the cluster's when left out"),
    "image_id": _honoured("image of the group's nodes; the template's when left out"),
    "docker_volume_size": _honoured(
        "GiB of a Cinder volume for each node's engine; the cluster's when left out"
    ),
    "labels": _honoured("see the table of labels, of which some may differ from the cluster's"),
    "merge_labels": _magnums("whether the cluster's labels are added"),
    "node_labels": _honoured("labels of the nodes in the swarm, for placement constraints"),
    "node_taints": _refused(_TAINTS, [], ()),
    **{
        name: _answer_only(name)
        for name in (
            "id",
            "uuid",
            "cluster_id",
            "project_id",
            "links",
            "node_addresses",
            "is_default",
            "stack_id",
            "status",
            "status_reason",
            "version",
            "labels_overridden",
            "labels_added",
            "labels_skipped",
            "created_at",
            "updated_at",
        )
    },
}


def _is_plain(text: str) -> bool:
    """Return whether text can stand unquoted in environment files: no spaces, quotes, controls."""
    return bool(text) and all(c.isprintable() and c not in " \"'\\`$" for c in text)


def is_unset(value: object) -> bool:
    """Return whether a value of an API type says nothing (wsme's Unset is false and not a bool)."""
    return value is None or value == "" or type(value).__name__ == "UnsetType"


def check_fields(fields: Mapping[str, Field], values: Mapping[str, Any]) -> None:
    """Refuse the first value that cannot be honoured.

    :param fields: one of the tables of this module.
    :param values: field names to values, defaults filled in.
    :raises Refused: with a sentence that names the field.
    """
    for name, value in values.items():
        field = fields.get(name)
        if field is None or is_unset(value):
            continue
        if field.check is not None and (sentence := field.check(value)):
            raise exceptions.Refused(sentence)
        if field.handling is Handling.REFUSED and value not in field.harmless:
            raise exceptions.Refused(field.text)


def check_given(fields: Mapping[str, Field], given: Collection[str]) -> None:
    """Refuse fields that a user gave although Magnum would silently drop them.

    :param fields: one of the tables of this module.
    :param given: names of the fields in the request.
    :raises Refused: with a sentence that names the field.
    """
    for name in given:
        field = fields.get(name)
        if field is not None and field.handling is Handling.REFUSED and not field.harmless:
            raise exceptions.Refused(field.text)
