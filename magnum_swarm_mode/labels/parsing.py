# SPDX-License-Identifier: Apache-2.0
"""From the text of labels to their values, and what values do not go together."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Mapping
from typing import Any

from magnum_swarm_mode import constants, exceptions
from magnum_swarm_mode.labels import address_pools
from magnum_swarm_mode.labels.table import DECLARATIONS, Declaration, Labels
from magnum_swarm_mode.sentences import shown

# Port of the nodes' gossip, which also is UDP (docs.docker.com, "Open protocols and ports").
_GOSSIP_PORT = 7946
# What no published port may open to the world: ssh, the Docker API, the swarm's control plane, the
# join service, gossip. Each has rules of its own.
_OWN_PORTS = {
    "tcp": (22, 2374, constants.API_PORT, 2377, 2378, _GOSSIP_PORT),
    "udp": (_GOSSIP_PORT,),
}
# Drivers that send a container's log away, and the protocols that they speak.
_REMOTE_LOGS = {"syslog": ("udp", "tcp"), "gelf": ("udp", "tcp"), "fluentd": ("tcp",)}
# Labels of other engines that magnum-ui, the panel of Horizon, sends with every cluster unless it
# knows better: false or nothing asks for nothing. The sentences say why more is not offered.
_OTHER_ENGINES: Mapping[str, str] = {
    "auto_scaling_enabled": "clusters have the number of workers that they are resized to",
    "master_lb_floating_ip_enabled": "managers have no load balancer before them; the field "
    "floating_ip_enabled gives each an address of its own",
    "api_master_lb_allowed_cidrs": "managers have no load balancer before them; the label "
    "api_allowed_cidrs says who may connect",
    "ingress_controller": "Swarm routes published ports of services itself",
}
_ASKS_FOR_NOTHING = ("", "false")
# Of a name that may be a known one, mistyped; in characters.
_LONGEST_NAME = 64


def parse(labels: Mapping[str, Any] | None, defaults: Any = None) -> Labels:
    """Return the typed values of a cluster's labels.

    :param labels: as Magnum keeps them: names to text (or what JSON allows).
    :param defaults: the operator's defaults, ``CONF.swarm_mode``; what is built in when None.
    :raises Refused: naming the label, and the nearest name where it is unknown.
    """
    values: dict[str, Any] = {}
    if defaults is not None:
        values.update((name, _default(name, getattr(defaults, name))) for name in DECLARATIONS)
    for name, text in (labels or {}).items():
        if not asks_for_nothing(name, text):
            values[name] = _value(name, text)
    result = Labels(**values)
    _check_together(result)
    conductor = tuple(getattr(defaults, "conductor_cidrs", None) or ())
    if not conductor:
        return result
    return dataclasses.replace(
        result,
        api_allowed_cidrs=tuple(dict.fromkeys(result.api_allowed_cidrs + conductor)),
    )


def _default(name: str, value: object) -> Any:
    try:
        return DECLARATIONS[name].type(value)
    except ValueError as error:
        raise exceptions.Refused(
            f"The operator's default of label {name} is not valid.",
            f"[swarm_mode] {name}: {error}",
        ) from error


def asks_for_nothing(name: str, value: object) -> bool:
    """Return whether a label is another engine's, with a value that needs nothing to be done."""
    return name in _OTHER_ENGINES and str(value).strip().lower() in _ASKS_FOR_NOTHING


def _value(name: str, value: object) -> Any:
    declaration = DECLARATIONS.get(name)
    if declaration is None:
        raise exceptions.Refused(_unknown(name))
    # JSON may carry booleans and numbers; everything else of Magnum's knows text only.
    text = str(value).strip()
    reason: ValueError | None = None
    try:
        # oslo.config's numbers make None of empty text.
        if (result := declaration.type(text)) is not None:
            return result
    except ValueError as error:
        reason = error
    raise exceptions.Refused(
        f"Label {name}={shown(text)} is not valid; expected {_expected(declaration)}."
    ) from reason


def _expected(declaration: Declaration) -> str:
    return declaration.kind + (f" {declaration.unit}" if declaration.unit else "")


def _unknown(name: str) -> str:
    if name in _OTHER_ENGINES:
        return f"Label {name} is not offered: {_OTHER_ENGINES[name]}; leave it out."
    # No label's name is long, and the cost of the comparison grows with the length.
    known = list(DECLARATIONS) if len(name) <= _LONGEST_NAME else []
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    if near:
        advice = f"did you mean {near[0]}?"
    else:
        advice = f"known labels are {', '.join(sorted(DECLARATIONS))}."
    return f"Label {shown(name)} is not known to swarm-mode clusters; {advice}"


def _check_together(labels: Labels) -> None:
    if labels.data_path_port == _GOSSIP_PORT:
        raise exceptions.Refused(
            f"Label data_path_port={_GOSSIP_PORT} is not valid: the nodes' gossip uses that UDP "
            "port; choose another, 4789 is the usual one."
        )
    pool, mask = labels.swarm_address_pool, labels.swarm_address_pool_mask
    if pool and not address_pools.holds_several(pool, mask):
        raise exceptions.Refused(
            f"Label swarm_address_pool={pool} is too small: it must hold several networks of "
            f"/{mask} (label swarm_address_pool_mask); choose a larger pool or a larger mask."
        )
    if pool:
        address_pools.refuse_special(pool)
    for text in labels.published_ports:
        _check_published(text, labels.data_path_port)
    if labels.boot_volume_type and not labels.boot_volume_size:
        raise exceptions.Refused(
            "Label boot_volume_type has no volume to be for: set boot_volume_size as well, or "
            "leave it out."
        )
    _check_log(labels)
    _check_repository(labels)


def _check_published(text: str, data_path_port: int) -> None:
    protocol, first, last = port_range(text)
    own = _OWN_PORTS[protocol] + ((data_path_port,) if protocol == "udp" else ())
    for port in own:
        if first <= port <= last:
            raise exceptions.Refused(
                f"Label published_ports: {text} holds {port}/{protocol}, which the nodes need for "
                "themselves; publish services on other ports."
            )


def port_range(text: str) -> tuple[str, int, int]:
    """Return protocol, first and last port of one value of ``published_ports``."""
    ports, _, protocol = text.partition("/")
    first, _, last = ports.partition("-")
    return protocol, int(first), int(last or first)


def _check_log(labels: Labels) -> None:
    driver, address = labels.log_driver, labels.log_address
    protocols = _REMOTE_LOGS.get(driver)
    if address and protocols is None:
        raise exceptions.Refused(
            f"Label log_address={shown(address)} does not go with log_driver={driver}, which "
            "sends nothing away; use syslog, gelf or fluentd, or leave log_address out."
        )
    if protocols and address and address.partition(":")[0] not in protocols:
        raise exceptions.Refused(
            f"Label log_address={shown(address)} is not valid for log_driver={driver}, which "
            f"speaks {' and '.join(protocols)} only."
        )
    if driver in ("gelf", "fluentd") and not address:
        raise exceptions.Refused(
            f"Label log_driver={driver} needs to know where to send: set log_address, such as "
            "tcp://logs.example.com:24224."
        )


def _check_repository(labels: Labels) -> None:
    repository, key = labels.docker_repository, labels.docker_repository_key
    if key and not repository:
        raise exceptions.Refused(
            "Label docker_repository_key has no repository to be for: set docker_repository as "
            "well, or leave it out."
        )
    if repository.startswith("http:") and not key:
        raise exceptions.Refused(
            f"Label docker_repository={shown(repository)} needs docker_repository_key: a key that "
            "comes without TLS proves nothing; name one with https://."
        )
