# SPDX-License-Identifier: Apache-2.0
"""Clusters: the list with engines, details, and the operations on a swarm."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from django.views import generic
from openstack_dashboard.api.rest import urls
from openstack_dashboard.api.rest import utils as rest_utils

from magnum_swarm_mode_ui import events
from magnum_swarm_mode_ui.rest import base
from magnum_swarm_mode_ui.services import Heat, Magnum

FIELDS = frozenset(
    {
        "name",
        "cluster_template_id",
        "keypair",
        "node_count",
        "master_count",
        "docker_volume_size",
        "labels",
        "merge_labels",
        "master_flavor_id",
        "flavor_id",
        "create_timeout",
        "fixed_network",
        "fixed_subnet",
        "floating_ip_enabled",
    }
)


@urls.register
class Clusters(generic.View):
    """The clusters of a project, of every engine."""

    url_regex = base.ROOT + r"/clusters/$"

    @rest_utils.ajax()
    def get(self, request: HttpRequest) -> dict[str, Any]:
        """Return the clusters, each with the engine of its template, which Magnum leaves out.

        magnum-ui's own list fails with python-magnumclient 5.
        """
        magnum = Magnum(request)
        templates = magnum.every("/v1/clustertemplates/detail", "clustertemplates")
        of_template = {template["uuid"]: template for template in templates}
        clusters = magnum.every("/v1/clusters/detail", "clusters")
        return {"items": [_with_template(one, of_template) for one in clusters]}

    @rest_utils.ajax(data_required=True)
    def post(self, request: HttpRequest) -> Any:
        """Create a cluster."""
        fields = base.body(request, FIELDS)
        made = Magnum(request).call("POST", "/v1/clusters", fields)
        return rest_utils.JSONResponse(base.with_id(made), 202)


def _with_template(cluster: dict[str, Any], templates: dict[str, dict[str, Any]]) -> dict[str, Any]:
    # A template of another project's that was hidden since is not in the list.
    template = templates.get(cluster["cluster_template_id"], {})
    return {
        **base.with_id(cluster),
        "coe": template.get("coe"),
        "cluster_template_name": template.get("name"),
    }


@urls.register
class Cluster(generic.View):
    """One cluster with what its pages show of it."""

    url_regex = base.CLUSTER + r"$"

    @rest_utils.ajax()
    def get(self, request: HttpRequest, cluster_id: str) -> dict[str, Any]:
        """Return the cluster, its template and, of a swarm, its node groups."""
        magnum = Magnum(request)
        cluster = magnum.call("GET", f"/v1/clusters/{cluster_id}")
        template = magnum.call("GET", f"/v1/clustertemplates/{cluster['cluster_template_id']}")
        found = _with_template(cluster, {template["uuid"]: template})
        if template["coe"] != base.TYPE:
            return found
        path = f"/v1/clusters/{cluster_id}/nodegroups"
        groups = [
            magnum.call("GET", f"{path}/{one['uuid']}") for one in magnum.every(path, "nodegroups")
        ]
        return {
            **found,
            "template": base.with_id(template),
            "node_groups": [base.with_id(group) for group in groups],
        }


@urls.register
class Events(generic.View):
    """What Heat did last for a cluster."""

    url_regex = base.CLUSTER + r"/events$"

    @rest_utils.ajax()
    def get(self, request: HttpRequest, cluster_id: str) -> dict[str, Any]:
        """Return the events of the last change of its stack, the newest first."""
        heat = Heat(request)
        # Magnum does not say which stack a cluster has.
        name = events.stack_name(cluster_id)
        stacks = heat.call("GET", f"/stacks?name={name}")["stacks"]
        if not stacks:
            return {"items": []}
        listed = heat.call("GET", events.path(name, stacks[0]["id"]))
        return {"items": events.last_change(name, listed["events"])}


@urls.register
class Resize(generic.View):
    """The number of nodes of a group."""

    url_regex = base.CLUSTER + r"/resize$"

    @rest_utils.ajax(data_required=True)
    def post(self, request: HttpRequest, cluster_id: str) -> None:
        """Have a group get a number of nodes."""
        fields = base.body(request, {"node_count", "nodegroup", "nodes_to_remove"})
        Magnum(request).call("POST", f"/v1/clusters/{cluster_id}/actions/resize", fields)


@urls.register
class Upgrade(generic.View):
    """The template that nodes follow."""

    url_regex = base.CLUSTER + r"/upgrade$"

    @rest_utils.ajax(data_required=True)
    def post(self, request: HttpRequest, cluster_id: str) -> None:
        """Have nodes replaced by such of another template."""
        fields = base.body(request, {"cluster_template", "max_batch_size", "nodegroup"})
        Magnum(request).call("POST", f"/v1/clusters/{cluster_id}/actions/upgrade", fields)


@urls.register
class CertificateAuthority(generic.View):
    """The certificate authority of a cluster."""

    url_regex = base.CLUSTER + r"/certificate_authority$"

    @rest_utils.ajax()
    def post(self, request: HttpRequest, cluster_id: str) -> None:
        """Replace it, and with it everything that lets somebody into the cluster."""
        Magnum(request).call("PATCH", f"/v1/certificates/{cluster_id}")


@urls.register
class Credential(generic.View):
    """The credential with which Magnum works on a cluster."""

    url_regex = base.CLUSTER + r"/credential$"

    @rest_utils.ajax()
    def post(self, request: HttpRequest, cluster_id: str) -> None:
        """Replace it; the user becomes the cluster's owner."""
        Magnum(request).call("PATCH", f"/v1/credentials/{cluster_id}")
