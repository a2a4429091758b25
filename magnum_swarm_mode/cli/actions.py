# SPDX-License-Identifier: Apache-2.0
"""What each command does: one request or a few, and what is printed about the answer."""

from __future__ import annotations

import argparse
import os
import pathlib
import re
from collections.abc import Callable, Sequence
from typing import Any

from magnumclient.common import utils as magnum_utils

from magnum_swarm_mode.cli import certificates, output
from magnum_swarm_mode.cli.declare import Command, exactly_one
from magnum_swarm_mode.cli.errors import CommandError, one_line

Arguments = argparse.Namespace

CLUSTER_COLUMNS = ("uuid", "name", "keypair", "node_count", "master_count", "status")
TEMPLATE_COLUMNS = ("uuid", "name")
TEMPLATE_DETAILS = (
    *TEMPLATE_COLUMNS, "coe", "image_id", "flavor_id", "master_flavor_id", "keypair_id",
    "external_network_id", "fixed_network", "fixed_subnet", "dns_nameserver", "docker_volume_size",
    "docker_storage_driver", "network_driver", "volume_driver", "labels", "tls_disabled", "public",
    "registry_enabled", "server_type", "master_lb_enabled", "floating_ip_enabled", "http_proxy",
    "https_proxy", "no_proxy", "insecure_registry", "cluster_distro", "hidden", "created_at",
    "updated_at",
)  # fmt: skip
SERVICE_COLUMNS = (
    "id", "host", "binary", "state", "disabled", "disabled_reason", "created_at", "updated_at",
)  # fmt: skip
QUOTA_COLUMNS = ("project_id", "resource", "hard_limit")
# Docker's API is the same on both COEs of this name.
DOCKER_COES = ("swarm-mode", "swarm")


def _fields(resource: Any) -> dict[str, Any]:
    fields: dict[str, Any] = resource.to_dict()
    return fields


def _named_request(command: Command, given: Arguments, noun: str) -> dict[str, Any]:
    request = command.request(given)
    request["name"] = exactly_one(given, "positional_name", "name", f"{noun}'s name")
    if "labels" in request:
        request["labels"] = magnum_utils.handle_labels(request["labels"])
    return request


def _print_list(resources: Sequence[Any], usual: Sequence[str], asked: str | None = None) -> None:
    rows = [_fields(resource) for resource in resources]
    print(output.table(rows, output.columns(usual, asked, rows)))


def _page(given: Arguments, *names: str) -> dict[str, Any]:
    return {name: getattr(given, name) for name in names}


def _delete_each(names: Sequence[str], delete: Callable[[str], None], noun: str) -> None:
    """Ask for each deletion, say how each went, and fail at the end if one did."""
    failed = []
    for name in names:
        try:
            delete(name)
            print(f"Request to delete {noun} {name} has been accepted.")
        except Exception as e:  # one that fails must not keep the others
            if len(names) == 1:
                raise
            failed.append(f"{name}: {one_line(e)}")
    if failed:
        raise CommandError(f"Could not delete {len(failed)} of {len(names)}: {'; '.join(failed)}")


def template_create(client: Any, given: Arguments, command: Command) -> None:
    """Create a cluster template and show it."""
    request = _named_request(command, given, "cluster template")
    print(output.properties(_fields(client.cluster_templates.create(**request))))


def template_list(client: Any, given: Arguments, command: Command) -> None:
    """List cluster templates."""
    del command
    templates = client.cluster_templates.list(
        **_page(given, "limit", "sort_key", "sort_dir"), detail=bool(given.detail)
    )
    _print_list(templates, TEMPLATE_DETAILS if given.detail else TEMPLATE_COLUMNS, given.fields)


def template_show(client: Any, given: Arguments, command: Command) -> None:
    """Show one cluster template."""
    del command
    print(output.properties(_fields(client.cluster_templates.get(given.cluster_template))))


def template_delete(client: Any, given: Arguments, command: Command) -> None:
    """Delete cluster templates."""
    del command
    _delete_each(given.cluster_templates, client.cluster_templates.delete, "cluster template")


def template_update(client: Any, given: Arguments, command: Command) -> None:
    """Change fields of a cluster template and show it."""
    del command
    patch = magnum_utils.args_array_to_patch(given.op, given.attributes)
    print(
        output.properties(_fields(client.cluster_templates.update(given.cluster_template, patch)))
    )


def cluster_create(client: Any, given: Arguments, command: Command) -> None:
    """Ask for a new cluster."""
    request = _named_request(command, given, "cluster")
    # The API takes a name as well, but its answer to an unknown one does not say so.
    request["cluster_template_id"] = client.cluster_templates.get(given.cluster_template).uuid
    cluster = client.clusters.create(**request)
    print(f"Request to create cluster {cluster.uuid} has been accepted.")


def cluster_list(client: Any, given: Arguments, command: Command) -> None:
    """List clusters."""
    del command
    clusters = client.clusters.list(**_page(given, "marker", "limit", "sort_key", "sort_dir"))
    _print_list(clusters, CLUSTER_COLUMNS, given.fields)


