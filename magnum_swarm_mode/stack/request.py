# SPDX-License-Identifier: Apache-2.0
"""From what a user asked of Magnum to what is asked of Heat. Pure but for reading templates."""

import dataclasses
import json
import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import yaml

from magnum_swarm_mode import constants, exceptions
from magnum_swarm_mode.fixed_network import MADE_SUBNET_CIDR, FixedNetwork
from magnum_swarm_mode.labels.parsing import port_range
from magnum_swarm_mode.labels.table import Labels
from magnum_swarm_mode.stack.engine import EngineSettings, split
from magnum_swarm_mode.stack.files import templates, user_data

# A host name has at most 63 characters (RFC 1123); "-manager-" and four digits follow the prefix.
_PREFIX_LENGTH = 50
# What a stack takes when nobody limits it, in seconds.
_DEFAULT_WAIT = 3600
# Wait conditions end this many seconds before their stack, because they know who did not report.
_WAIT_ENDS_EARLIER = 30
# Nodes give up so many seconds earlier, for they boot first and know what they waited for.
_NODES_END_EARLIER = 600
_TAG = "magnum-swarm-mode"
_ENVIRONMENTS = (
    "cluster",
    "existing_network",
    "manager_floating_ip",
    "manager_volume",
    "worker_volume",
    "worker_floating_ip",
    "worker_volume_floating_ip",
)


@dataclasses.dataclass(frozen=True)
class NodeCredential:
    """The application credential that managers have their certificates signed with."""

    id: str
    secret: str = dataclasses.field(repr=False)


@dataclasses.dataclass(frozen=True)
class StackRequest:
    """Everything that a Heat stack is created from."""

    template: str = dataclasses.field(repr=False)
    files: Mapping[str, str] = dataclasses.field(repr=False)
    environment: Mapping[str, Any]
    parameters: Mapping[str, Any] = dataclasses.field(repr=False)
    tags: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class StackInputs:
    """Plain values that decide a cluster's stack; none is a Magnum object.

    Volumes are in GiB, certificates are PEM. An empty text means that the thing is not wanted;
    ``timeout_minutes`` 0 leaves the limit to Heat.
    """

    cluster_uuid: str
    cluster_name: str
    manager_count: int
    manager_flavor: str
    manager_image: str
    worker_count: int
    worker_flavor: str
    worker_image: str
    external_network: str
    fixed_network: FixedNetwork | None
    address_pool: str
    ca_certificate: str
    auth_url: str
    magnum_url: str
    region_name: str
    node_credential: NodeCredential
    openstack_ca: str = ""
    keypair: str = ""
    dns_nameservers: tuple[str, ...] = ()
    docker_volume_size: int = 0
    floating_ip_enabled: bool = True
    engine: EngineSettings = dataclasses.field(default_factory=EngineSettings)
    labels: Labels = dataclasses.field(default_factory=Labels)
    timeout_minutes: int = 60


def stack_name(cluster: Any) -> str:
    """Return the name of a cluster's stack, which derives from its uuid alone."""
    return f"swarm-mode-{cluster.uuid}"


