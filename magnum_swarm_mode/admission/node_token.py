# SPDX-License-Identifier: Apache-2.0
"""What the application credential of a cluster's nodes may do at Magnum's API.

The credential's access rules name calls, not clusters: with them alone a manager of one cluster
could have certificates signed by the CA of every other cluster of its project. (Nor are they
enforced for a request that carries a service token; see keystonemiddleware,
``validate_allowed_request``.) So the cluster's uuid is part of the credential's name, Keystone
puts that name into every token, and here, in the API process, such a token is held to its cluster:

- ``POST /v1/certificates`` to sign for this cluster;
- ``GET /v1/certificates/<uuid>`` of this cluster;
- ``GET /v1/clusters/<uuid>`` of this cluster.

Everything else is forbidden. A cluster must be named by its uuid, for names can be given away.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Mapping
from typing import Any

from magnum_swarm_mode import constants

NAME_PREFIX = constants.NODE_CREDENTIAL_PREFIX
_UUID = "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
# The number is that of the rotation which made the credential.
_NAME = re.compile(rf"{re.escape(NAME_PREFIX)}(?P<uuid>{_UUID})(?:-[1-9][0-9]*)?")
_SIGN = re.compile(r"/v1/certificates/?")
_READ = re.compile(rf"/v1/(?:certificates|clusters)/(?P<uuid>{_UUID})/?")
# What a request to sign may say beside the cluster. ca_cert_type would choose another CA.
_SIGNING_KEYS = frozenset({"cluster_uuid", "csr"})


@dataclasses.dataclass(frozen=True)
class Call:
    """One request to Magnum's API, as the guard sees it.

    :ivar path: below the mount point, decoded, without query.
    :ivar query: the raw query string. pecan lets ``_method`` in it override the method.
    """

    method: str
    path: str
    query: str
    content_type: str
    body: bytes


def concerns(token_info: object) -> bool:
    """Return whether a token came from the application credential of some cluster's nodes.

    :param token_info: ``keystone.token_info`` of the request's environment, where
        keystonemiddleware puts Keystone's answer to the validation.
    """
    return _credential_name(token_info).startswith(NAME_PREFIX)


def refusal(token_info: object, call: Call) -> str | None:
    """Return why a call is forbidden to the token that it was made with, or None.

    :param token_info: as for :func:`concerns`.
    """
    if not concerns(token_info):
        return None
    match = _NAME.fullmatch(_credential_name(token_info))
    if match and _is_allowed(match["uuid"], call):
        return None
    return (
        "The credential of a swarm-mode cluster's nodes may only sign certificates for, and read, "
        "its own cluster by its uuid."
    )


def signing_request(call: Call) -> tuple[str, str] | None:
    """Return the cluster and the request (PEM) that a call asks to sign; None if it asks for none.

    :param call: one that :func:`refusal` lets pass.
    """
    wanted = _signing(call.body) if _signs(call) else None
    if wanted is None:
        return None
    return str(wanted.get("cluster_uuid")), str(wanted.get("csr") or "")


def is_readable(call: Call) -> bool:
    """Return whether a call that would sign has a body that Magnum can read, whomever it signs for.

    Calls that sign nothing are readable: their bodies decide nothing.
    """
    return not _signs(call) or _signing(call.body) is not None


def _credential_name(token_info: object) -> str:
    """Return the name of the application credential that a token came from; empty if from none."""
    found = token_info
    for key in ("token", "application_credential", "name"):
        found = found.get(key) if isinstance(found, Mapping) else None
    return str(found or "")


def _is_allowed(uuid: str, call: Call) -> bool:
    if call.query:
        return False
    if call.method == "GET":
        match = _READ.fullmatch(call.path)
        # A body could carry a form with _method in it.
        return match is not None and match["uuid"] == uuid and not call.body
    return _signs(call) and _signs_for(uuid, call.body)


def _signs(call: Call) -> bool:
    return (
        call.method == "POST"
        and _SIGN.fullmatch(call.path) is not None
        and call.content_type == "application/json"
    )


def _signs_for(uuid: str, body: bytes) -> bool:
    wanted = _signing(body)
    return (
        wanted is not None
        and wanted.get("cluster_uuid") == uuid
        and all(key in _SIGNING_KEYS or wanted[key] is None for key in wanted)
    )


def _signing(body: bytes) -> dict[str, Any] | None:
    """Return the request to sign that a body is; None where Magnum would fail at reading it."""
    try:
        # json.loads() would read other encodings of bytes, too.
        wanted = json.loads(body.decode("utf-8"), object_pairs_hook=_without_duplicates)
        # A text that JSON can carry and UTF-8 cannot ends the process's answer.
        readable = isinstance(wanted, dict) and _is_text(wanted.get("csr", ""))
    except (ValueError, RecursionError):
        return None
    return wanted if readable else None


def _is_text(value: object) -> bool:
    return isinstance(value, str) and value.isascii()


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Build an object, and refuse one whose meaning depends on who reads it."""
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError("a name occurs twice")
    return result
