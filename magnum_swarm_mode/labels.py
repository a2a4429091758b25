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

from magnum_swarm_mode import exceptions
from magnum_swarm_mode.sentences import shown
from magnum_swarm_mode.stack import address_pools

# Bounds that the engine itself checks: libnetwork refuses a data path port outside this range, and
# swarmkit a subnet smaller than /29 (docs.docker.com, "docker swarm init").
_DATA_PATH_PORTS = (1024, 49151)
_SMALLEST_SUBNET = 29
# Port of the nodes' gossip, which also is UDP (docs.docker.com, "Open protocols and ports").
_GOSSIP_PORT = 7946
# The longest time that a Heat wait condition may wait.
_LONGEST_WAIT = 43200
_LAST_PORT = 65535
# The least that every network carries (IPv6 asks for it), and the most that jumbo frames do.
_MTUS = (1280, 9216)
# Larger than any volume, and small enough for every database.
_LARGEST_VOLUME = 65536
# What no published port may open to the world: ssh, the Docker API, the swarm's control plane, the
# join service, gossip. Each has rules of its own.
_OWN_PORTS = {
    "tcp": (22, 2376, 2377, 2378, _GOSSIP_PORT),
    "udp": (_GOSSIP_PORT,),
}
_HOST = r"[A-Za-z0-9]([A-Za-z0-9.\-]*[A-Za-z0-9])?"
_PORT = r":[0-9]{1,5}"
_PATH = r"(/[A-Za-z0-9._~\-]+)*/?"
# Drivers that send a container's log away, and the protocols that they speak.
_REMOTE_LOGS = {"syslog": ("udp", "tcp"), "gelf": ("udp", "tcp"), "fluentd": ("tcp",)}
_NO_GROUP = "none"
_POLICIES = [
    (_NO_GROUP, "no server group"),
    ("soft-anti-affinity", "on different hosts where there are enough"),
    ("anti-affinity", "on different hosts, or the server fails"),
    ("soft-affinity", "on one host where it has room"),
    ("affinity", "on one host, or the server fails"),
]
_POLICY_NAMES = ", ".join(name for name, _ in _POLICIES[:-1]) + f" or {_POLICIES[-1][0]}"


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


class AddressPool(IPv4Network):
    """An IPv4 network without host bits in which containers can have addresses."""

    def __call__(self, value: object) -> str:
        """Return the network in its usual form; ValueError when it is none, or a special range."""
        text = super().__call__(value)
        if reason := address_pools.why_special(text):
            raise ValueError(f"{text} cannot carry traffic: {reason}")
        return text


class Text(types.ConfigType):
    """One line of printable text that matches a pattern as a whole, or nothing.

    :param pattern: what is allowed besides nothing.
    :param ending: what is taken off its end, such as the slash of a URL.
    """

    def __init__(
        self, type_name: str, pattern: str, *, longest: int = 255, ending: str = ""
    ) -> None:
        super().__init__(type_name=type_name)
        self._about = (type_name, pattern, longest, ending)

    def __call__(self, value: object) -> str:
        """Return the text without blanks around it; ValueError when it is not allowed."""
        name, pattern, longest, ending = self._about
        text = str(value).strip()
        if not text:
            return ""
        # Heat's ResourceGroup replaces %index% in every property of its members.
        if len(text) > longest or not text.isprintable() or "%index%" in text:
            raise ValueError(f"at most {longest} printable characters are expected")
        if not re.fullmatch(pattern, text, re.ASCII):
            raise ValueError(f"{text!r} is not a {name}")
        return text.removesuffix(ending) if ending else text

    def __repr__(self) -> str:
        return f"Text{self._about}"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Text) and other._about == self._about

    def __hash__(self) -> int:
        return hash((type(self), self._about))

    def _formatter(self, value: str) -> str:
        return value


class PortRange(types.ConfigType):
    """A port or a range of ports, with or without its protocol: 80, 53/udp, 8000-8010/tcp."""

    def __init__(self) -> None:
        super().__init__(type_name="port or range of ports")

    def __call__(self, value: object) -> str:
        """Return it with its protocol; ValueError when it is none."""
        text = str(value).strip()
        match = re.fullmatch(r"(\d{1,5})(?:-(\d{1,5}))?(?:/(tcp|udp))?", text, re.ASCII)
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (0, 0)
        if not match or not 1 <= first <= last <= _LAST_PORT:
            raise ValueError(f"{text!r} is not a port or a range of ports")
        return (str(first) if first == last else f"{first}-{last}") + "/" + (match[3] or "tcp")

    def __repr__(self) -> str:
        return "PortRange()"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PortRange)

    def __hash__(self) -> int:
        return hash(type(self))

    def _formatter(self, value: str) -> str:
        return value


