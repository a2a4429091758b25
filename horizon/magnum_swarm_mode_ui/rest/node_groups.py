# SPDX-License-Identifier: Apache-2.0
"""Node groups of a cluster: create, change and delete."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from django.views import generic
from openstack_dashboard.api.rest import urls
from openstack_dashboard.api.rest import utils as rest_utils

from magnum_swarm_mode_ui import patches
from magnum_swarm_mode_ui.rest import base
from magnum_swarm_mode_ui.services import Magnum

CREATED = frozenset(
    {
        "name",
        "node_count",
        "min_node_count",
        "max_node_count",
        "role",
        "flavor_id",
        "image_id",
        "docker_volume_size",
        "labels",
        "merge_labels",
        "node_labels",
    }
)
CHANGED = frozenset({"min_node_count", "max_node_count", "node_labels"})


@urls.register
class NodeGroups(generic.View):
    """The node groups of a cluster."""

    url_regex = base.CLUSTER + r"/node_groups/$"

    @rest_utils.ajax(data_required=True)
    def post(self, request: HttpRequest, cluster_id: str) -> Any:
        """Create a node group."""
        fields = base.body(request, CREATED)
        made = Magnum(request).call("POST", f"/v1/clusters/{cluster_id}/nodegroups", fields)
        return rest_utils.JSONResponse(base.with_id(made), 202)


@urls.register
class NodeGroup(generic.View):
    """One node group."""

    url_regex = base.CLUSTER + r"/node_groups/(?P<group_id>[0-9a-f-]{36})$"

    @rest_utils.ajax(data_required=True)
    def patch(self, request: HttpRequest, cluster_id: str, group_id: str) -> Any:
        """Change bounds and node labels."""
        wanted = base.body(request, CHANGED)
        path = f"/v1/clusters/{cluster_id}/nodegroups/{group_id}"
        magnum = Magnum(request)
        before = magnum.call("GET", path)
        patch = patches.changes(before, wanted)
        return base.with_id(magnum.call("PATCH", path, patch) if patch else before)

    @rest_utils.ajax()
    def delete(self, request: HttpRequest, cluster_id: str, group_id: str) -> None:
        """Delete a node group; its nodes are drained first."""
        Magnum(request).call("DELETE", f"/v1/clusters/{cluster_id}/nodegroups/{group_id}")
