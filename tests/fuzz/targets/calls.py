# SPDX-License-Identifier: Apache-2.0
"""Whole requests to Magnum's API, to all that stands before Magnum's own methods."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
import types
from collections.abc import Iterable, Iterator
from typing import Any
from unittest import mock

import pecan
import pecan.core
import sqlalchemy as sa
from magnum import objects
from magnum.common import exception, policy
from webob import exc

from magnum_swarm_mode import constants
from magnum_swarm_mode.admission import json_kinds, manager_keys
from magnum_swarm_mode.api import bodies, node_certificates, requests
from magnum_swarm_mode.db import store
from magnum_swarm_mode.decisions.record import Phase, new
from tests.fuzz import inputs
from tests.fuzz.harness import Target
from tests.fuzz.targets import api, signing

_NODE = {
    "token": {
        "application_credential": {"name": f"{constants.NODE_CREDENTIAL_PREFIX}{signing.CLUSTER}"}
    }
}
_USER = {"token": {"user": {"id": "u"}}}
_HEADER = "HTTP_" + manager_keys.PROOF.upper().replace("-", "_")
_TYPES = (
    *["application/json"] * 12,
    "application/json; charset=utf-16",
    "application/json; charset=unicode_escape",
    "application/json; charset=idna",
    "application/json; charset=hex",
    "application/json; charset=undefined",
    "application/json; charset=\x1b[2J",
    "application/json;charset",
    "application/javascript",
    "application/x-www-form-urlencoded",
    "multipart/form-data; boundary=x",
    "text/xml",
    "",
)
_C = f"/v1/clusters/{signing.CLUSTER}"
_MADE = "6ba7b810-9dad-11d1-80b4-00c04fd430c9"
# What is given with each body, and another one with which a line of it can be exchanged.
_CALLS: tuple[tuple[str, str, Any], ...] = (
    ("POST", "/v1/clustertemplates", api.TEMPLATE),
    ("POST", "/v1/clusters", api.CLUSTER),
    ("POST", f"{_C}/nodegroups", api.GROUP),
    ("POST", f"{_C}/actions/resize", api.RESIZE),
    ("POST", f"{_C}/actions/upgrade", {"cluster_template": "t", "max_batch_size": 1}),
    ("PATCH", _C, api.PATCH),
    ("PATCH", f"{_C}/nodegroups/g", api.PATCH[:1]),
    ("PATCH", f"/v1/clustertemplates/{_MADE}", api.PATCH[1:2]),
)


def _found(_: Any, name: str) -> Any:
    """Return a row as Magnum's database would; it takes what UTF-8 can carry."""
    name.encode()
    if name not in (signing.CLUSTER, _MADE, "t", "c"):
        raise exception.ClusterNotFound(cluster=name)
    template = types.SimpleNamespace(coe=constants.COE, as_dict=dict)
    row = types.SimpleNamespace(cluster_template=template, as_dict=dict, status="CREATE_COMPLETE")
    row.coe = constants.COE
    return row


