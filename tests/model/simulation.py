# SPDX-License-Identifier: Apache-2.0
"""Magnum's handlers and periodic tasks with this driver in them, on a simulated cloud."""

import contextlib
import functools
import logging
import types
import uuid
from collections.abc import Callable, Iterable, Mapping
from typing import Any
from unittest import mock

from magnum import objects
from magnum.common import context as magnum_context
from magnum.conductor import utils as conductor_utils
from magnum.conductor.handlers import (
    ca_conductor,
    cluster_conductor,
    credential_conductor,
    nodegroup_conductor,
)
from magnum.conductor.handlers.common import cert_manager
from magnum.drivers.common import driver as magnum_driver
from magnum.service import periodic
from oslo_db.sqlalchemy import enginefacade
from oslo_service import loopingcall

from magnum_swarm_mode import reach
from magnum_swarm_mode.certificates import authority, names
from magnum_swarm_mode.certificates import store as certificate_store
from magnum_swarm_mode.cloud import credentials, grants, leftover_ports, networks
from magnum_swarm_mode.cloud import sessions as cloud_sessions
from magnum_swarm_mode.conductor import lease
from magnum_swarm_mode.conductor.due import loop
from magnum_swarm_mode.db import migration
from magnum_swarm_mode.db.store import Record, Store
from magnum_swarm_mode.decisions import record as record_state
from magnum_swarm_mode.decisions.record import Phase
from magnum_swarm_mode.heat import members as heat_members
from magnum_swarm_mode.stack import request as stack_request
from magnum_swarm_mode.stack import upgrade as stack_upgrade
from magnum_swarm_mode.stack.files import templates, user_data
from magnum_swarm_mode.swarm import pool as swarm_pool
from tests.fakes import rows
from tests.functional.conductor import base
from tests.model.conductors import Conductor, Conductors, Fate
from tests.model.database import Database
from tests.model.stacks import Heat
from tests.model.swarm import Client
from tests.model.world import MEMBER, OWNER, PROJECT, Session, World

CONDUCTORS = 3
_get = Store.get
# What magnum-api leaves empty. Without a database a field that nobody has set cannot be read.
_EMPTY_OF_BOTH = ("fixed_network", "fixed_subnet", "docker_volume_size")
_EMPTY_OF_TEMPLATE = (
    *_EMPTY_OF_BOTH, "volume_driver", "docker_storage_driver", "insecure_registry", "http_proxy",
    "https_proxy", "no_proxy", "apiserver_port",
)  # fmt: skip
_EMPTY_OF_CLUSTER = (*_EMPTY_OF_BOTH, "flavor_id", "master_flavor_id")
TEMPLATES = {"first": "debian", "second": "debian-next"}


