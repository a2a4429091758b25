# SPDX-License-Identifier: Apache-2.0
"""The table of labels.

The fields of :class:`Labels` are the one declaration of every label: name, type, bounds, unit,
default and help, whether it can change in a living cluster or differ in a node group, and whom it
reaches. The configuration options that hold the operator's defaults, the documentation's table, the
messages about bad values and the rules of upgrades and node groups are all made from it.
"""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Mapping
from typing import Any

from oslo_config import types

from magnum_swarm_mode import constants
from magnum_swarm_mode.labels import types as label_types

# Bounds that the engine itself checks: libnetwork refuses a data path port outside this range, and
# swarmkit a subnet smaller than /29 (docs.docker.com, "docker swarm init").
_DATA_PATH_PORTS = (1024, 49151)
_SMALLEST_SUBNET = 29
# The least that every network carries (IPv6 asks for it), and the most that jumbo frames do.
_MTUS = (1280, 9216)
_HOST = r"[A-Za-z0-9]([A-Za-z0-9.\-]*[A-Za-z0-9])?"
_PORT = r":[0-9]{1,5}"
_PATH = r"(/[A-Za-z0-9._~\-]+)*/?"
_NO_GROUP = "none"
_POLICIES = [
    (_NO_GROUP, "no server group"),
    ("soft-anti-affinity", "on different hosts where there are enough"),
    ("anti-affinity", "on different hosts, or the server fails"),
    ("soft-affinity", "on one host where it has room"),
    ("affinity", "on one host, or the server fails"),
]
_POLICY_NAMES = ", ".join(name for name, _ in _POLICIES[:-1]) + f" or {_POLICIES[-1][0]}"


class Reach(enum.Enum):
    """Whom a label reaches, and when.

    Only what reaches the engine or the managers is passed on by an upgrade, and only the conductor
    looks at a living cluster's labels; so a label for the stack alone is fixed.
    """

    STACK = "parameters and environment of the stack, once"
    ENGINE = "the engine of each node that is made"
    MANAGERS = "each manager that is made"
    CONDUCTOR = "the conductor, at each look"


@dataclasses.dataclass(frozen=True)
class Declaration:
    """What is known of one label besides its name and default.

    :ivar type: turns text into the value; raises ValueError with a reason.
    :ivar kind: the type and its bounds as the documentation names them.
    :ivar help: what it does, in full sentences.
    :ivar unit: unit of the value, empty where it has none.
    :ivar reaches: whom it reaches.
    :ivar fixed: whether it stays as it was when the cluster was created.
    :ivar per_group: whether a node group may have a value of its own.
    """

    type: types.ConfigType
    kind: str
    help: str
    unit: str
    reaches: Reach
    fixed: bool
    per_group: bool


def _label(
    default: object,
    kind: str,
    type_: types.ConfigType,
    help_: str,
    unit: str = "",
    *,
    reaches: Reach,
    fixed: bool = False,
    per_group: bool = False,
) -> Any:
    declaration = Declaration(type_, kind, help_, unit, reaches, fixed, per_group)
    return dataclasses.field(default=default, metadata={"label": declaration})