class _Calls(Target):
    """A request up to Magnum's own methods; the rows of Magnum's database are made up.

    :cvar token: what Keystone says of the caller.
    """

    # With a sentence; anything else is an answer with status 500.
    refusals = (exc.HTTPClientError, exc.HTTPServiceUnavailable)
    longest = 20_000
    token: Any = _USER

    @contextlib.contextmanager
    def ready(self) -> Iterator[None]:
        self._engine = sa.create_engine("sqlite://", poolclass=sa.pool.StaticPool)
        found = [
            mock.patch.object(kind, name, _found)
            for kind in (objects.Cluster, objects.ClusterTemplate)
            for name in ("get", "get_by_uuid", "get_by_name")
        ]
        with contextlib.ExitStack() as stack:
            stack.callback(self._engine.dispose)
            for one in found:
                stack.enter_context(one)
            stack.enter_context(mock.patch.object(policy, "enforce"))
            made = mock.patch.object(node_certificates, "Store", self.store)
            stack.enter_context(made)
            yield

    def store(self) -> store.Store:
        """Return the table of records."""
        return store.Store(self._engine)

    def call(self, method: str, path: str, kind: str, proof: bytes, body: bytes) -> None:
        """Make a request."""
        environ = {
            "REQUEST_METHOD": method,
            "PATH_INFO": path.partition("?")[0],
            "QUERY_STRING": path.partition("?")[2],
            "SERVER_NAME": "m",
            "SERVER_PORT": "80",
            "wsgi.url_scheme": "http",
            "wsgi.input": io.BytesIO(body),
            "CONTENT_TYPE": kind,
            "CONTENT_LENGTH": str(len(body)),
            "keystone.token_info": self.token,
        }
        if proof:
            environ[_HEADER] = proof.decode("latin-1")
        request = pecan.core.Request(environ)
        request.context = types.SimpleNamespace(is_admin=False)
        state = types.SimpleNamespace(request=request)
        with mock.patch.object(pecan.core, "state", state):
            requests.find_controller(_nothing, None, state)
            requests.before_request(_nothing, None, state)

    def told(self, error: BaseException) -> str:
        assert isinstance(error, exc.HTTPException)
        return f"{error.detail} {error.title}"


def _nothing(*_: Any) -> None:
    """Do what Magnum does there: nothing that a target needs."""


class Requests(_Calls):
    """A user's request: its line, the type of its body, and the body.

    It passes, or the answer is one with a status below 500, or 503, and a sentence that can be
    shown.
    """

    name = "api-request"
    depths = (
        bodies.check,
        bodies.is_template_of_ours,
        json_kinds.check_object,
        json_kinds.check_patch,
    )

    def inputs(self) -> inputs.Make:
        makes = [(method, path, inputs.documents(body)) for method, path, body in _CALLS]

        def made(dice: inputs.Dice) -> bytes:
            method, path, body = dice.choice(makes)
            if dice.random() < 0.1:
                path = dice.choice(makes)[1]
            if dice.random() < 0.05:
                path = inputs.cut(path.encode(), dice).decode("latin-1")
            head = f"{method} {path}\n{dice.choice(_TYPES)}\n".encode("latin-1")
            return head + body(dice)

        return made

    def read(self, data: bytes) -> Iterable[str]:
        line, kind, body, *_ = [*data.split(b"\n", 2), b"", b""]
        method, _, path = line.decode("latin-1").partition(" ")
        self.call(method, path, kind.decode("latin-1"), b"", body)
        return ()


class Signing(_Calls):
    """A request with the credential of nodes to sign, and the header with its proof.

    As of a user's requests; what is signed is the request of a manager that is admitted.
    """

    name = "api-csr"
    token = _NODE
    depths = (node_certificates.held_to_cluster, node_certificates.admit, manager_keys.admitted)

    @contextlib.contextmanager
    def ready(self) -> Iterator[None]:
        with super().ready():
            self.store().insert(signing.CLUSTER, "p", new(Phase.CREATED, "o", "s"))
            yield

    def inputs(self) -> inputs.Make:
        body = signing.bodies({"cluster_uuid": signing.CLUSTER})

        def made(dice: inputs.Dice) -> bytes:
            said = body(dice)
            try:
                csr = json.loads(said)["csr"].encode()
            except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
                csr = signing.GOOD
            return signing.BETWEEN.join((signing.proof_of(csr, dice), said))

        return made

    def read(self, data: bytes) -> Iterable[str]:
        given, _, body = data.partition(signing.BETWEEN)
        known = {"0": signing.FOUNDER.public}
        self.store().amend(
            signing.CLUSTER, lambda state: dataclasses.replace(state, manager_keys=known)
        )
        self.call("POST", "/v1/certificates", "application/json", given, body)
        record = self.store().get(signing.CLUSTER)
        assert record is not None
        read = manager_keys.read(signing.CLUSTER, json.loads(body)["csr"], given.decode("latin-1"))
        assert record.state.manager_keys == {**known, read.index: read.key}
        return ()


TARGETS = (Requests(), Signing())