class Simulation:
    """One cluster, and conductors that look after it.

    :ivar templates: cluster templates by their names.
    """

    def __init__(self) -> None:
        self.database, self._driver = _prepared()
        self.uuid = str(uuid.uuid4())
        self.conductors = Conductors(CONDUCTORS)
        self.world = World(self.conductors, self.uuid)
        self.database.boundary = self.conductors.boundary
        self.database.live = self.conductors.live
        self.database.now = lambda: self.world.now
        self.world.is_gone = lambda: not self.database.get_cluster_list(None)
        state = record_state.new(Phase.CREATED, OWNER, "bystander", "bystander")
        self.database.add_bystander(state.to_json())
        self.bystander = self.database.bystander()
        self.templates = {name: self._template(name, image) for name, image in TEMPLATES.items()}
        self._stack = contextlib.ExitStack()
        self._stack.enter_context(_Listening(self.world.broken))
        for owner, name, value in self._replacements():
            self._stack.enter_context(mock.patch.object(owner, name, value))

    def close(self) -> None:
        """Forget everything."""
        for conductor in self.conductors.each:
            conductor.die()
        self._stack.close()
        self.database.empty()

    def _replacements(self) -> Iterable[tuple[Any, str, Any]]:
        yield from self._magnums()
        yield from self._drivers()

    def _magnums(self) -> Iterable[tuple[Any, str, Any]]:
        """Yield what of Magnum's own is not tested here."""
        by_uuid = {one.uuid: one for one in self.templates.values()}
        yield objects.Cluster, "dbapi", self.database
        yield objects.NodeGroup, "dbapi", self.database
        # What comes out of the simulation's database has the right types already.
        yield objects.NodeGroup, "_from_db_object", staticmethod(_as_object)
        yield objects.Cluster, "_from_db_object", staticmethod(_as_object)
        yield objects.ClusterTemplate, "get_by_uuid", lambda _, uuid: by_uuid[uuid]
        yield enginefacade.writer, "get_engine", lambda: self.database.engine
        yield magnum_driver.Driver, "get_driver", lambda *_: self._driver
        yield conductor_utils, "notify_about_cluster_operation", _nothing
        yield cluster_conductor.clients, "OpenStackClients", _nothing
        yield cert_manager, "generate_certificates_to_cluster", self._certify
        yield cert_manager, "delete_certificates_from_cluster", self._uncertify

    def _drivers(self) -> Iterable[tuple[Any, str, Any]]:
        """Yield what of the driver speaks to a service, and its clock."""
        world = self.world
        endpoints = cloud_sessions.Endpoints(
            auth_url="http://192.0.2.1/v3", magnum_url="http://192.0.2.1/v1"
        )

        def client(ca: str, own: Any, addresses: list[str], _: str) -> Client:
            return Client(world, addresses, own.certificate, ca)

        yield Store, "get", lambda store, uuid: self.database.record(lambda: _get(store, uuid))
        # The same at each creation and upgrade, and tested elsewhere.
        yield user_data, "render", _rendered
        yield templates, "read", _template_text
        yield stack_request, "environment_of", _environment
        yield migration, "ensure", _nothing
        yield cloud_sessions, "user_session", lambda context: Session(world, context.user_id)
        yield cloud_sessions, "service_session", lambda: Session(world)
        yield cloud_sessions, "system_session", lambda: Session(world)
        yield cloud_sessions, "trust_session", lambda trust: Session(world, trust=trust)
        yield cloud_sessions, "node_endpoints", lambda _: endpoints
        yield networks, "resolve", lambda *_: None
        yield leftover_ports, "sweep", _nothing
        yield credentials, "create_trust", world.create_trust
        yield credentials, "create_node_credential", world.create_credential
        yield credentials, "revoke_trust", world.revoke_trust
        yield credentials, "revoke_node_credential", world.revoke_credential
        yield credentials, "trusts_given", lambda _: set()
        yield credentials, "remove_access_rules", _nothing
        yield grants, "trustee_id", lambda: "magnum"
        yield certificate_store, "certificate", world.certificate
        yield certificate_store, "read", world.pair
        yield certificate_store, "delete", world.delete_certificates
        yield authority, "may_follow", lambda *_: True
        yield authority, "under", lambda old, new, _: f"{old} under {new}"
        yield authority, "fingerprint", lambda pem: f"fingerprint of {pem}"
        yield reach, "SWARMS", swarm_pool.Pool()
        yield reach, "heat_of", lambda session: Heat(world, session)
        yield reach, "swarm_with", client
        yield heat_members, "reports", lambda heat, stack, *_, **__: heat.reports(stack)
        yield heat_members, "_listed", lambda heat, stack, path: heat.listed(stack, path)
        # A conductor that stalls does not renew its lease either.
        quiet = types.SimpleNamespace(start=_nothing, set=_nothing)
        threads = types.SimpleNamespace(Thread=lambda **_: quiet, Event=lambda: quiet)
        yield lease, "threading", threads
        from magnum.common import rpc

        yield rpc, "NOTIFIER", mock.Mock()
        import time

        yield time, "time", lambda: world.now
        yield time, "monotonic", lambda: world.now
        yield time, "sleep", world.sleep

    def _certify(self, cluster: Any, context: Any = None) -> None:
        names.generate(self.world.certify, cluster, context=context)

    def _uncertify(self, cluster: Any, context: Any = None) -> None:
        for name in ("ca_cert_ref", "magnum_cert_ref"):
            self.world.certificates.pop(getattr(cluster, name) or "", None)

    def context(self, user: str = OWNER) -> Any:
        """Return the context of a user's request."""
        return magnum_context.make_context(
            auth_token="token",
            auth_token_info={"token": {}},
            user_id=user,
            project_id=PROJECT,
        )

    def _template(self, name: str, image: str) -> Any:
        template = rows.cluster_template(
            self.context(),
            uuid=str(uuid.uuid4()),
            name=name,
            image_id=image,
            dns_nameserver="8.8.8.8",
            **dict.fromkeys(_EMPTY_OF_TEMPLATE),
        )
        template.obj_reset_changes()
        return template

    # What there is

    def row(self) -> Any:
        """Return the cluster's row as magnum-api reads it, or None."""
        found = objects.Cluster.list(_admin())
        return found[0] if found else None

    def facts(self) -> Any:
        """Return what the cluster's row says, or None; nothing that could be saved."""
        for row in self.database.get_cluster_list(None):
            return types.SimpleNamespace(**row)
        return None

    def status(self) -> str:
        """Return the cluster's status; empty where there is no cluster."""
        for row in self.database.get_cluster_list(None):
            return str(row["status"])
        return ""

    def groups(self) -> list[dict[str, Any]]:
        """Return the rows of node groups."""
        return self.database.list_cluster_nodegroups(None, self.uuid)

    def record(self) -> Record | None:
        """Return the cluster's record, or None."""
        return Store().get(self.uuid)

    def written(self) -> list[Any]:
        """Return all that is written of clusters beside what looks at their health write."""
        unwatched = ("updated_at", "health_status", "health_status_reason")
        rows = [
            {name: value for name, value in row.items() if name not in unwatched}
            for row in (*self.database.get_cluster_list(None), *self.groups())
        ]
        record = self.record()
        state = record.state.to_json() if record else None
        stacks = [(one.name, one.updates, one.status) for one in self.world.stacks.each.values()]
        return [*rows, state, stacks, self.database.bystander()]

    # What users ask for: each returns what a conductor then does

    def create(self, managers: int, workers: int, labels: dict[str, str]) -> Callable[[], Any]:
        """Create the cluster."""
        context = self.context()
        cluster = rows.cluster(
            context,
            self.templates["first"],
            uuid=self.uuid,
            labels=labels,
            **dict.fromkeys(_EMPTY_OF_CLUSTER),
        )
        handler = cluster_conductor.Handler()
        return lambda: handler.cluster_create(context, cluster, managers, workers, 60)

    def resize(self, group_uuid: str, count: int, named: list[str]) -> Callable[[], Any]:
        """Let a group have another number of nodes, or lose some."""
        cluster, group = self.row(), self._group(group_uuid)
        handler, context = cluster_conductor.Handler(), self._owners()
        return lambda: handler.cluster_resize(context, cluster, count, named, group)

    def update(self, count: int, *, rollback: bool) -> Callable[[], Any]:
        """Let the first group of workers have another number of nodes."""
        cluster, handler, context = self.row(), cluster_conductor.Handler(), self._owners()
        before = (cluster.health_status, cluster.health_status_reason)
        return lambda: handler.cluster_update(context, cluster, count, *before, rollback)

    def upgrade(self, template: str, group_uuid: str | None, batch: int) -> Callable[[], Any]:
        """Let a group, or the first two, be made of what a template says."""
        cluster = self.row()
        if cluster.status == "UPDATE_FAILED":
            cluster.status = "UPDATE_COMPLETE"
        named = [group_uuid] if group_uuid else [one.uuid for one in cluster.nodegroups[:2]]
        group = self._group(group_uuid) if group_uuid else cluster.default_ng_worker
        size = stack_upgrade.message(batch, named)
        handler, context = cluster_conductor.Handler(), self._owners()
        new = self.templates[template]
        return lambda: handler.cluster_upgrade(context, cluster, new, size, group)

    def create_group(self, name: str, count: int) -> Callable[[], Any]:
        """Create a node group."""
        context, cluster = self._owners(), self.row()
        group = objects.NodeGroup(
            context,
            uuid=str(uuid.uuid4()),
            name=name,
            cluster_id=self.uuid,
            project_id=PROJECT,
            docker_volume_size=None,
            labels={},
            flavor_id="small",
            image_id=TEMPLATES["first"],
            node_addresses=[],
            node_count=count,
            role="worker",
            max_node_count=None,
            min_node_count=0,
            is_default=False,
        )
        return lambda: nodegroup_conductor.Handler().nodegroup_create(context, cluster, group)

    def update_group(self, group_uuid: str, labels: dict[str, str]) -> Callable[[], Any]:
        """Give the nodes of a group labels."""
        context, cluster, group = self._owners(), self.row(), self._group(group_uuid)
        group.node_labels = labels
        return lambda: nodegroup_conductor.Handler().nodegroup_update(context, cluster, group)

    def delete_group(self, group_uuid: str) -> Callable[[], Any]:
        """Delete a node group."""
        context, cluster, group = self._owners(), self.row(), self._group(group_uuid)
        if group.status in ("CREATE_FAILED", "DELETE_FAILED"):
            group.status = "UPDATE_FAILED"
            group.save()
        return lambda: nodegroup_conductor.Handler().nodegroup_delete(context, cluster, group)

    def rotate_ca(self) -> Callable[[], Any]:
        """Replace the cluster's certificates."""
        context, cluster = self._owners(), self.row()
        return lambda: ca_conductor.Handler().rotate_ca_certificate(context, cluster)

    def rotate_credential(self, user: str) -> Callable[[], Any]:
        """Give the cluster other rights."""
        context, cluster = self.context(user), self.row()
        return lambda: credential_conductor.Handler().credential_rotate(context, cluster)

    def delete(self) -> Callable[[], Any]:
        """Delete the cluster."""
        context = self._owners()
        return lambda: cluster_conductor.Handler().cluster_delete(context, self.uuid)

    def _group(self, group_uuid: str) -> Any:
        return objects.NodeGroup.get_by_uuid(_admin(), self.uuid, group_uuid)

    def _owners(self) -> Any:
        """Return a context of the user who owns the cluster by now."""
        record = self.record()
        return self.context(record.state.owner_id if record else OWNER)

    # What conductors do by themselves

    def poll(self) -> None:
        """Look as Magnum's first periodic task does, with what the driver has put around it."""

        def look() -> None:
            for cluster in objects.Cluster.list(_admin()):
                if cluster.status.endswith("_IN_PROGRESS"):
                    with contextlib.suppress(loopingcall.LoopingCallDone):
                        periodic.ClusterUpdateJob(_admin(), cluster).update_status()

        loop.after_sync(look)

    def health(self) -> None:
        """Look as Magnum's second periodic task does."""
        for cluster in objects.Cluster.list(_admin()):
            with contextlib.suppress(loopingcall.LoopingCallDone):
                periodic.ClusterHealthUpdateJob(_admin(), cluster).update_health_status()

    def idle(self) -> Conductor | None:
        """Return a conductor that is in the middle of nothing."""
        return next((one for one in self.conductors.each if not one.is_stalled), None)


