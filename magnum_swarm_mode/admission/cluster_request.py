# SPDX-License-Identifier: Apache-2.0
"""What a user may ask of a swarm-mode cluster, decided before anything is created.

Creating a cluster is only a message from magnum-api to magnum-conductor, so whatever the conductor
refuses reaches the user as a failed cluster. Therefore every value that Magnum's API takes is
decided on here, in the API process: the tables of :mod:`.fields` say of each field of the API's
types who honours it, or why it is refused.

The decisions are functions of plain values; :mod:`magnum_swarm_mode.api.requests` calls them from
Magnum's validators.
"""

from __future__ import annotations

import dataclasses
import ipaddress
import unicodedata
from collections.abc import Mapping
from typing import Any, NoReturn

from magnum_swarm_mode import constants, exceptions
from magnum_swarm_mode.admission import fields as request_fields
from magnum_swarm_mode.labels import parsing as label_parsing
from magnum_swarm_mode.labels import table as label_table
from magnum_swarm_mode.sentences import shown

# What Magnum's database may not be able to keep begins here, where its character set is utf8mb3.
_BEYOND_PLANE = 0x10000


@dataclasses.dataclass(frozen=True)
class Cloud:
    """What the operator says of the cloud.

    :ivar tenant_networks_reachable: ``[swarm_mode] tenant_networks_reachable``.
    :ivar label_defaults: ``CONF.swarm_mode``, or None for what is built in.
    """

    tenant_networks_reachable: bool = False
    label_defaults: Any = None


def is_cluster_name(text: str) -> bool:
    """Return whether a cluster may have a name: letters of any script, digits and ``_.-``.

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


# Fields of a template's row that the user did not give but Magnum wrote.
_WRITTEN_BY_MAGNUM = frozenset({"id", "links", "project_id", "user_id", "created_at", "updated_at"})


def check_cluster_template(template: Mapping[str, Any], cloud: Cloud) -> None:
    """Decide on a template that is about to be stored.

    :param template: the template's fields, as they will be stored.
    :raises Refused: when a cluster could not be made of it.
    """
    given = {name: value for name, value in template.items() if name not in _WRITTEN_BY_MAGNUM}
    check_texts(given)
    request_fields.check_fields(request_fields.CLUSTER_TEMPLATE_FIELDS, given)
    if not request_fields.is_unset(template.get("labels")):
        _check_conductor(label_parsing.parse(template["labels"], cloud.label_defaults), cloud)
    if request_fields.is_unset(template.get("flavor_id")):
        raise exceptions.Refused("flavor_id is missing: name the flavor of the nodes.")
    _check_reachability(template, cloud)


def effective(template: Mapping[str, Any], cluster: Mapping[str, Any]) -> dict[str, Any]:
    """Return what holds for a cluster: its own values, and its template's where it has none."""
    merged = dict(template)
    merged.update(
        (name, value) for name, value in cluster.items() if not request_fields.is_unset(value)
    )
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
    request_fields.check_fields(request_fields.CLUSTER_FIELDS, cluster)
    wanted = effective(template, cluster)
    check_cluster_template(wanted | {"labels": None}, cloud)
    values = label_parsing.parse(cluster.get("labels"), cloud.label_defaults)
    _check_conductor(values, cloud)
    if values.worker_floating_ip_enabled and request_fields.is_unset(
        wanted.get("external_network_id")
    ):
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
    floating = True if request_fields.is_unset(floating) else bool(floating)
    if not floating and not cloud.tenant_networks_reachable:
        raise exceptions.Refused(
            "floating_ip_enabled=false is refused: Magnum cannot reach managers that have no "
            "floating IP in this cloud; set it to true.",
            "floating_ip_enabled=false was refused; set [swarm_mode] tenant_networks_reachable if "
            "magnum-conductor can reach tenants' networks.",
        )
    if request_fields.is_unset(wanted.get("external_network_id")):
        made = request_fields.is_unset(wanted.get("fixed_network")) and request_fields.is_unset(
            wanted.get("fixed_subnet")
        )
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
    if distro not in constants.OS_DISTROS:
        raise exceptions.Refused(
            f"Image {shown(image_id)} has os_distro={shown(distro)}; swarm-mode clusters need an "
            f"image whose os_distro is {' or '.join(constants.OS_DISTROS)}."
        )
    if not request_fields.is_unset(cluster_distro) and cluster_distro != distro:
        raise exceptions.Refused(
            f"cluster_distro={shown(cluster_distro)} contradicts image {shown(image_id)}, whose "
            f"os_distro is {distro}; give cluster_distro={distro}."
        )
    driver = image.get("magnum_driver")
    if not request_fields.is_unset(driver) and driver != constants.ENTRY_POINT:
        raise exceptions.Refused(
            f"Image {shown(image_id)} is meant for the driver {shown(driver)} (its property "
            "magnum_driver); choose another image for a swarm-mode cluster."
        )


def check_driver(coe: str | None, driver: str | None) -> None:
    """Refuse a template whose orchestration engine and driver do not belong together.

    :raises Refused: when one is swarm-mode's and the other is not.
    """
    if request_fields.is_unset(driver):
        return
    if coe == constants.COE and driver != constants.ENTRY_POINT:
        raise exceptions.Refused(
            f"driver={shown(driver)} does not offer coe={constants.COE}; use "
            f"driver={constants.ENTRY_POINT} or leave it out."
        )
    if coe != constants.COE and driver == constants.ENTRY_POINT:
        raise exceptions.Refused(
            f"driver={constants.ENTRY_POINT} offers only coe={constants.COE}, not "
            f"coe={shown(coe)}; leave driver out."
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
    token = (token_info or {}).get("token")
    if not isinstance(token, Mapping):
        return None
    credential = token.get("application_credential")
    unrestricted = isinstance(credential, Mapping) and credential.get("restricted") is False
    if credential and not unrestricted:
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
    if sentence := request_fields.manager_count(count):
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
