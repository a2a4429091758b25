# SPDX-License-Identifier: Apache-2.0
"""What the resources share: addresses, bodies and answers."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from django.http import HttpRequest
from django.utils.translation import gettext as _
from openstack_dashboard.api.rest import utils as rest_utils

ROOT = r"container_infra/swarm_mode"
# Only ids get into the address of a request to Magnum: what is not one is no address of ours.
CLUSTER = ROOT + r"/clusters/(?P<cluster_id>[0-9a-f-]{36})"
TYPE = "swarm-mode"


def body(request: HttpRequest, fields: Collection[str]) -> dict[str, Any]:
    """Return the object that a request carries.

    :param fields: the fields that it may have.
    :raises AjaxError: status 400, naming what it may not have.
    """
    data: Any = request.DATA
    if not isinstance(data, dict):
        raise rest_utils.AjaxError(400, _("The request's body must be a JSON object."))
    if unknown := sorted(set(data) - set(fields)):
        text = _("%(fields)s cannot be given here.") % {"fields": ", ".join(unknown)}
        raise rest_utils.AjaxError(400, text)
    return {name: value for name, value in data.items() if value is not None}


def with_id(item: Mapping[str, Any]) -> dict[str, Any]:
    """Return an object of Magnum's with its identity where Horizon's tables look for it."""
    return {**item, "id": item["uuid"]}