def from_magnum(
    cluster: Any,
    cluster_template: Any,
    labels: Labels,
    *,
    ca_certificate: str,
    magnum_url: str,
    auth_url: str,
    region_name: str | None,
    node_credential: NodeCredential,
    fixed_network: FixedNetwork | None,
    openstack_ca: str | None,
    address_pool: str,
    timeout_minutes: int = 60,
) -> StackInputs:
    """Read a cluster, its default node groups, its template and its labels.

    A value of the node group comes first, then the cluster's, then the template's.

    :param magnum_url: with the version, as ``https://host:9511/v1``.
    :param auth_url: with the version, as ``https://host:5000/v3``.
    :param timeout_minutes: how long the stack may take, 0 for Heat's own limit.
    """
    managers, workers = cluster.default_ng_master, cluster.default_ng_worker

    def choose(*values: Any) -> Any:
        return next((value for value in values if value is not None), "")

    return StackInputs(
        cluster_uuid=cluster.uuid,
        cluster_name=cluster.name or "",
        manager_count=int(managers.node_count),
        manager_flavor=choose(
            managers.flavor_id, cluster.master_flavor_id, cluster_template.master_flavor_id
        )
        or choose(workers.flavor_id, cluster.flavor_id, cluster_template.flavor_id),
        manager_image=choose(managers.image_id, cluster_template.image_id),
        worker_count=int(workers.node_count),
        worker_flavor=choose(workers.flavor_id, cluster.flavor_id, cluster_template.flavor_id),
        worker_image=choose(workers.image_id, cluster_template.image_id),
        external_network=cluster_template.external_network_id or "",
        fixed_network=fixed_network,
        address_pool=address_pool,
        ca_certificate=ca_certificate,
        auth_url=auth_url,
        magnum_url=magnum_url,
        region_name=region_name or "",
        node_credential=node_credential,
        openstack_ca=openstack_ca or "",
        keypair=choose(cluster.keypair, cluster_template.keypair_id),
        dns_nameservers=split(cluster_template.dns_nameserver),
        docker_volume_size=int(
            choose(cluster.docker_volume_size, cluster_template.docker_volume_size) or 0
        ),
        floating_ip_enabled=bool(
            choose(cluster.floating_ip_enabled, cluster_template.floating_ip_enabled)
        ),
        engine=EngineSettings.of(cluster_template),
        labels=labels,
        timeout_minutes=timeout_minutes,
    )


def node_name_prefix(cluster_name: str, cluster_uuid: str) -> str:
    """Return what the host names of a cluster's nodes begin with.

    It is the cluster's name as far as a host name may hold it (RFC 1123). Where characters are
    lost, the beginning of the uuid keeps clusters apart. Letters of other scripts are lost; accents
    are dropped from Latin letters.
    """
    plain = unicodedata.normalize("NFKD", cluster_name)
    plain = "".join(c for c in plain if not unicodedata.combining(c)).lower()
    clean = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")
    # "_" and "." are what Magnum allows in names beside what a host name may hold.
    lost = re.search(r"[^a-z0-9._ -]", plain) is not None or len(clean) > _PREFIX_LENGTH
    if clean and not lost:
        return clean
    suffix = re.sub(r"[^a-z0-9]", "", cluster_uuid.lower())[:8]
    clean = (clean or "swarm")[: _PREFIX_LENGTH - 1 - len(suffix)].rstrip("-")
    return f"{clean}-{suffix}" if suffix else clean


def environments(inputs: StackInputs) -> tuple[str, ...]:
    """Return the names of the environments that a cluster needs, later ones over earlier ones."""
    names = ["cluster"]
    if inputs.fixed_network:
        names.append("existing_network")
    if inputs.floating_ip_enabled:
        names.append("manager_floating_ip")
    if inputs.docker_volume_size:
        names.append("manager_volume")
    worker = ["volume"] * bool(inputs.docker_volume_size)
    worker += ["floating_ip"] * inputs.labels.worker_floating_ip_enabled
    if worker:
        names.append("_".join(["worker", *worker]))
    return tuple(names)


def build(inputs: StackInputs) -> StackRequest:
    """Return template, files, environment and parameters of the cluster's stack.

    :raises Refused: when values contradict each other or cannot be passed on unharmed.
    :raises Inconsistent: when templates are missing or broken.
    """
    _check(inputs)
    environment = _environment(inputs)
    files = {
        name: templates.read(name)
        for name in {"node_group.yaml", *environment["resource_registry"].values()}
        if name.endswith(".yaml")
    }
    parameters = _parameters(inputs)
    for role in ("manager", "worker"):
        text = user_data.render(role)
        _check_size(text, parameters)
        files[f"user_data/{role}.yaml"] = text
    return StackRequest(
        template=templates.read("cluster.yaml"),
        files=files,
        environment=environment,
        parameters=parameters,
        tags=(_TAG, inputs.cluster_uuid),
    )


