# SPDX-License-Identifier: Apache-2.0
"""Magnum's handlers and periodic tasks with this driver in them, on a simulated cloud."""

import contextlib
import logging
import types
import uuid
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import sqlalchemy as sa
from magnum import objects
from magnum.common import context as magnum_context
from magnum.conductor.handlers import cluster_conductor
from magnum.conductor.handlers.common import cert_manager
from magnum.db.sqlalchemy import models
from magnum.service import periodic
from oslo_db.sqlalchemy import enginefacade
from oslo_service import loopingcall

from magnum_swarm_mode.certificates import names as certificate_names
from magnum_swarm_mode.certificates import store as certificate_store
from magnum_swarm_mode.cloud import credentials, grants, networks
from magnum_swarm_mode.cloud import sessions as cloud_sessions
from magnum_swarm_mode.conductor import reach
from magnum_swarm_mode.conductor.due import loop
from magnum_swarm_mode.db import schema
from magnum_swarm_mode.heat import members as heat_members
from magnum_swarm_mode.stack import request as stack_request
from tests.functional.conductor import base
from tests.model import world as simulated

_REFERENCES = certificate_store.COLUMNS


class _Notifier:
    def prepare(self, **_: Any) -> "_Notifier":
        return self

    def info(self, *_: Any, **__: Any) -> None:
        return None

    error = info


