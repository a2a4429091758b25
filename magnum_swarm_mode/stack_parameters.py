# SPDX-License-Identifier: Apache-2.0
"""From what a user asked of Magnum to what is asked of Heat. Pure: no I/O but reading templates."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from magnum_swarm_mode.networks import FixedNetwork


@dataclasses.dataclass(frozen=True)
class NodeCredential:
    """The application credential that managers have their certificates signed with."""

    id: str
    secret: str = dataclasses.field(repr=False)


@dataclasses.dataclass(frozen=True)
class StackRequest:
    """Everything that a Heat stack is created from."""

    template: str
    files: Mapping[str, str] = dataclasses.field(repr=False)
    environment: Mapping[str, Any] = dataclasses.field(repr=False)
    parameters: Mapping[str, Any] = dataclasses.field(repr=False)
    tags: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class StackInputs:
    """Plain values that decide a cluster's stack; none is a Magnum object."""

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
    docker_storage_driver: str = "overlay2"
    floating_ip_enabled: bool = True
    worker_floating_ip_enabled: bool = False
    insecure_registries: tuple[str, ...] = ()
    http_proxy: str = ""
    https_proxy: str = ""
    no_proxy: str = ""
    address_pool_mask: int = 24
    data_path_port: int = 4789
    api_allowed_cidrs: tuple[str, ...] = ("0.0.0.0/0",)
    ssh_allowed_cidrs: tuple[str, ...] = ()
    manager_availability: str = "active"
    join_timeout: int = 1200
    availability_zone: str = ""
    timeout_minutes: int = 60


def stack_name(cluster: Any) -> str:
    """Return the name of a cluster's stack, which derives from its uuid alone."""
    return f"swarm-mode-{cluster.uuid}"


def from_magnum(
    cluster: Any,
    cluster_template: Any,
    labels: Any,
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
    """Read a cluster, its template and its labels (`labels.Labels`); the cluster's values come first."""
    raise NotImplementedError


def build(inputs: StackInputs) -> StackRequest:
    """Return template, files, environment and parameters of the cluster's stack."""
    raise NotImplementedError
