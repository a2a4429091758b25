# SPDX-License-Identifier: Apache-2.0
"""What a user may ask of a swarm-mode cluster, decided before anything is created.

Creating a cluster is only a message from magnum-api to magnum-conductor, so whatever the conductor
refuses reaches the user as a failed cluster. Therefore every value that Magnum's API takes is
decided on here, in the API process: the tables below say of each field of the API's types who
honours it, or why it is refused. A field in neither is a defect, and a test looks for such.

The decisions are functions of plain values; :mod:`magnum_swarm_mode.api.requests` calls them from
Magnum's validators.
"""

from __future__ import annotations

import dataclasses
import enum
import ipaddress
import re
import unicodedata
import urllib.parse
from collections.abc import Callable, Collection, Mapping
from typing import Any, NoReturn

from magnum_swarm_mode import constants, exceptions
from magnum_swarm_mode.labels import parsing as label_parsing
from magnum_swarm_mode.labels import table as label_table
from magnum_swarm_mode.sentences import shown

COE = constants.COE
ENTRY_POINT = constants.ENTRY_POINT
SERVER_TYPE = constants.SERVER_TYPE
OS_DISTROS = constants.OS_DISTROS
NETWORK_DRIVER = "overlay"
STORAGE_DRIVER = "overlay2"
# The port registered for the Docker API with TLS; Swarm's own ports are its neighbours.
API_PORT = constants.API_PORT
# Minutes; a longer deadline than Heat's could not be kept.
LONGEST_CREATE_TIMEOUT = constants.LONGEST_WAIT // 60
# Host names of nodes end with an index of four digits.
MOST_WORKERS = 10000
# Every manager takes part in every write to Raft's log; the user-data of each names all.
MOST_MANAGERS = 99
# What Magnum's database may not be able to keep begins here, where its character set is utf8mb3.
_BEYOND_PLANE = 0x10000

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
    if value == SERVER_TYPE:
        return None
    return (
        f"server_type={shown(value)} is not offered: swarm-mode clusters run on virtual "
        f"machines; use {SERVER_TYPE}."
    )