class _Listening:
    """Notes errors that the driver logs and did not expect."""

    def __init__(self, broken: list[str]) -> None:
        self._broken = broken
        self._handler = logging.Handler()
        self._handler.emit = self._note  # type: ignore[method-assign]

    def _note(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        if error is not None:
            self._broken.append(f"an error that nobody expects: {type(error).__name__}: {error}")

    def __enter__(self) -> None:
        self._former = {}
        for name, level in (("magnum_swarm_mode", "ERROR"), ("magnum", "WARNING")):
            logger = logging.getLogger(name)
            self._former[name] = (logger.level, logger.propagate)
            logger.setLevel(level)
            logger.propagate = False
            logger.addHandler(self._handler)

    def __exit__(self, *_: Any) -> None:
        for name, (level, propagate) in self._former.items():
            logger = logging.getLogger(name)
            logger.removeHandler(self._handler)
            logger.setLevel(level)
            logger.propagate = propagate


@functools.cache
def _prepared() -> tuple[Database, Any]:
    """Return the one database, and the driver; set up what Magnum has once per process."""
    if not base.DriverTest._prepared:
        base._prepare()
        base.DriverTest._prepared = True
    return Database(), base.DRIVER()


_rendered = functools.cache(user_data.render)
_template_text = functools.cache(templates.read)


_registry = functools.cache(functools.partial(stack_request.environment_of, defaults={}))


def _environment(names: Iterable[str], defaults: Mapping[str, Any]) -> dict[str, Any]:
    return {**_registry(tuple(names)), "parameter_defaults": dict(defaults)}


def _as_object(made: Any, row: Mapping[str, Any]) -> Any:
    """Fill one of Magnum's objects with a row, without the checks of each field."""
    for name in made.fields:
        if name in row:
            setattr(made, f"_obj_{name}", row[name])
    made.obj_reset_changes()
    return made


@functools.cache
def _admin() -> Any:
    return cloud_sessions.admin_context()


def _nothing(*_: Any, **__: Any) -> None:
    return None


__all__ = ["MEMBER", "OWNER", "Fate", "Simulation"]