@dataclasses.dataclass(frozen=True)
class Labels:
    """The values of all labels of one cluster; each attribute bears its label's name."""

    swarm_address_pool: str = _label(
        "",
        "an IPv4 network without host bits, such as 10.200.0.0/16, or nothing",
        label_types.IPv4Network(optional=True),
        "Range that the swarm cuts its overlay networks from. It cannot be changed later. Empty "
        "takes the first of [swarm_mode] address_pools that overlaps nothing the nodes need.",
        reaches=Reach.STACK,
        fixed=True,
    )
    swarm_address_pool_mask: int = _label(
        24,
        f"an integer from 9 to {_SMALLEST_SUBNET}",
        types.Integer(min=9, max=_SMALLEST_SUBNET),
        "Length of the prefix of each overlay network that is cut from the address pool. It "
        "cannot be changed later.",
        "bits",
        reaches=Reach.STACK,
        fixed=True,
    )
    data_path_port: int = _label(
        4789,
        f"an integer from {_DATA_PATH_PORTS[0]} to {_DATA_PATH_PORTS[1]}",
        types.Integer(min=_DATA_PATH_PORTS[0], max=_DATA_PATH_PORTS[1]),
        "UDP port between nodes that carries the traffic of overlay networks. It cannot be "
        "changed later.",
        reaches=Reach.STACK,
        fixed=True,
    )
    api_allowed_cidrs: tuple[str, ...] = _label(
        ("0.0.0.0/0",),
        "at least one IPv4 network such as 192.0.2.0/24, separated by commas or spaces",
        label_types.NetworkList(minimum=1),
        "Networks that may connect to the Docker API of the managers. Those of [swarm_mode] "
        "conductor_cidrs are always added. Every connection needs a client certificate of the "
        "cluster besides.",
        reaches=Reach.STACK,
        fixed=True,
    )
    ssh_allowed_cidrs: tuple[str, ...] = _label(
        (),
        "IPv4 networks such as 192.0.2.0/24, separated by commas or spaces, or nothing",
        label_types.NetworkList(),
        "Networks that may connect to port 22 of the nodes. Empty opens it to nobody, even where "
        "the cluster has a key pair.",
        reaches=Reach.STACK,
        fixed=True,
    )
    worker_floating_ip_enabled: bool = _label(
        False,
        "true or false",
        types.Boolean(),
        "Whether each worker gets a floating IP of its own. Managers get theirs by the field "
        "floating_ip_enabled.",
        reaches=Reach.STACK,
        fixed=True,
        per_group=True,
    )
    manager_availability: str = _label(
        "active",
        "active or drain",
        types.String(
            choices=[("active", "managers run tasks of services"), ("drain", "they only manage")]
        ),
        "Whether managers run tasks of services (active) or only manage (drain).",
        reaches=Reach.MANAGERS,
    )
    join_timeout: int = _label(
        1200,
        f"an integer from 60 to {constants.LONGEST_WAIT}",
        types.Integer(min=60, max=constants.LONGEST_WAIT),
        "How long a node tries to join the swarm before it reports failure. It cannot be changed "
        "later.",
        "seconds",
        reaches=Reach.STACK,
        fixed=True,
    )
    drain_timeout: int = _label(
        300,
        "an integer from 0 to 3600",
        types.Integer(min=0, max=3600),
        "How long the tasks of a node that is removed get to end and to move to other nodes. "
        "Those that are still there then end with the node, and the cluster's status_reason "
        "names it. 0 waits for none.",
        "seconds",
        reaches=Reach.CONDUCTOR,
    )
    auto_healing_enabled: bool = _label(
        False,
        "true or false",
        types.Boolean(),
        "Whether nodes that are down for auto_healing_delay are replaced without anybody's asking.",
        reaches=Reach.CONDUCTOR,
    )
    auto_healing_delay: int = _label(
        300,
        "an integer from 10 to 86400",
        types.Integer(min=10, max=86400),
        "How long a node must be seen to be down before it is replaced, where "
        "auto_healing_enabled says so. Magnum looks once a minute.",
        "seconds",
        reaches=Reach.CONDUCTOR,
    )
    availability_zone: str = _label(
        "",
        "a name of at most 255 printable characters without colons, or nothing",
        label_types.Text("name of an availability zone", r"[^:]+"),
        "Availability zone of Nova for all nodes. Empty leaves the choice to Nova.",
        reaches=Reach.STACK,
        fixed=True,
        per_group=True,
    )
    server_group_policy: str = _label(
        "soft-anti-affinity",
        _POLICY_NAMES,
        types.String(choices=_POLICIES),
        "How Nova places managers relative to each other; none makes no server group. Nova limits "
        "the members of a group (quota server_group_members, 10 by default).",
        reaches=Reach.STACK,
        fixed=True,
    )
    worker_server_group_policy: str = _label(
        _NO_GROUP,
        _POLICY_NAMES,
        types.String(choices=_POLICIES),
        "The same for the workers. A group cannot have more workers than the quota "
        "server_group_members allows.",
        reaches=Reach.STACK,
        fixed=True,
        per_group=True,
    )
    boot_volume_size: int = _label(
        0,
        f"0 or an integer from 1 to {constants.LARGEST_VOLUME}",
        label_types.OptionalInteger(1, constants.LARGEST_VOLUME),
        "Size of a Cinder volume that each node boots from, made of its image and deleted with "
        "the node. 0 boots from the flavor's own disk.",
        "GiB",
        reaches=Reach.STACK,
        fixed=True,
        per_group=True,
    )
    boot_volume_type: str = _label(
        "",
        "a name of at most 255 printable characters, or nothing",
        label_types.Text("name of a volume type", r".+"),
        "Volume type of Cinder for the volumes of boot_volume_size; needs Heat 26 (2026.1). Empty "
        "takes Cinder's default.",
        reaches=Reach.STACK,
        fixed=True,
        per_group=True,
    )
    docker_volume_type: str = _label(
        "",
        "a name of at most 255 printable characters, or nothing",
        label_types.Text("name of a volume type", r".+"),
        "Volume type of Cinder for the volumes that the field docker_volume_size asks for. Empty "
        "takes Cinder's default.",
        reaches=Reach.STACK,
        fixed=True,
        per_group=True,
    )
    published_ports: tuple[str, ...] = _label(
        (),
        "at most 64 ports such as 80, 53/udp or 8000-8010/tcp, separated by commas or spaces, or "
        "nothing",
        label_types.TextList(label_types.PortRange(), "list of ports"),
        "Ports of services that the security groups of all nodes let in; tcp where no protocol is "
        "named. The swarm's own ports (2374, 2376 to 2378, 7946, data_path_port) and 22 are "
        "refused.",
        reaches=Reach.STACK,
        fixed=True,
    )
    published_ports_allowed_cidrs: tuple[str, ...] = _label(
        ("0.0.0.0/0",),
        "at least one IPv4 network such as 192.0.2.0/24, separated by commas or spaces",
        label_types.NetworkList(minimum=1),
        "Networks that may connect to the published ports.",
        reaches=Reach.STACK,
        fixed=True,
    )
    network_mtu: int = _label(
        0,
        f"0 or an integer from {_MTUS[0]} to {_MTUS[1]}",
        label_types.OptionalInteger(*_MTUS),
        "What the network between the nodes carries in one packet, where that is less than Neutron "
        "says; the engine's bridges get it, overlay networks what encapsulation leaves of it. 0 "
        "takes Neutron's value.",
        "bytes",
        reaches=Reach.STACK,
        fixed=True,
    )
    docker_version: str = _label(
        "",
        "one to four numbers with dots between them, such as 26.1 or 20.10.24, or nothing",
        label_types.Text("version", r"\d{1,5}(\.\d{1,5}){0,3}"),
        "Version of the Docker Engine, or the first of its numbers; nodes whose image has no "
        "engine or another one install it. Empty takes whatever there is.",
        reaches=Reach.ENGINE,
    )
    docker_repository: str = _label(
        "",
        "a URL such as https://download.docker.com/linux/debian, or nothing",
        label_types.Text("URL", rf"https?://{_HOST}({_PORT})?{_PATH}", ending="/"),
        "Repository of packages for apt, laid out as Docker's own, that nodes install docker-ce, "
        "docker-ce-cli and containerd.io from. Empty takes docker.io of the nodes' distribution.",
        reaches=Reach.ENGINE,
    )
    docker_repository_key: str = _label(
        "",
        "a URL that begins with https://, or nothing",
        label_types.Text("URL with https", rf"https://{_HOST}({_PORT})?{_PATH}"),
        "Where the key is that docker_repository is signed with. Empty takes gpg below "
        "docker_repository.",
        reaches=Reach.ENGINE,
    )
    log_driver: str = _label(
        "json-file",
        "json-file, local, journald, syslog, gelf, fluentd or none",
        types.String(
            choices=[
                ("json-file", "files of JSON lines on the node"),
                ("local", "compressed files on the node"),
                ("journald", "the node's journal"),
                ("syslog", "the node's syslog, or another's (log_address)"),
                ("gelf", "a server of Graylog's protocol (log_address)"),
                ("fluentd", "a server of Fluentd's protocol (log_address)"),
                ("none", "nowhere"),
            ]
        ),
        "Log driver of the engines, for containers that name none. docker logs and docker service "
        "logs read json-file, local and journald on every engine.",
        reaches=Reach.ENGINE,
    )
    log_address: str = _label(
        "",
        "an address such as udp://192.0.2.1:514 or tcp://logs.example.com:24224, or nothing",
        label_types.Text("address of a log server", rf"(udp|tcp)://{_HOST}{_PORT}"),
        "Where the log drivers syslog, gelf and fluentd send to.",
        reaches=Reach.ENGINE,
    )
    log_max_size: str = _label(
        "10m",
        "a number with k, m or g behind it, such as 10m",
        types.String(regex=r"^[1-9][0-9]{0,5}[kmg]$"),
        "Size at which a file of the log drivers json-file and local is changed for a new one.",
        reaches=Reach.ENGINE,
    )
    log_max_file: int = _label(
        3,
        "an integer from 1 to 1000",
        types.Integer(min=1, max=1000),
        "How many such files are kept for each container.",
        reaches=Reach.ENGINE,
    )
    registry_mirrors: tuple[str, ...] = _label(
        (),
        "at most 64 URLs such as https://mirror.example.com, without a path, separated by commas "
        "or spaces, or nothing",
        label_types.TextList(
            label_types.Text("URL of a mirror", rf"https?://{_HOST}({_PORT})?/?", ending="/"),
            "list of URLs",
        ),
        "Mirrors of Docker Hub that the engines ask first.",
        reaches=Reach.ENGINE,
    )


DECLARATIONS: Mapping[str, Declaration] = {
    field.name: field.metadata["label"] for field in dataclasses.fields(Labels)
}
BUILT_IN_DEFAULTS: Mapping[str, Any] = {
    field.name: field.default for field in dataclasses.fields(Labels)
}
# About what stays: network, addresses, how servers are placed and booted, how nodes join.
FIXED: frozenset[str] = frozenset(name for name, one in DECLARATIONS.items() if one.fixed)
# Those that a node group may have of its own; all others are the whole cluster's.
PER_GROUP: frozenset[str] = frozenset(name for name, one in DECLARATIONS.items() if one.per_group)
