# SPDX-License-Identifier: Apache-2.0
"""What users send to Magnum's API."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from magnum_swarm_mode import exceptions
from magnum_swarm_mode.admission import cluster_request, json_kinds, node_token, operations
from magnum_swarm_mode.admission import fields as request_fields
from magnum_swarm_mode.api import bodies
from magnum_swarm_mode.decisions.model import Member
from magnum_swarm_mode.labels import parsing
from magnum_swarm_mode.labels import table as label_table
from tests.fuzz import inputs
from tests.fuzz.harness import Target

TEMPLATE = {
    "name": "t",
    "coe": "swarm-mode",
    "image_id": "debian-12",
    "flavor_id": "m1",
    "keypair_id": "k",
    "external_network_id": "public",
    "docker_volume_size": 5,
    "floating_ip_enabled": True,
    "labels": {
        "docker_version": "26.1",
        "published_ports": "80 443/tcp",
        "swarm_address_pool": "10.88.0.0/16",
    },
    "no_proxy": "10.0.0.0/8,example.com",
    "http_proxy": "http://p:3128",
    "insecure_registry": "r:5000",
    "dns_nameserver": "9.9.9.9",
    "tls_disabled": False,
    "public": False,
    "hidden": False,
    "tags": "a",
}
CLUSTER = {
    "name": "c",
    "cluster_template_id": "t",
    "node_count": 8,
    "master_count": 3,
    "create_timeout": 60,
    "labels": {"join_timeout": "600"},
    "merge_labels": True,
    "keypair": "k",
    "docker_volume_size": 5,
    "fixed_network": None,
    "discovery_url": None,
    "floating_ip_enabled": True,
}
GROUP = {
    "name": "g",
    "node_count": 2,
    "min_node_count": 0,
    "max_node_count": 5,
    "role": "worker",
    "labels": {"availability_zone": "nova"},
    "node_labels": {"a": "b"},
    "node_taints": [],
}
RESIZE = {"node_count": 3, "nodes_to_remove": ["0", "c-worker-1"], "nodegroup": None}
PATCH = [
    {"op": "replace", "path": "/node_count", "value": 3},
    {"op": "add", "path": "/labels", "value": "{}"},
    {"op": "remove", "path": "/name"},
]
_MEMBERS = (Member("0", "c-worker-0", "s0"), Member("g1", "c-worker-g1", "s1"))
_SIGN = {"cluster_uuid": "6ba7b810-9dad-11d1-80b4-00c04fd430c8", "csr": "PEM"}
_TOKEN = {
    "token": {
        "application_credential": {
            "name": f"{node_token.NAME_PREFIX}6ba7b810-9dad-11d1-80b4-00c04fd430c8",
            "restricted": False,
        },
        "OS-TRUST:trust": {},
    }
}


class Bodies(Target):
    """The body of each request that makes or changes something, up to the decision about it.

    Only ``Refused`` leaves it, with a sentence that can be shown. What is not refused is of the
    kinds that Magnum takes.
    """

    name = "api-body"
    depths = (cluster_request.check_cluster, operations.check_count)
    refusals = (exceptions.Refused,)

    def inputs(self) -> inputs.Make:
        return inputs.documents(TEMPLATE, CLUSTER, GROUP, RESIZE, PATCH)

    def read(self, data: bytes) -> Iterable[str]:
        body = json_kinds.parse(data)
        for known in bodies._REQUESTS:
            try:
                self._decide(known, body)
            except exceptions.Refused as refusal:
                yield str(refusal)
                yield refusal.operator_message

    def _decide(self, known: bodies.Request, body: Any) -> None:
        bodies._check_change(known, body)
        if known.method != "POST":
            return
        request_fields.check_given(known.fields, body)
        request_fields.check_fields(known.fields, body)
        cloud = cluster_request.Cloud()
        if known.fields is request_fields.CLUSTER_TEMPLATE_FIELDS:
            cluster_request.check_cluster_template(body, cloud)
        elif known.fields is request_fields.CLUSTER_FIELDS:
            cluster_request.check_cluster(TEMPLATE, body, cloud)
        elif known.path.endswith("/resize"):
            operations.check_named(body.get("nodes_to_remove") or [], _MEMBERS, "g")
            group = {"role": "worker", "name": "g", "min_node_count": 1, "max_node_count": 5}
            if body.get("node_count") is not None:
                operations.check_count(group, int(body["node_count"]))


class Labels(Target):
    """Names and values of labels, as Magnum keeps them.

    Only ``Refused`` leaves the parser, with a sentence that can be shown.
    """

    name = "api-labels"
    depths = (parsing.parse, parsing.port_range)
    refusals = (exceptions.Refused,)

    def inputs(self) -> inputs.Make:
        defaults = label_table.Labels()
        all_ = {name: _written(getattr(defaults, name)) for name in label_table.DECLARATIONS}
        some = {
            "docker_version": "26.1",
            "published_ports": "80 443/tcp,8000-8010",
            "join_timeout": "600",
        }
        remote = {"log_driver": "gelf", "log_address": "tcp://logs.example.com:24224"}
        return inputs.documents(all_, some, remote, {**some, "swarm_address_pool": "10.88.0.0/16"})

    def read(self, data: bytes) -> Iterable[str]:
        labels = json_kinds.parse(data)
        if not isinstance(labels, dict):
            raise exceptions.Refused("no object")
        parsed = parsing.parse(labels)
        for text in parsed.published_ports:
            parsing.port_range(text)
        return ()


def _written(value: object) -> str:
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


class Tokens(Target):
    """A token's description, and a request to sign that was made with it.

    A call is forbidden or not, and readable or not; nothing is raised but ``Refused``.
    """

    name = "api-token"
    depths = (node_token.refusal, cluster_request.check_credential)
    refusals = (exceptions.Refused,)

    def inputs(self) -> inputs.Make:
        fine = inputs.just(json.dumps(_TOKEN).encode())
        return inputs.parts(
            inputs.often((1, inputs.documents(_TOKEN)), (1, fine)),
            inputs.documents(_SIGN),
            between=b"\n\x00\n",
        )

    def read(self, data: bytes) -> Iterable[str]:
        token, _, body = data.partition(b"\n\x00\n")
        try:
            info = json.loads(token)
        except (ValueError, RecursionError):
            info = None
        call = node_token.Call("POST", "/v1/certificates", "", "application/json", body)
        node_token.is_readable(call)
        yield node_token.refusal(info, call) or ""
        if isinstance(info, dict) and isinstance(info.get("token"), dict):
            cluster_request.check_credential(info)


TARGETS = (Bodies(), Labels(), Tokens())
