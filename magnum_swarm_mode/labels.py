# SPDX-License-Identifier: Apache-2.0
"""The labels of a cluster: typed options that a user sets on a cluster or its template.

The fields of :class:`Labels` are the one declaration of every label: name, type, bounds, unit,
default and help. The configuration options that hold the operator's defaults, the documentation's
table and the messages about bad values are all made from it.
"""

from __future__ import annotations

import dataclasses
import difflib
import ipaddress
import re
from collections.abc import Iterable, Mapping
from typing import Any

from oslo_config import types

from magnum_swarm_mode import address_pools, exceptions

# Bounds that the engine itself checks: libnetwork refuses a data path port outside this range, and
# swarmkit a subnet smaller than /29 (docs.docker.com, "docker swarm init").
_DATA_PATH_PORTS = (1024, 49151)
_SMALLEST_SUBNET = 29
# Port of the nodes' gossip, which also is UDP (docs.docker.com, "Open protocols and ports").
_GOSSIP_PORT = 7946
# The longest time that a Heat wait condition may wait.
_LONGEST_WAIT = 43200


class IPv4Network(types.ConfigType):
    """An IPv4 network without host bits, or nothing where that is allowed."""

    def __init__(self, *, optional: bool = False) -> None:
        super().__init__(type_name="IPv4 network" + (" or empty" if optional else ""))
        self.optional = optional

    def __call__(self, value: object) -> str:
        """Return the network in its usual form; ValueError when it is none."""
        text = str(value).strip()
        if not text and self.optional:
            return ""
        try:
            return str(ipaddress.IPv4Network(text))
        except ValueError as error:
            raise ValueError(f"{text!r} is not an IPv4 network: {error}") from error

    def __repr__(self) -> str:
        return f"IPv4Network(optional={self.optional})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, IPv4Network) and other.optional == self.optional

    def __hash__(self) -> int:
        return hash((type(self), self.optional))

    def _formatter(self, value: str) -> str:
        return value


class NetworkList(types.ConfigType):
    """IPv4 networks separated by commas or spaces.

    Spaces are offered because the command lines take a comma for the end of a label.
    """

    def __init__(self, *, minimum: int = 0) -> None:
        super().__init__(type_name="list of IPv4 networks")
        self.minimum = minimum
        self._item = IPv4Network()

    def __call__(self, value: object) -> tuple[str, ...]:
        """Return the networks in their usual form; ValueError when one is none."""
        # What was parsed already, as a default is, comes back as it was.
        items: Any = re.split(r"[\s,]+", value.strip()) if isinstance(value, str) else value
        networks = tuple(dict.fromkeys(self._item(item) for item in items if item != ""))
        if len(networks) < self.minimum:
            raise ValueError("at least one network is needed")
        return networks

    def __repr__(self) -> str:
        return f"NetworkList(minimum={self.minimum})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, NetworkList) and other.minimum == self.minimum

    def __hash__(self) -> int:
        return hash((type(self), self.minimum))

    def _formatter(self, value: Iterable[str]) -> str:
        return ",".join(value)


@dataclasses.dataclass(frozen=True)
class Declaration:
    """What is known of one label besides its name and default.

    :ivar type: turns text into the value; raises ValueError with a reason.
    :ivar kind: the type and its bounds as the documentation names them.
    :ivar unit: unit of the value, empty where it has none.
    :ivar help: what it does, in full sentences.
    """

    type: types.ConfigType
    kind: str
    help: str
    unit: str = ""


def _label(default: object, kind: str, type_: types.ConfigType, help_: str, unit: str = "") -> Any:
    return dataclasses.field(
        default=default, metadata={"label": Declaration(type_, kind, help_, unit)}
    )


@dataclasses.dataclass(frozen=True)
class Labels:
    """The values of all labels of one cluster; each attribute bears its label's name."""

    swarm_address_pool: str = _label(
        "",
        "an IPv4 network without host bits, such as 10.200.0.0/16, or nothing",
        IPv4Network(optional=True),
        "Range that the swarm cuts its overlay networks from. It cannot be changed later. Empty "
        "takes the first of [swarm_mode] address_pools that overlaps nothing the nodes need.",
    )
    swarm_address_pool_mask: int = _label(
        24,
        f"an integer from 9 to {_SMALLEST_SUBNET}",
        types.Integer(min=9, max=_SMALLEST_SUBNET),
        "Length of the prefix of each overlay network that is cut from the address pool. It "
        "cannot be changed later.",
        "bits",
    )
    data_path_port: int = _label(
        4789,
        f"an integer from {_DATA_PATH_PORTS[0]} to {_DATA_PATH_PORTS[1]}",
        types.Integer(min=_DATA_PATH_PORTS[0], max=_DATA_PATH_PORTS[1]),
        "UDP port between nodes that carries the traffic of overlay networks. It cannot be "
        "changed later.",
    )
    api_allowed_cidrs: tuple[str, ...] = _label(
        ("0.0.0.0/0",),
        "at least one IPv4 network such as 192.0.2.0/24, separated by commas or spaces",
        NetworkList(minimum=1),
        "Networks that may connect to the Docker API of the managers. Those of [swarm_mode] "
        "conductor_cidrs are always added. Every connection needs a client certificate of the "
        "cluster besides.",
    )
    ssh_allowed_cidrs: tuple[str, ...] = _label(
        (),
        "IPv4 networks such as 192.0.2.0/24, separated by commas or spaces, or nothing",
        NetworkList(),
        "Networks that may connect to port 22 of the nodes. Empty opens it to nobody, even where "
        "the cluster has a key pair.",
    )
    worker_floating_ip_enabled: bool = _label(
        False,
        "true or false",
        types.Boolean(),
        "Whether each worker gets a floating IP of its own. Managers get theirs by the field "
        "floating_ip_enabled.",
    )
    manager_availability: str = _label(
        "active",
        "active or drain",
        types.String(
            choices=[("active", "managers run tasks of services"), ("drain", "they only manage")]
        ),
        "Whether managers run tasks of services (active) or only manage (drain).",
    )
    join_timeout: int = _label(
        1200,
        f"an integer from 60 to {_LONGEST_WAIT}",
        types.Integer(min=60, max=_LONGEST_WAIT),
        "How long a node tries to join the swarm before it reports failure.",
        "seconds",
    )
    availability_zone: str = _label(
        "",
        "a name without colons, or nothing",
        types.String(regex=r"^[^:]{0,255}$"),
        "Availability zone of Nova for all nodes. Empty leaves the choice to Nova.",
    )


DECLARATIONS: Mapping[str, Declaration] = {
    field.name: field.metadata["label"] for field in dataclasses.fields(Labels)
}
BUILT_IN_DEFAULTS: Mapping[str, Any] = {
    field.name: field.default for field in dataclasses.fields(Labels)
}


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
        f"Label {name}={_shown(text)} is not valid; expected {_expected(declaration)}."
    ) from reason


def _expected(declaration: Declaration) -> str:
    return declaration.kind + (f" {declaration.unit}" if declaration.unit else "")


def _unknown(name: str) -> str:
    near = difflib.get_close_matches(name, list(DECLARATIONS), n=1, cutoff=0.5)
    if near:
        advice = f"did you mean {near[0]}?"
    else:
        advice = f"known labels are {', '.join(sorted(DECLARATIONS))}."
    return f"Label {_shown(name)} is not known to swarm-mode clusters; {advice}"


def _shown(text: str, length: int = 64) -> str:
    """Return user input as it can stand in a message: one line, not too long."""
    printable = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)
    return printable if len(printable) <= length else printable[:length] + "…"


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