def renewal(template: str) -> tuple[str, dict[str, str]]:
    """Return what an upgrade gives Heat anew: the text of a template, and all files.

    Which of them a stack is made of is said by its environment, which stays.

    :param template: ``cluster.yaml`` or ``node_group.yaml``.
    """
    names = {"node_group.yaml"}
    for name in _ENVIRONMENTS:
        names.update(environment_of([name], {})["resource_registry"].values())
    files = {name: templates.read(name) for name in sorted(names) if name.endswith(".yaml")}
    for role in ("manager", "worker"):
        files[f"user_data/{role}.yaml"] = user_data.render(role)
    return templates.read(template), files


def _environment(inputs: StackInputs) -> dict[str, Any]:
    return environment_of(
        environments(inputs),
        {
            "docker_volume_size": inputs.docker_volume_size,
            "docker_volume_type": inputs.labels.docker_volume_type,
            "external_network": inputs.external_network,
        },
    )


def environment_of(names: Sequence[str], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """Return the environments of the given names as one.

    :param defaults: a bare server has no properties for these, so they reach the templates that
        stand in its place from here; a template takes a default only when it is handed nothing.
    :raises Inconsistent: when one is missing or broken.
    """
    registry: dict[str, str] = {}
    for name in names:
        file = f"environments/{name}.yaml"
        try:
            registry.update(yaml.safe_load(templates.read(file))["resource_registry"])
        except (yaml.YAMLError, KeyError, TypeError, ValueError) as error:
            raise exceptions.Inconsistent(
                "The templates for clusters are not valid on the server; ask the operator.",
                f"Template {file}: {error}.",
            ) from error
    return {"resource_registry": registry, "parameter_defaults": dict(defaults)}


def label_parameters(labels: Labels) -> dict[str, Any]:
    """Return the parameters that labels alone give, of a cluster's template or a node group's.

    A group's template gets those of them that it declares.
    """
    return {
        "api_allowed_cidrs": list(labels.api_allowed_cidrs),
        "ssh_allowed_cidrs": list(labels.ssh_allowed_cidrs),
        "data_path_port": labels.data_path_port,
        "published_rules": _published_rules(labels),
        "network_mtu": labels.network_mtu,
        "availability_zone": labels.availability_zone,
        "manager_server_group_policy": labels.server_group_policy,
        "worker_server_group_policy": labels.worker_server_group_policy,
        "boot_volume_size": labels.boot_volume_size,
        "boot_volume_type": labels.boot_volume_type,
        "swarm_address_pool_mask": labels.swarm_address_pool_mask,
        "manager_availability": labels.manager_availability,
    }


def _parameters(inputs: StackInputs) -> dict[str, Any]:
    fixed, labels = inputs.fixed_network, inputs.labels
    wait = inputs.timeout_minutes * 60 or _DEFAULT_WAIT
    return {
        **label_parameters(labels),
        "cluster_uuid": inputs.cluster_uuid,
        "cluster_name": inputs.cluster_name,
        "node_name_prefix": node_name_prefix(inputs.cluster_name, inputs.cluster_uuid),
        "fixed_network": fixed.network_id if fixed else "",
        "fixed_subnet": fixed.subnet_id if fixed else "",
        "fixed_network_mtu": fixed.mtu if fixed else 0,
        "fixed_subnet_cidr": fixed.cidr if fixed else MADE_SUBNET_CIDR,
        "dns_nameservers": list(inputs.dns_nameservers),
        "manager_count": inputs.manager_count,
        "manager_signals": inputs.manager_count,
        "manager_port_count": inputs.manager_count,
        "manager_flavor": inputs.manager_flavor,
        "manager_image": inputs.manager_image,
        "worker_count": inputs.worker_count,
        "worker_signals": inputs.worker_count,
        "worker_flavor": inputs.worker_flavor,
        "worker_image": inputs.worker_image,
        # The second colour, which only an upgrade gives another image and flavor, and workers.
        "worker_green_flavor": inputs.worker_flavor,
        "worker_green_image": inputs.worker_image,
        "key_name": inputs.keypair,
        "create_timeout": max(30, min(wait, constants.LONGEST_WAIT) - _WAIT_ENDS_EARLIER),
        "ca_certificate": inputs.ca_certificate,
        "join_timeout": min(labels.join_timeout, max(wait // 2, wait - _NODES_END_EARLIER)),
        "engine": _engine(inputs),
        "swarm_address_pool": inputs.address_pool,
        "auth_url": inputs.auth_url,
        "magnum_url": inputs.magnum_url,
        "region_name": inputs.region_name,
        "openstack_ca_certificate": inputs.openstack_ca,
        "node_credential_id": inputs.node_credential.id,
        "node_credential_secret": inputs.node_credential.secret,
    }


def _engine(inputs: StackInputs) -> dict[str, Any]:
    # Nobody but its owner may change an existing subnet: there, containers are told of the servers.
    dns = inputs.dns_nameservers if inputs.fixed_network else ()
    return dataclasses.replace(inputs.engine, dns_nameservers=dns).told(inputs.labels)


def _published_rules(labels: Labels) -> list[dict[str, Any]]:
    """Return the rules of a security group for the published ports."""
    rules = []
    for text in labels.published_ports:
        protocol, first, last = port_range(text)
        for cidr in labels.published_ports_allowed_cidrs:
            rules.append(
                {
                    "protocol": protocol,
                    "port_range_min": first,
                    "port_range_max": last,
                    "remote_ip_prefix": cidr,
                }
            )
    return rules


def _check_size(text: str, parameters: Mapping[str, Any]) -> None:
    """Refuse what Nova would refuse, before anything is made.

    Nearly all that a node is told is among the parameters; what is not is made up for by those of
    which a node is not told.
    """
    if user_data.share(text + json.dumps(parameters)) > 1:
        raise exceptions.Refused(
            "What the nodes must be told is more than Nova takes as user-data; ask the operator "
            "for fewer certificates of authorities (openstack_ca_file).",
            f"User-data above {user_data.NOVA_LIMIT} bytes of base64; openstack_ca_file has "
            f"{len(parameters['openstack_ca_certificate'])} bytes.",
        )


def _check(inputs: StackInputs) -> None:
    labels, fixed = inputs.labels, inputs.fixed_network
    if fixed and labels.network_mtu > fixed.mtu:
        raise exceptions.Refused(
            f"Label network_mtu={labels.network_mtu} is more than the network of the nodes carries "
            f"({fixed.mtu} bytes); choose a smaller one, or leave it out."
        )
    if not inputs.external_network:
        for wanted, what in (
            (inputs.floating_ip_enabled, "floating IPs (floating_ip_enabled)"),
            (labels.worker_floating_ip_enabled, "floating IPs (label worker_floating_ip_enabled)"),
            (inputs.fixed_network is None, "a network of its own (no fixed_network)"),
        ):
            if wanted:
                raise exceptions.Refused(
                    f"The cluster is to have {what}, but its template names no external network "
                    "(external_network_id)."
                )
    for name, value in _texts(inputs):
        # Heat writes the configuration as JSON into YAML. JSON leaves DEL as it is, which no
        # YAML reader takes; other control characters mean nothing good in any of these values.
        if any(unicodedata.category(c) in ("Cc", "Cs") for c in value):
            raise exceptions.Refused(f"The value of {name} holds a control character.")
        if constants.INDEX in value and name != "cluster_name":
            raise exceptions.Refused(
                f"The value of {name} holds {constants.INDEX}, which Heat replaces."
            )


def _texts(inputs: StackInputs) -> Iterator[tuple[str, str]]:
    """Yield name and value of every text in the inputs that has one line."""
    for holder in (inputs, inputs.engine):
        for field in dataclasses.fields(holder):
            value = getattr(holder, field.name)
            if field.name in ("ca_certificate", "openstack_ca"):
                continue
            for item in value if isinstance(value, tuple) else (value,):
                if isinstance(item, str):
                    yield field.name, item
