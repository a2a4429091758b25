# SPDX-License-Identifier: Apache-2.0
"""Looks at the JSON of requests that concern swarm-mode, before Magnum reads it.

What JSON a field takes is decided by :mod:`magnum_swarm_mode.admission.json_kinds`; here are the
requests that carry such fields. Who may not make a request at all reads that first.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from typing import Any

from magnum import objects
from magnum.api.controllers.v1 import cluster as cluster_controller
from magnum.api.controllers.v1 import cluster_actions
from magnum.api.controllers.v1 import cluster_template as template_controller
from magnum.api.controllers.v1 import nodegroup as group_controller
from magnum.common import context as magnum_context
from magnum.common import exception, policy
from oslo_utils import uuidutils

from magnum_swarm_mode import constants, exceptions
from magnum_swarm_mode.admission import fields as request_fields
from magnum_swarm_mode.admission import json_kinds


@dataclasses.dataclass(frozen=True)
class Request:
    """A request whose body is looked at.

    :ivar path: pattern of the whole path; its group, if any, names what is changed.
    :ivar rule: of Magnum's policy.
    :ivar type: Magnum's type of the body, or of what a patch changes.
    :ivar fields: what is done with each field.
    :ivar needed: fields that cannot be null, or be removed by a patch.
    :ivar converts: whether Magnum makes numbers of a patch's texts.
    """

    method: str
    path: str
    rule: str
    type: Any
    fields: Mapping[str, request_fields.Field] = dataclasses.field(default_factory=dict)
    needed: tuple[str, ...] = ()
    converts: bool = False


_CLUSTER = "/v1/clusters/([^/]+)"
_COUNTS = ("node_count", "master_count")
_REQUESTS = (
    Request(
        "POST",
        "/v1/clustertemplates",
        "clustertemplate:create",
        template_controller.ClusterTemplate,
        request_fields.CLUSTER_TEMPLATE_FIELDS,
    ),
    Request(
        "PATCH",
        "/v1/clustertemplates/([^/]+)",
        "clustertemplate:update",
        template_controller.ClusterTemplate,
        needed=("coe", "image_id", "flavor_id"),
        converts=True,
    ),
    Request(
        "POST",
        "/v1/clusters",
        "cluster:create",
        cluster_controller.Cluster,
        request_fields.CLUSTER_FIELDS,
        _COUNTS,
    ),
    Request("PATCH", _CLUSTER, "cluster:update", cluster_controller.Cluster, needed=_COUNTS),
    Request(
        "POST",
        f"{_CLUSTER}/actions/resize",
        "cluster:resize",
        cluster_actions.ClusterResizeRequest,
        needed=_COUNTS,
    ),
    Request(
        "POST",
        f"{_CLUSTER}/actions/upgrade",
        "cluster:upgrade",
        cluster_actions.ClusterUpgradeRequest,
    ),
    Request(
        "POST",
        f"{_CLUSTER}/nodegroups",
        "nodegroup:create",
        group_controller.NodeGroup,
        request_fields.NODE_GROUP_FIELDS,
        _COUNTS,
    ),
    Request(
        "PATCH",
        f"{_CLUSTER}/nodegroups/[^/]+",
        "nodegroup:update",
        group_controller.NodeGroup,
        needed=_COUNTS,
    ),
)


class NotPermitted(Exception):  # noqa: N818 (the word says it)
    """The policy does not permit the request; the text is what Magnum says then."""


def check(request: Any) -> None:
    """Refuse JSON of the wrong kind in a request that concerns swarm-mode.

    :param request: with its context.
    :raises NotPermitted: where the user may not make such a request at all.
    :raises Refused: naming the field.
    """
    path = request.path_info.rstrip("/")
    for known in _REQUESTS:
        match = re.fullmatch(known.path, path) if known.method == request.method else None
        if match:
            _check(known, request, match[1] if match.re.groups else None)


def _check(known: Request, request: Any, changed: str | None) -> None:
    try:
        if changed is None:
            target = None
            _check_new(known, request)
        else:
            target = _changed(known, request.context, changed)
            if target is not None:
                _check_change(known, json_kinds.parse(request.body))
    except exceptions.Refused:
        # Magnum looks at its policy after it has read the body.
        try:
            policy.enforce(
                request.context,
                known.rule,
                # As Magnum itself does, which gives rules about node groups the user's own project.
                None if target is None or "nodegroup" in known.rule else target.as_dict(),
                action=known.rule,
            )
        except exception.PolicyNotAuthorized as error:
            raise NotPermitted(str(error)) from error
        raise


def _check_new(known: Request, request: Any) -> None:
    body = json_kinds.parse(request.body)
    if not isinstance(body, dict):
        raise exceptions.Refused("The request's body must be a JSON object.")
    if known.type is template_controller.ClusterTemplate:
        ours = body.get("coe") == constants.COE
    else:
        ours = is_template_of_ours(request.context, body.get("cluster_template_id"))
    if ours:
        json_kinds.check_object(json_kinds.kinds(known.type), known.fields, body, known.needed)


def _check_change(known: Request, body: Any) -> None:
    kinds = json_kinds.kinds(known.type)
    if known.method == "PATCH":
        json_kinds.check_patch(kinds, body, known.needed, converts=known.converts)
        return
    if not isinstance(body, dict):
        raise exceptions.Refused("The request's body must be a JSON object.")
    json_kinds.check_object(kinds, known.fields, body, known.needed)


def is_template_of_ours(context: Any, name_or_id: object) -> bool:
    """Return whether a template that is named so is one of swarm-mode."""
    if not isinstance(name_or_id, str):
        return False
    try:
        template = objects.ClusterTemplate.get(context, name_or_id)
    except exception.MagnumException:
        # Not found, or not the only one: Magnum says so itself.
        return False
    return bool(template.coe == constants.COE)


def _changed(known: Request, context: Any, name_or_id: str) -> Any:
    """Return the template or cluster that a request changes; None where it is not swarm-mode's."""
    # To those, Magnum shows every project's.
    seen = magnum_context.make_admin_context(all_tenants=True) if context.is_admin else context
    kind = objects.Cluster if known.path.startswith(_CLUSTER) else objects.ClusterTemplate
    find = kind.get_by_uuid if uuidutils.is_uuid_like(name_or_id) else kind.get_by_name
    try:
        found = find(seen, name_or_id)
    except exception.MagnumException:
        return None
    template = found.cluster_template if kind is objects.Cluster else found
    return found if template.coe == constants.COE else None