def _api_port(value: Any) -> str | None:
    if value == API_PORT:
        return None
    return (
        f"apiserver_port={shown(value)} is not offered: the Docker API is served on port "
        f"{API_PORT}; leave apiserver_port out."
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


def _manager_count(value: Any) -> str | None:
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
        _one_of("driver", ENTRY_POINT),
    ),
    "image_id": _honoured(f"image of all nodes; its os_distro must be {' or '.join(OS_DISTROS)}"),
    "cluster_distro": _honoured(
        "taken from the image's os_distro, which it must not contradict",
        _one_of("cluster_distro", *OS_DISTROS),
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
    "http_proxy": _honoured("proxy of the engine", _proxy("http_proxy")),
    "https_proxy": _honoured("proxy of the engine", _proxy("https_proxy")),
    "no_proxy": _honoured("what the engine reaches without proxy", _no_proxy),
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
    "node_count": _honoured("number of workers", _node_count),
    "master_count": _honoured("number of managers, odd", _manager_count),
    "docker_volume_size": _honoured(
        "GiB of a Cinder volume for each node's engine", _docker_volume_size
    ),
    "labels": _honoured("see the table of labels"),
    "merge_labels": _magnums("whether the template's labels are added"),
    "master_flavor_id": _honoured("flavor of managers"),
    "flavor_id": _honoured("flavor of workers"),
    "create_timeout": _honoured("minutes until creation fails; 0 is Heat's limit", _create_timeout),
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
    "node_count": _honoured("number of workers", _node_count),
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


@dataclasses.dataclass(frozen=True)
class Cloud:
    """What the operator says of the cloud.

    :ivar tenant_networks_reachable: ``[swarm_mode] tenant_networks_reachable``.
    :ivar label_defaults: ``CONF.swarm_mode``, or None for what is built in.
    """

    tenant_networks_reachable: bool = False
    label_defaults: Any = None


def _is_plain(text: str) -> bool:
    """Tell whether text can stand unquoted in an environment file: no spaces, quotes, controls."""
    return bool(text) and all(c.isprintable() and c not in " \"'\\`$" for c in text)


def is_unset(value: object) -> bool:
    """Tell whether a value of an API type says nothing (wsme's Unset is false and not a bool)."""
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


def is_cluster_name(text: str) -> bool:
    """Tell whether a cluster may have a name: letters of any script, digits and ``_.-``.

    Magnum itself knows the letters of English only. A letter comes first, as there.
    """
    kinds = [unicodedata.category(c)[0] for c in text]
    return (
        bool(text)
        and kinds[0] == "L"
        and all(kind in "LMN" or c in "_.-" for kind, c in zip(kinds, text, strict=True))
        and all(ord(c) < _BEYOND_PLANE for c in text)
    )


# What a user calls things, where Heat finds nothing to replace.
_FREE_TEXTS = frozenset({"name", "tags"})


def check_texts(values: Mapping[str, Any]) -> None:
    """Refuse text that would not arrive at its end as it is.

    :param values: field names to values; only texts are looked at.
    :raises Refused: naming the field.
    """
    for name, value in values.items():
        if not isinstance(value, str):
            continue
        # Control characters and halves of surrogate pairs.
        if any(unicodedata.category(c) in ("Cc", "Cs") for c in value):
            raise exceptions.Refused(f"{name} holds a control character; leave it out.")
        if any(ord(c) >= _BEYOND_PLANE for c in value):
            raise exceptions.Refused(
                f"{name} holds a character that Magnum's database may not be able to keep, such as "
                "an emoji; leave it out."
            )
        if constants.INDEX in value and name not in _FREE_TEXTS:
            raise exceptions.Refused(f"{name} holds {constants.INDEX}, which Heat would replace.")


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


# Fields of a template's row that the user did not give but Magnum wrote.
_WRITTEN_BY_MAGNUM = frozenset({"id", "links", "project_id", "user_id", "created_at", "updated_at"})


def check_cluster_template(template: Mapping[str, Any], cloud: Cloud) -> None:
    """Decide on a template that is about to be stored.

    :param template: the template's fields, as they will be stored.
    :raises Refused: when a cluster could not be made of it.
    """
    given = {name: value for name, value in template.items() if name not in _WRITTEN_BY_MAGNUM}
    check_texts(given)
    check_fields(CLUSTER_TEMPLATE_FIELDS, given)
    if not is_unset(template.get("labels")):
        _check_conductor(label_parsing.parse(template["labels"], cloud.label_defaults), cloud)
    if is_unset(template.get("flavor_id")):
        raise exceptions.Refused("flavor_id is missing: name the flavor of the nodes.")
    _check_reachability(template, cloud)


def effective(template: Mapping[str, Any], cluster: Mapping[str, Any]) -> dict[str, Any]:
    """Return what holds for a cluster: its own values, and its template's where it has none."""
    merged = dict(template)
    merged.update((name, value) for name, value in cluster.items() if not is_unset(value))
    return merged


def check_cluster(
    template: Mapping[str, Any], cluster: Mapping[str, Any], cloud: Cloud
) -> label_table.Labels:
    """Decide on a cluster that is about to be created.

    :param template: fields of its template.
    :param cluster: its own fields, the template's defaults filled in.
    :returns: the cluster's labels.
    :raises Refused: when it could not be made as asked.
    """
    check_texts(cluster)
    check_fields(CLUSTER_FIELDS, cluster)
    wanted = effective(template, cluster)
    check_cluster_template(wanted | {"labels": None}, cloud)
    values = label_parsing.parse(cluster.get("labels"), cloud.label_defaults)
    _check_conductor(values, cloud)
    if values.worker_floating_ip_enabled and is_unset(wanted.get("external_network_id")):
        raise exceptions.Refused(
            "Label worker_floating_ip_enabled needs external_network_id in the cluster template: "
            "name the network that floating IPs come from."
        )
    return values


def _check_conductor(values: label_table.Labels, cloud: Cloud) -> None:
    """Refuse a Docker API that Magnum itself might be shut out of.

    Without it no cluster is ever complete. Where the operator says where the conductor connects
    from, that is always allowed.
    """
    if getattr(cloud.label_defaults, "conductor_cidrs", None):
        return
    allowed = ipaddress.collapse_addresses(map(ipaddress.IPv4Network, values.api_allowed_cidrs))
    if ipaddress.IPv4Network("0.0.0.0/0") not in allowed:
        raise exceptions.Refused(
            "Label api_allowed_cidrs would shut out Magnum, which has to reach the Docker API, "
            "too, and this cloud's configuration does not say from where; leave the label out, or "
            "ask the operator.",
            "api_allowed_cidrs was refused; set [swarm_mode] conductor_cidrs to the networks from "
            "which magnum-conductor connects to managers.",
        )


def _check_reachability(wanted: Mapping[str, Any], cloud: Cloud) -> None:
    floating = wanted.get("floating_ip_enabled")
    # Magnum's default, in the API and in its database, is true.
    floating = True if is_unset(floating) else bool(floating)
    if not floating and not cloud.tenant_networks_reachable:
        raise exceptions.Refused(
            "floating_ip_enabled=false is refused: Magnum cannot reach managers that have no "
            "floating IP in this cloud; set it to true.",
            "floating_ip_enabled=false was refused; set [swarm_mode] tenant_networks_reachable if "
            "magnum-conductor can reach tenants' networks.",
        )
    if is_unset(wanted.get("external_network_id")):
        made = is_unset(wanted.get("fixed_network")) and is_unset(wanted.get("fixed_subnet"))
        if floating:
            raise exceptions.Refused(
                "external_network_id is missing: name the network that the managers' floating IPs "
                "come from."
            )
        if made:
            raise exceptions.Refused(
                "external_network_id is missing: without it the nodes of a new network could not "
                "reach OpenStack; name it, or an existing fixed_network."
            )


def check_image(image: Mapping[str, Any], image_id: str, cluster_distro: str | None) -> None:
    """Decide on the image of the nodes.

    :param image: its properties; ``os_distro`` and ``magnum_driver`` are looked at.
    :param image_id: the name that the user gave.
    :param cluster_distro: what the template says of it, if anything.
    :raises Refused: when nodes could not be made of it.
    """
    distro = image.get("os_distro")
    if distro not in OS_DISTROS:
        raise exceptions.Refused(
            f"Image {shown(image_id)} has os_distro={shown(distro)}; swarm-mode clusters need an "
            f"image whose os_distro is {' or '.join(OS_DISTROS)}."
        )
    if not is_unset(cluster_distro) and cluster_distro != distro:
        raise exceptions.Refused(
            f"cluster_distro={shown(cluster_distro)} contradicts image {shown(image_id)}, whose "
            f"os_distro is {distro}; give cluster_distro={distro}."
        )
    driver = image.get("magnum_driver")
    if not is_unset(driver) and driver != ENTRY_POINT:
        raise exceptions.Refused(
            f"Image {shown(image_id)} is meant for the driver {shown(driver)} (its property "
            "magnum_driver); choose another image for a swarm-mode cluster."
        )


def check_driver(coe: str | None, driver: str | None) -> None:
    """Refuse a template whose orchestration engine and driver do not belong together.

    :raises Refused: when one is swarm-mode's and the other is not.
    """
    if is_unset(driver):
        return
    if coe == COE and driver != ENTRY_POINT:
        raise exceptions.Refused(
            f"driver={shown(driver)} does not offer coe={COE}; use driver={ENTRY_POINT} or leave "
            "it out."
        )
    if coe != COE and driver == ENTRY_POINT:
        raise exceptions.Refused(
            f"driver={ENTRY_POINT} offers only coe={COE}, not coe={shown(coe)}; leave driver out."
        )


def check_credential(token_info: Mapping[str, Any] | None) -> str | None:
    """Refuse to create a cluster for a token that could not make what a cluster needs.

    Keystone lets a restricted application credential make neither another one, which the nodes
    need, nor a trust, which Heat and the conductor need (docs.openstack.org/keystone,
    "Application Credentials"). For other delegated tokens it depends on Keystone's release and
    configuration, so that Keystone has to be asked.

    :param token_info: ``keystone.token_info``: the body of Keystone's answer to the validation.
    :returns: what the user is authenticated with, if Keystone has to be asked; else None.
    :raises Refused: when the token belongs to a restricted application credential.
    """
    token = (token_info or {}).get("token") or {}
    credential = token.get("application_credential")
    if credential and credential.get("restricted", True):
        raise exceptions.Refused(
            "You are authenticated with a restricted application credential, with which Keystone "
            "allows neither the cluster's own credentials nor Heat's trust; use your password, or "
            "an application credential made with --unrestricted where Keystone accepts that."
        )
    if credential:
        return "an application credential"
    if token.get("OS-TRUST:trust"):
        return "a trust"
    return None


def refuse_delegation(means: str) -> NoReturn:
    """Refuse a token that Keystone does not let make credentials or trusts.

    :param means: what :func:`check_credential` returned.
    :raises Refused: always.
    """
    raise exceptions.Refused(
        f"You are authenticated with {means}, with which this cloud's Keystone allows neither the "
        "cluster's own credentials nor Heat's trust; use your password."
    )


def check_manager_count(count: int) -> None:
    """Refuse a number of managers that has no useful quorum.

    :raises Refused: with the arithmetic.
    """
    if sentence := _manager_count(count):
        raise exceptions.Refused(sentence)


def validate_manager_count(count: int) -> None:
    """As :func:`check_manager_count`, for Magnum's callers of a driver.

    :raises magnum.common.exception.InvalidParameterValue: with the arithmetic; HTTP 400.
    """
    # Not at the top, so that decisions and tables can be used where Magnum is not installed.
    from magnum.common import exception

    try:
        check_manager_count(count)
    except exceptions.Refused as refusal:
        raise exception.InvalidParameterValue(err=str(refusal)) from refusal