class TextList(types.ConfigType):
    """Texts of one type separated by commas or spaces.

    Spaces are offered because the command lines take a comma for the end of a label.
    """

    def __init__(
        self, item: types.ConfigType, type_name: str, *, minimum: int = 0, maximum: int = 64
    ) -> None:
        super().__init__(type_name=type_name)
        self.item = item
        self.minimum = minimum
        self.maximum = maximum

    def __call__(self, value: object) -> tuple[str, ...]:
        """Return each text once, in its usual form; ValueError when one is none."""
        # What was parsed already, as a default is, comes back as it was.
        items: Any = re.split(r"[\s,]+", value.strip()) if isinstance(value, str) else value
        found = tuple(dict.fromkeys(self.item(item) for item in items if item != ""))
        if not self.minimum <= len(found) <= self.maximum:
            raise ValueError(f"{self.minimum} to {self.maximum} are expected")
        return found

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.item!r}, {self.minimum}, {self.maximum})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, TextList) and repr(other) == repr(self)

    def __hash__(self) -> int:
        return hash(repr(self))

    def _formatter(self, value: Iterable[str]) -> str:
        return ",".join(value)


class NetworkList(TextList):
    """IPv4 networks separated by commas or spaces."""

    def __init__(self, *, minimum: int = 0) -> None:
        super().__init__(IPv4Network(), "list of IPv4 networks", minimum=minimum, maximum=256)