class Simulation:
    """One cluster, and conductors that look after it.

    :ivar wanted: how many workers there may be: after a death in a request, of before it or of it.
    """

    def __init__(self) -> None:
        logging.disable(logging.CRITICAL)
        if not base.DriverTest._prepared:
            base._prepare()
            base.DriverTest._prepared = True
        self.engine = enginefacade.writer.get_engine()
        self._stack = contextlib.ExitStack()
        self.world = simulated.World()
        self.uuid = str(uuid.uuid4())
        self.wanted = {2}
        self.requested = 0
        self.deleted = False
        self._patch()
        self.template = self._template()
        sa.event.listen(self.engine, "before_cursor_execute", self._statement)

    def close(self) -> None:
        """Forget everything."""
        sa.event.remove(self.engine, "before_cursor_execute", self._statement)
        self._stack.close()
        with self.engine.begin() as connection:
            for metadata in (models.Base.metadata, schema.METADATA):
                for table in metadata.tables.values():
                    connection.execute(table.delete())
        logging.disable(logging.NOTSET)

    def _statement(self, _: Any, __: Any, sql: str, *___: Any) -> None:
        self.world.statement(sql)

    def _patch(self) -> None:  # noqa: C901 - one line for each thing that is replaced
        world = self.world

        def session(*_: Any) -> simulated.Session:
            return simulated.Session(world)

        def made(into: dict[str, str]) -> Callable[..., str]:
            def make(*arguments: Any) -> str:
                def act() -> str:
                    key = uuid.uuid4().hex
                    into[key] = self.uuid
                    return key

                return world.request("keystone", act)

            return make

        def credential(*_: Any) -> stack_request.NodeCredential:
            return stack_request.NodeCredential(made(world.credentials)(), "secret")

        def revoke(*_: Any, node: bool = True) -> None:
            world.request("keystone", world.credentials.clear)
            world.request("keystone", world.trusts.clear)

        def store(name: str) -> str:
            """Store one as Magnum's own store does it, with what this driver puts around it."""
            pair = types.SimpleNamespace(uuid="")

            def keep(row: Any) -> str:
                def act() -> str:
                    world.certificates[row.uuid] = self.uuid
                    return str(row.uuid)

                return world.request("keystone", act)

            return certificate_names.client(lambda _: certificate_names.pair(keep, pair), name)

        def make(cluster: Any, context: Any = None) -> None:
            for name, reference in [(one, store(one)) for one in _REFERENCES]:
                setattr(cluster, name, reference)

        def certify(cluster: Any, context: Any = None) -> None:
            certificate_names.generate(make, cluster, context)

        def uncertify(cluster: Any, context: Any = None) -> None:
            for name in ("ca_cert_ref", "magnum_cert_ref"):
                world.certificates.pop(getattr(cluster, name), None)

        def drop(_: str, unwanted: Any) -> list[str]:
            for one in unwanted:
                world.certificates.pop(one, None)
            return []

        endpoints = cloud_sessions.Endpoints(
            auth_url="http://192.0.2.1/v3", magnum_url="http://192.0.2.1/v1"
        )
        pair = certificate_store.Pair("PEM", "KEY")
        for owner, name, value in (
            (cloud_sessions, "user_session", session),
            (cloud_sessions, "service_session", session),
            (cloud_sessions, "trust_session", lambda trust: simulated.Session(world, trust)),
            (cloud_sessions, "node_endpoints", lambda _: endpoints),
            (networks, "resolve", lambda *_: None),
            (credentials, "create_trust", made(world.trusts)),
            (credentials, "create_node_credential", credential),
            (credentials, "trusts_given", lambda _: set()),
            (credentials, "remove_access_rules", lambda *_: None),
            (grants, "trustee_id", lambda: "magnum"),
            (grants, "revoke", revoke),
            (grants, "revoke_node", lambda *_: world.credentials.clear()),
            (grants, "make_way", lambda _: None),
            (cert_manager, "generate_certificates_to_cluster", certify),
            (cert_manager, "delete_certificates_from_cluster", uncertify),
            (certificate_store, "certificate", lambda *_: "PEM"),
            (certificate_store, "read", lambda *_: pair),
            (certificate_store, "delete", drop),
            (reach, "heat_of", lambda _: simulated.Heat(world)),
            (reach, "swarm_of", lambda *_: simulated.Swarm(world)),
            (heat_members, "reports", lambda *_: {}),
            (heat_members, "_listed", lambda *_: {}),
        ):
            self._stack.enter_context(mock.patch.object(owner, name, value))
        self._stack.enter_context(mock.patch("magnum.common.rpc.NOTIFIER", _Notifier()))
        self._stack.enter_context(mock.patch("time.time", lambda: world.now))
        self._stack.enter_context(mock.patch("time.sleep", lambda _: None))

    def context(self) -> Any:
        """Return the context of the user's request."""
        return magnum_context.make_context(
            auth_token="token",
            auth_token_info={"token": {}},
            user_id=simulated.OWNER,
            project_id=simulated.PROJECT,
        )

    def _template(self) -> Any:
        template = objects.ClusterTemplate(
            self.context(),
            name="template",
            project_id=simulated.PROJECT,
            user_id=simulated.OWNER,
            image_id="debian",
            flavor_id="small",
            master_flavor_id="small",
            keypair_id="key",
            external_network_id="public",
            coe="swarm-mode",
            cluster_distro="debian",
            server_type="vm",
            network_driver="overlay",
            dns_nameserver="8.8.8.8",
            labels={},
            floating_ip_enabled=True,
            master_lb_enabled=False,
            tls_disabled=False,
            registry_enabled=False,
            public=False,
            hidden=False,
            driver="swarm_mode",
        )
        template.create()
        return template

    @contextlib.contextmanager
    def _conductor(self, deadly: int | None = None, *, after: bool = False) -> Iterator[None]:
        """Work as a conductor that may die."""
        self.world.deadly, self.world.after = deadly, after
        try:
            yield
        except simulated.Died:
            pass
        except Exception:
            pass
        finally:
            self.world.revive()

    def row(self) -> Any:
        """Return the cluster's row, or None."""
        found = objects.Cluster.list(cloud_sessions.admin_context())
        return found[0] if found else None

    def create(self, deadly: int | None = None, *, after: bool = False) -> None:
        """Create the cluster: three managers and two workers."""
        context = self.context()
        cluster = objects.Cluster(
            context,
            uuid=self.uuid,
            name="swarm",
            project_id=simulated.PROJECT,
            user_id=simulated.OWNER,
            cluster_template_id=self.template.uuid,
            labels={},
            keypair="key",
            floating_ip_enabled=True,
            master_lb_enabled=False,
            create_timeout=60,
        )
        with self._conductor(deadly, after=after):
            cluster_conductor.Handler().cluster_create(context, cluster, 3, 2, 60)

    def resize(self, count: int, deadly: int | None = None, *, after: bool = False) -> None:
        """Ask for another number of workers, if Magnum admits it now."""
        cluster = self.row()
        allowed = ("CREATE_COMPLETE", "UPDATE_COMPLETE", "UPDATE_FAILED", "UPDATE_IN_PROGRESS")
        if cluster is None or cluster.status not in allowed:
            return
        self.requested += 1
        self.wanted = {*self.wanted, count}
        with self._conductor(deadly, after=after):
            cluster_conductor.Handler().cluster_resize(
                self.context(), cluster, count, [], cluster.default_ng_worker
            )
            self.wanted = {count}

    def delete(self, deadly: int | None = None, *, after: bool = False) -> None:
        """Delete the cluster."""
        if self.row() is None:
            return
        with self._conductor(deadly, after=after):
            cluster_conductor.Handler().cluster_delete(self.context(), self.uuid)
            self.deleted = True

    def poll(self, deadly: int | None = None, *, after: bool = False, health: bool = False) -> None:
        """Let a conductor's periodic task look."""
        cluster = self.row()
        if cluster is None:
            return
        admin = cloud_sessions.admin_context()

        def look() -> None:
            with contextlib.suppress(loopingcall.LoopingCallDone):
                if health:
                    periodic.ClusterHealthUpdateJob(admin, cluster).update_health_status()
                elif cluster.status.endswith("_IN_PROGRESS"):
                    periodic.ClusterUpdateJob(admin, cluster).update_status()

        with self._conductor(deadly, after=after):
            if health:
                look()
            else:
                # As the driver has it wrapped around Magnum's own task.
                loop.after_sync(look)

    def settle(self, most: int = 300) -> bool:
        """Let services work again and time pass; whether the cluster comes to rest."""
        self.world.down.clear()
        for node in self.world.nodes.values():
            if node["Status"]["State"] == "down" and self._exists(node):
                self.world.set_state(node, "ready")
        calm = 0
        for turn in range(most):
            self.world.tick(40 if turn < 10 else 100)
            self.poll()
            self.poll(health=True)
            cluster = self.row()
            busy = cluster is not None and cluster.status.endswith("_IN_PROGRESS")
            calm = 0 if busy else calm + 1
            if cluster is None or calm > 8:
                return True
        return False

    def _exists(self, node: Any) -> bool:
        return node["Description"]["Hostname"] in self.servers()

    def servers(self) -> list[str]:
        """Return the host names of Heat's servers."""
        return sorted(
            self.world.hostname(stack, kind, index)
            for stack in self.world.stacks.values()
            for kind, indices in stack.made.items()
            for index in indices
        )
