# SPDX-License-Identifier: Apache-2.0
"""Cluster templates of swarm-mode: create and change."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from django.views import generic
from openstack_dashboard.api.rest import urls
from openstack_dashboard.api.rest import utils as rest_utils

from magnum_swarm_mode_ui import patches
from magnum_swarm_mode_ui.rest import base
from magnum_swarm_mode_ui.services import Magnum

FIELDS = frozenset(
    {
        "name",
        "public",
        "hidden",
        "image_id",
        "flavor_id",
        "master_flavor_id",
        "keypair_id",
        "docker_volume_size",
        "insecure_registry",
        "http_proxy",
        "https_proxy",
        "no_proxy",
        "external_network_id",
        "fixed_network",
        "fixed_subnet",
        "dns_nameserver",
        "floating_ip_enabled",
        "labels",
    }
)


@urls.register
class ClusterTemplates(generic.View):
    """The templates of a project."""

    url_regex = base.ROOT + r"/cluster_templates/$"

    @rest_utils.ajax(data_required=True)
    def post(self, request: HttpRequest) -> Any:
        """Create a template of swarm-mode."""
        fields = base.body(request, FIELDS)
        made = Magnum(request).call("POST", "/v1/clustertemplates", {**fields, "coe": base.TYPE})
        return rest_utils.JSONResponse(base.with_id(made), 201)


@urls.register
class ClusterTemplate(generic.View):
    """One template."""

    url_regex = base.ROOT + r"/cluster_templates/(?P<template_id>[0-9a-f-]{36})$"

    @rest_utils.ajax(data_required=True)
    def put(self, request: HttpRequest, template_id: str) -> Any:
        """Give a template the values of the body; what the body leaves out is removed."""
        wanted = {**dict.fromkeys(FIELDS), "labels": {}, **base.body(request, FIELDS)}
        path = f"/v1/clustertemplates/{template_id}"
        magnum = Magnum(request)
        before = magnum.call("GET", path)
        patch = patches.changes(before, wanted)
        return base.with_id(magnum.call("PATCH", path, patch) if patch else before)
