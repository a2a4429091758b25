# SPDX-License-Identifier: Apache-2.0
"""What the nodes of clusters may ask of Magnum's API, and for which of them Magnum signs.

The rules are in :mod:`magnum_swarm_mode.admission.manager_keys`. The key is recorded before Magnum
signs, so that a request whose answer is lost can be made again.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from magnum import objects
from magnum.common import exception
from oslo_db import exception as db_exception
from webob import exc

from magnum_swarm_mode import exceptions, log
from magnum_swarm_mode.admission import manager_keys, node_token
from magnum_swarm_mode.api import errors
from magnum_swarm_mode.db.store import Store
from magnum_swarm_mode.decisions.record import Phase, State

LOG = log.of(__name__)

_LIVING = (Phase.SUBMITTING, Phase.CREATED)


def held_to_cluster(request: Any) -> tuple[str, str] | None:
    """Hold the credential of nodes to its cluster; return what it asks to sign, if it does.

    :raises webob.exc.HTTPError: when nodes may not make the call.
    """
    token_info = request.environ.get("keystone.token_info")
    if not node_token.concerns(token_info):
        return None
    call = _call(request)
    sentence = node_token.refusal(token_info, call)
    if sentence is not None:
        LOG.warning("Forbidden: %s %s: %s", call.method, call.path, sentence)
        readable = node_token.is_readable(call)
        raise errors.answer(exc.HTTPForbidden if readable else exc.HTTPBadRequest, sentence)
    return node_token.signing_request(call)


def _call(request: Any) -> node_token.Call:
    """Return a request of WebOb's as the guard of the nodes' credential sees it."""
    return node_token.Call(
        method=request.method,
        path=request.path_info,
        query=request.query_string,
        content_type=request.content_type or "",
        body=request.body,
    )


def admit(context: Any, cluster_uuid: str, csr: str, proof: str) -> None:
    """Record the key of a request to sign, if the request is that of a manager.

    :param proof: the header :data:`.manager_keys.PROOF`; empty for none.
    :raises Refused: when the request is not one that a manager makes.
    :raises NotAdmitted: when nothing proves that it is a manager's.
    :raises Unavailable: when the record cannot be written now.
    """
    request = manager_keys.read(cluster_uuid, csr, proof)
    try:
        status = objects.Cluster.get_by_uuid(context, cluster_uuid).status
    except exception.ClusterNotFound:
        # Magnum answers that with a sentence of its own.
        return

    def change(state: State) -> State:
        known = state.manager_keys if state.phase in _LIVING else {}
        creating = status == "CREATE_IN_PROGRESS" and state.phase in _LIVING
        keys = manager_keys.admitted(known, request, is_creating=creating)
        return dataclasses.replace(state, manager_keys=keys)

    try:
        record = Store().amend(cluster_uuid, change)
    except (db_exception.DBError, db_exception.CantStartEngineError) as error:
        raise exceptions.Unavailable(
            "Nothing can be signed now: Magnum's database does not answer. Try again in a minute.",
            f"The keys of managers cannot be read ({type(error).__name__}): magnum-api needs the "
            f"same [database] connection as magnum-conductor. {error}",
        ) from error
    if record is None:
        raise manager_keys.NotAdmitted("The cluster is being deleted.")