def cluster_show(client: Any, given: Arguments, command: Command) -> None:
    """Show one cluster, with its template's fields if asked."""
    del command
    cluster = _fields(client.clusters.get(given.cluster))
    if given.long:
        template = _fields(client.cluster_templates.get(cluster["cluster_template_id"]))
        for name in template.keys() - {"links", "uuid"}:
            cluster.setdefault(f"clustertemplate_{name}", template[name])
    print(output.properties(cluster))


def cluster_delete(client: Any, given: Arguments, command: Command) -> None:
    """Ask for the deletion of clusters."""
    del command
    _delete_each(given.cluster, client.clusters.delete, "cluster")


def cluster_update(client: Any, given: Arguments, command: Command) -> None:
    """Ask for a change of a cluster's fields."""
    del command
    attributes = [re.sub(r"^/?manager_count(?==|$)", "master_count", a) for a in given.attributes]
    patch = magnum_utils.args_array_to_patch(given.op, attributes)
    client.clusters.update(given.cluster, patch, bool(given.rollback))
    print(f"Request to update cluster {given.cluster} has been accepted.")


def cluster_config(client: Any, given: Arguments, command: Command) -> None:
    """Fetch a client certificate and print the environment for the docker command."""
    del command
    directory = pathlib.Path(given.dir).absolute()
    cluster = client.clusters.get(given.cluster)
    template = client.cluster_templates.get(cluster.cluster_template_id)
    if template.coe not in DOCKER_COES:
        raise CommandError(
            f"Cluster {given.cluster} is of COE {template.coe}: use 'openstack coe cluster config'."
        )
    if not cluster.api_address:
        raise CommandError(
            f"Cluster {given.cluster} has no API address yet: its status is {cluster.status}."
        )
    if not template.tls_disabled:
        if not given.force:
            certificates.refuse_existing(directory)
        made = magnum_utils.generate_csr_and_key()
        authority = client.certificates.get(cluster_uuid=cluster.uuid).pem
        signed = client.certificates.create(cluster_uuid=cluster.uuid, csr=made["csr"]).pem
        certificates.write(
            directory, {"ca.pem": authority, "cert.pem": signed, "key.pem": made["key"]}
        )
    print(
        certificates.environment(
            cluster.api_address,
            directory,
            tls=not template.tls_disabled,
            shell=os.environ.get("SHELL", ""),
        )
    )


def _cluster_uuid(client: Any, given: Arguments) -> str:
    name = exactly_one(given, "positional_cluster", "cluster", "cluster's name or uuid")
    return str(client.clusters.get(name).uuid)


def ca_show(client: Any, given: Arguments, command: Command) -> None:
    """Print a cluster's CA certificate."""
    del command
    print(client.certificates.get(cluster_uuid=_cluster_uuid(client, given)).pem)


def ca_sign(client: Any, given: Arguments, command: Command) -> None:
    """Have a certificate signing request signed and print the certificate."""
    del command
    try:
        csr = pathlib.Path(given.csr).read_text(encoding="ascii")
    except OSError as e:
        raise CommandError(f"Cannot read {given.csr}: {e.strerror}.") from e
    except UnicodeDecodeError as e:
        raise CommandError(f"{given.csr} is not a PEM file.") from e
    uuid = _cluster_uuid(client, given)
    print(client.certificates.create(cluster_uuid=uuid, csr=csr).pem)


def ca_rotate(client: Any, given: Arguments, command: Command) -> None:
    """Ask for a new CA of a cluster."""
    del command
    client.certificates.rotate_ca(cluster_uuid=_cluster_uuid(client, given))
    print("Request to rotate the CA has been accepted.")


def service_list(client: Any, given: Arguments, command: Command) -> None:
    """List Magnum's own services (administrators only)."""
    del given, command
    _print_list(client.mservices.list(), SERVICE_COLUMNS)


def stats_list(client: Any, given: Arguments, command: Command) -> None:
    """Show how many clusters and nodes there are."""
    del command
    print(output.properties(_fields(client.stats.list(project_id=given.project_id))))


def quotas_list(client: Any, given: Arguments, command: Command) -> None:
    """List quotas."""
    del command
    page = _page(given, "marker", "limit", "sort_key", "sort_dir")
    _print_list(client.quotas.list(**page, all_tenants=bool(given.all_tenants)), QUOTA_COLUMNS)


def quotas_create(client: Any, given: Arguments, command: Command) -> None:
    """Create a quota and show it."""
    print(output.properties(_fields(client.quotas.create(**command.request(given)))))


def quotas_show(client: Any, given: Arguments, command: Command) -> None:
    """Show one quota."""
    del command
    print(output.properties(_fields(client.quotas.get(given.project_id, given.resource))))


def quotas_update(client: Any, given: Arguments, command: Command) -> None:
    """Change a quota and show it."""
    updated = client.quotas.update(given.project_id, given.resource, command.request(given))
    print(output.properties(_fields(updated)))


def quotas_delete(client: Any, given: Arguments, command: Command) -> None:
    """Delete a quota."""
    del command
    client.quotas.delete(given.project_id, given.resource)
    print(
        f"Request to delete quota for project id {given.project_id} and resource {given.resource}"
        " has been accepted."
    )