class OptionalInteger(types.Integer):
    """An integer within bounds, or 0 for none."""

    def __init__(self, least: int, most: int) -> None:
        super().__init__(min=0, max=most, type_name="integer")
        self.least = least

    def __call__(self, value: object) -> int | None:
        """Return the number; ValueError when it is neither 0 nor within the bounds."""
        number = super().__call__(value)
        if number and number < self.least:
            raise ValueError(f"0 or at least {self.least} is expected")
        return None if number is None else int(number)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, OptionalInteger) and (other.least, other.max) == (
            self.least,
            self.max,
        )

    def __hash__(self) -> int:
        return hash((self.least, self.max))


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
    drain_timeout: int = _label(
        300,
        "an integer from 0 to 3600",
        types.Integer(min=0, max=3600),
        "How long the tasks of a node that is removed get to end and to move to other nodes. "
        "Those that are still there then end with the node, and the cluster's status_reason "
        "names it. 0 waits for none.",
        "seconds",
    )
    auto_healing_enabled: bool = _label(
        False,
        "true or false",
        types.Boolean(),
        "Whether nodes that are down for auto_healing_delay are replaced without anybody's asking.",
    )
    auto_healing_delay: int = _label(
        300,
        "an integer from 10 to 86400",
        types.Integer(min=10, max=86400),
        "How long a node must be seen to be down before it is replaced, where "
        "auto_healing_enabled says so. Magnum looks once a minute.",
        "seconds",
    )
    availability_zone: str = _label(
        "",
        "a name of at most 255 printable characters without colons, or nothing",
        Text("name of an availability zone", r"[^:]+"),
        "Availability zone of Nova for all nodes. Empty leaves the choice to Nova.",
    )
    server_group_policy: str = _label(
        "soft-anti-affinity",
        _POLICY_NAMES,
        types.String(choices=_POLICIES),
        "How Nova places managers relative to each other; none makes no server group. Nova limits "
        "the members of a group (quota server_group_members, 10 by default).",
    )
    worker_server_group_policy: str = _label(
        _NO_GROUP,
        _POLICY_NAMES,
        types.String(choices=_POLICIES),
        "The same for the workers. A group cannot have more workers than the quota "
        "server_group_members allows.",
    )
    boot_volume_size: int = _label(
        0,
        f"0 or an integer from 1 to {_LARGEST_VOLUME}",
        OptionalInteger(1, _LARGEST_VOLUME),
        "Size of a Cinder volume that each node boots from, made of its image and deleted with "
        "the node. 0 boots from the flavor's own disk.",
        "GiB",
    )
    boot_volume_type: str = _label(
        "",
        "a name of at most 255 printable characters, or nothing",
        Text("name of a volume type", r".+"),
        "Volume type of Cinder for the volumes of boot_volume_size; needs Heat 26 (2026.1). Empty "
        "takes Cinder's default.",
    )
    docker_volume_type: str = _label(
        "",
        "a name of at most 255 printable characters, or nothing",
        Text("name of a volume type", r".+"),
        "Volume type of Cinder for the volumes that the field docker_volume_size asks for. Empty "
        "takes Cinder's default.",
    )
    published_ports: tuple[str, ...] = _label(
        (),
        "at most 64 ports such as 80, 53/udp or 8000-8010/tcp, separated by commas or spaces, or "
        "nothing",
        TextList(PortRange(), "list of ports"),
        "Ports of services that the security groups of all nodes let in; tcp where no protocol is "
        "named. The swarm's own ports (2376 to 2378, 7946, data_path_port) and 22 are refused.",
    )
    published_ports_allowed_cidrs: tuple[str, ...] = _label(
        ("0.0.0.0/0",),
        "at least one IPv4 network such as 192.0.2.0/24, separated by commas or spaces",
        NetworkList(minimum=1),
        "Networks that may connect to the published ports.",
    )
    network_mtu: int = _label(
        0,
        f"0 or an integer from {_MTUS[0]} to {_MTUS[1]}",
        OptionalInteger(*_MTUS),
        "What the network between the nodes carries in one packet, where that is less than Neutron "
        "says; the engine's bridges get it, overlay networks what encapsulation leaves of it. 0 "
        "takes Neutron's value.",
        "bytes",
    )
    docker_version: str = _label(
        "",
        "one to four numbers with dots between them, such as 26.1 or 20.10.24, or nothing",
        Text("version", r"\d{1,5}(\.\d{1,5}){0,3}"),
        "Version of the Docker Engine, or the first of its numbers; nodes whose image has no "
        "engine or another one install it. Empty takes whatever there is.",
    )
    docker_repository: str = _label(
        "",
        "a URL such as https://download.docker.com/linux/debian, or nothing",
        Text("URL", rf"https?://{_HOST}({_PORT})?{_PATH}", ending="/"),
        "Repository of packages for apt, laid out as Docker's own, that nodes install docker-ce, "
        "docker-ce-cli and containerd.io from. Empty takes docker.io of the nodes' distribution.",
    )
    docker_repository_key: str = _label(
        "",
        "a URL that begins with https://, or nothing",
        Text("URL with https", rf"https://{_HOST}({_PORT})?{_PATH}"),
        "Where the key is that docker_repository is signed with. Empty takes gpg below "
        "docker_repository.",
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
    )
    log_address: str = _label(
        "",
        "an address such as udp://192.0.2.1:514 or tcp://logs.example.com:24224, or nothing",
        Text("address of a log server", rf"(udp|tcp)://{_HOST}{_PORT}"),
        "Where the log drivers syslog, gelf and fluentd send to.",
    )
    log_max_size: str = _label(
        "10m",
        "a number with k, m or g behind it, such as 10m",
        types.String(regex=r"^[1-9][0-9]{0,5}[kmg]$"),
        "Size at which a file of the log drivers json-file and local is changed for a new one.",
    )
    log_max_file: int = _label(
        3,
        "an integer from 1 to 1000",
        types.Integer(min=1, max=1000),
        "How many such files are kept for each container.",
    )
    registry_mirrors: tuple[str, ...] = _label(
        (),
        "at most 64 URLs such as https://mirror.example.com, without a path, separated by commas "
        "or spaces, or nothing",
        TextList(
            Text("URL of a mirror", rf"https?://{_HOST}({_PORT})?/?", ending="/"), "list of URLs"
        ),
        "Mirrors of Docker Hub that the engines ask first.",
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
        f"Label {name}={shown(text)} is not valid; expected {_expected(declaration)}."
    ) from reason


def _expected(declaration: Declaration) -> str:
    return declaration.kind + (f" {declaration.unit}" if declaration.unit else "")


def _unknown(name: str) -> str:
    near = difflib.get_close_matches(name, list(DECLARATIONS), n=1, cutoff=0.5)
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
