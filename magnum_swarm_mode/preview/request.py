# SPDX-License-Identifier: Apache-2.0
"""What is asked for: a cluster template and a cluster, as Magnum's API would have them."""

from __future__ import annotations

import dataclasses
import difflib
import json
import pathlib
from collections.abc import Mapping
from typing import Any

import yaml

from magnum_swarm_mode import constants, exceptions
from magnum_swarm_mode.admission import fields as request_fields

# What a template has where its user said nothing: Magnum's own, in magnum/api/controllers/v1.
_TEMPLATE_DEFAULTS: Mapping[str, Any] = {
    "coe": constants.COE,
    "server_type": constants.SERVER_TYPE,
    "floating_ip_enabled": True,
    "master_lb_enabled": False,
    "registry_enabled": False,
    "tls_disabled": False,
    "labels": {},
}
_CLUSTER_DEFAULTS: Mapping[str, Any] = {"node_count": 1, "master_count": 1, "create_timeout": 60}
# A cluster takes these from its template where its user said nothing.
_INHERITED: Mapping[str, str] = {
    "keypair": "keypair_id",
    **{
        name: name
        for name in (
            "docker_volume_size",
            "master_flavor_id",
            "flavor_id",
            "floating_ip_enabled",
            "fixed_network",
            "fixed_subnet",
            "master_lb_enabled",
        )
    },
}
# How the command lines show a field without value.
_NOTHING = "-"


@dataclasses.dataclass(frozen=True)
class Request:
    """A template and a cluster with all defaults filled in.

    :ivar given: names of the cluster's fields that its user gave.
    """

    template: Mapping[str, Any]
    cluster: Mapping[str, Any]
    given: frozenset[str]


def read_file(path: str, fields: Mapping[str, request_fields.Field]) -> dict[str, Any]:
    """Return the fields in a file: JSON or YAML, as the API or a command line shows them.

    What Magnum writes into its answers, such as links and times, is left out, but for the uuid,
    which names of nodes may derive from.

    :param fields: the table of the type that it should be.
    :raises Refused: when it is no such file, or has a field that Magnum does not know.
    """
    try:
        data = yaml.safe_load(pathlib.Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise exceptions.Refused(
            f"{path} cannot be read: {' '.join(str(error).split())}."
        ) from error
    if not isinstance(data, dict):
        raise exceptions.Refused(f"{path} is not a mapping of fields to values.")
    for name in data:
        if name not in fields:
            near = difflib.get_close_matches(str(name), list(fields), n=1)
            hint = f"did you mean {near[0]}?" if near else "Magnum's API has no such field."
            raise exceptions.Refused(f"{path}: field {name} is not known; {hint}")
    return {
        name: _labels(path, value) if name == "labels" else value
        for name, value in data.items()
        if value is not None
        and value != _NOTHING
        and (name == "uuid" or not _is_answer(fields[name]))
    }


def _is_answer(field: request_fields.Field) -> bool:
    return field.handling is request_fields.Handling.REFUSED and "written by Magnum" in field.text


def _labels(path: str, value: Any) -> dict[str, Any]:
    """Return labels that may be text, as a command line shows them in its table."""
    if isinstance(value, str):
        try:
            value = json.loads(value.replace("'", '"') or "{}")
        except ValueError:
            value = None
    if not isinstance(value, dict):
        raise exceptions.Refused(f"{path}: labels is not a mapping of names to values.")
    return value


def complete(template: Mapping[str, Any], cluster: Mapping[str, Any]) -> Request:
    """Fill in what Magnum would fill in before it decides.

    :param template: the fields that are given, by the names of Magnum's API.
    :param cluster: likewise.
    """
    whole_template = {**_TEMPLATE_DEFAULTS, **template}
    if request_fields.is_unset(whole_template.get("master_flavor_id")):
        whole_template["master_flavor_id"] = whole_template.get("flavor_id")
    whole_cluster = {**_CLUSTER_DEFAULTS, **cluster}
    for name, origin in _INHERITED.items():
        if whole_cluster.get(name) is None:
            whole_cluster[name] = whole_template.get(origin)
    labels = dict(whole_cluster.get("labels") or {})
    if not labels or whole_cluster.get("merge_labels"):
        labels = {**(whole_template.get("labels") or {}), **labels}
    whole_cluster["labels"] = labels
    # Nobody gives an uuid to Magnum, but files that are its answers have one.
    return Request(whole_template, whole_cluster, frozenset(cluster) - {"uuid"})
