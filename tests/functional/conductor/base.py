# SPDX-License-Identifier: Apache-2.0
"""Magnum's own conductor code on sqlite, this driver in it, and fake services at the wire."""

import atexit
import contextlib
import functools
import importlib.metadata
import ipaddress
import itertools
import os
import pathlib
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from typing import Any

import fixtures
import magnum.conf
import requests
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID
from keystoneauth1 import loading
from magnum import objects
from magnum.common import context as magnum_context
from magnum.common import rpc
from magnum.conductor.handlers import cluster_conductor, nodegroup_conductor  # noqa: F401
from magnum.conductor.handlers.common import cert_manager
from magnum.db.sqlalchemy import models
from magnum.service import periodic
from oslo_db.sqlalchemy import enginefacade
from oslo_service import loopingcall
from oslotest import base

from magnum_swarm_mode import driver
from magnum_swarm_mode.certificates import store as certificate_store
from magnum_swarm_mode.cloud import sessions as cloud_sessions
from magnum_swarm_mode.db import migration, schema
from magnum_swarm_mode.db.store import Store
from magnum_swarm_mode.decisions.record import Kind
from magnum_swarm_mode.registration import register
from magnum_swarm_mode.swarm import pool as swarm_pool
from magnum_swarm_mode.wire import exchange
from tests.fakes import docker as fake_docker
from tests.fakes import rows
from tests.fakes.certificates import Pair
from tests.functional.conductor import fake_cloud

CONF = magnum.conf.CONF
DRIVER = driver.Driver  # its import makes swarm-mode known to Magnum
# Where a conductor is killed at each of its requests in turn, so many are passed over each time.
# It is odd, so that deaths before and after the request take turns. ``tools/test --long`` has 1.
DEATH_STEP = int(os.environ.get("DEATH_STEP", "5"))

_ENTRY_POINTS = """[magnum.drivers]
swarm_mode = magnum_swarm_mode.driver:Driver
swarm_mode_legacy = magnum_swarm_mode.legacy_driver:Driver
"""
_SPACE = pathlib.Path(tempfile.mkdtemp(prefix="swarm-mode-tests-"))
atexit.register(shutil.rmtree, _SPACE, ignore_errors=True)
# A loopback address of this process alone, for the Docker API has one port on every manager.
MANAGER = f"127.95.{os.getpid() // 256 % 256}.{os.getpid() % 256}"


def _prepare() -> None:
    """Set up what Magnum has once per process."""
    CONF([], project="magnum", default_config_files=[])
    CONF.set_override("connection", f"sqlite:///{_SPACE}/magnum.sqlite", group="database")
    # A crash here is one of a process, never of the machine: nothing has to reach the disk.
    CONF.set_override("sqlite_synchronous", False, group="database")
    importlib.import_module("keystonemiddleware.auth_token")
    CONF.set_override("cert_manager_type", "x509keypair", group="certificates")
    loading.load_auth_from_conf_options(CONF, "keystone_auth", auth_url="x", username="x")
    # An installation would make the entry point known.
    info = _SPACE / "site" / "swarm_mode_under_test-1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: swarm-mode-under-test\nVersion: 1\n"
    )
    (info / "entry_points.txt").write_text(_ENTRY_POINTS)
    if not importlib.metadata.entry_points(group="magnum.drivers", name="swarm_mode_legacy"):
        sys.path.insert(0, str(info.parent))
    # The driver may have been imported before Magnum's handlers.
    register.register()
    models.Base.metadata.create_all(enginefacade.writer.get_engine())
    migration.ensure(enginefacade.writer.get_engine())


@functools.cache
def _keys() -> Iterator[Any]:
    """Return RSA keys in turn; making one takes longer than a whole test otherwise does."""
    make = rsa.generate_private_key
    return itertools.cycle([make(public_exponent=65537, key_size=2048) for _ in range(6)])


class Died(BaseException):
    """The conductor's process ends here; no code of it runs any more."""


class Killer(fixtures.Fixture):
    """Ends the conductor at a chosen request.

    :ivar sent: how many requests were sent so far.
    :ivar deadly: the number of the request at which it dies; None for none.
    :ivar after: whether it dies after the service has answered, rather than before it is asked.
    :ivar call: what happens at that request instead of the conductor's death.
    """

    def _setUp(self) -> None:  # noqa: N802 (fixtures)
        self.sent, self.after = 0, False
        self.deadly: int | None = None
        self.call: Callable[[], None] | None = None
        for where in (requests.adapters.HTTPAdapter, exchange.Adapter):
            self._kill_in(where)

    def _kill_in(self, where: Any) -> None:
        original = where.send
        killer = self

        def send(adapter: Any, request: Any, **kwargs: Any) -> Any:
            killer.sent += 1
            dies = killer.sent == killer.deadly
            if dies and killer.call is not None:
                happening, killer.call, killer.deadly = killer.call, None, None
                happening()
                return original(adapter, request, **kwargs)
            if dies and not killer.after:
                raise Died
            answer = original(adapter, request, **kwargs)
            if dies:
                raise Died
            return answer

        name = f"{where.__module__}.{where.__name__}.send"
        self.useFixture(fixtures.MonkeyPatch(name, send))


class DriverTest(base.BaseTestCase):
    """One project with one template, and a conductor to ask."""

    _prepared = False

    def setUp(self) -> None:
        super().setUp()
        if not DriverTest._prepared:
            _prepare()
            DriverTest._prepared = True
        self.addCleanup(self._empty)
        self.cloud = self.useFixture(fake_cloud.FakeCloud())
        for name, value in {
            "auth_type": "password",
            "auth_url": f"{self.cloud.url}/v3",
            "username": "magnum",
            "password": "magnum",
            "project_name": "service",
            "user_domain_name": "Default",
            "project_domain_name": "Default",
        }.items():
            self._set("keystone_auth", name, value)
        if "trust" in CONF:
            # Up to Magnum 22 every project's rows are read with a look at this domain.
            self._set("keystone_authtoken", "www_authenticate_uri", f"{self.cloud.url}/v3")
            for name in ("domain_name", "domain_admin_name", "domain_admin_password"):
                self._set("trust", f"trustee_{name}", "magnum")
        self._set("swarm_mode", "docker_api_timeout", 10.0)
        self.useFixture(fixtures.MonkeyPatch("magnum_swarm_mode.reach.SWARMS", swarm_pool.Pool()))
        keys = _keys()
        self.useFixture(
            fixtures.MonkeyPatch(
                "cryptography.hazmat.primitives.asymmetric.rsa.generate_private_key",
                lambda **_: next(keys),
            )
        )
        self.events: list[tuple[str, dict[str, Any]]] = []
        self.useFixture(fixtures.MonkeyPatch("magnum.common.rpc.NOTIFIER", self))
        self.assertIs(self, rpc.NOTIFIER)
        self.store = Store()
        self.template = self._template()

    def _set(self, group: str, name: str, value: Any) -> None:
        CONF.set_override(name, value, group=group)
        self.addCleanup(CONF.clear_override, name, group=group)

    def _empty(self) -> None:
        with enginefacade.writer.get_engine().begin() as connection:
            for metadata in (models.Base.metadata, schema.METADATA):
                for table in metadata.tables.values():
                    connection.execute(table.delete())

    # Magnum's notifier, as far as it is used

    def prepare(self, publisher_id: str) -> "DriverTest":
        return self

    def info(self, context: Any, event_type: str, payload: dict[str, Any]) -> None:
        self.events.append((event_type, payload))

    error = info

    # Users and rows

    def context(
        self, user: str = fake_cloud.OWNER, project: str = fake_cloud.PROJECT, **token: Any
    ) -> Any:
        """Return the context of a request, as magnum-api hands it to the conductor."""
        roles = token.pop("roles", ("member", "reader"))
        identifier, body = self.cloud.issue(fake_cloud.Token(user, project, roles, **token))
        return magnum_context.make_context(
            auth_token=identifier,
            auth_token_info=body,
            user_id=user,
            project_id=project,
            roles=list(roles),
            is_admin="admin" in roles,
            all_tenants="admin" in roles,
        )

    def _template(self) -> Any:
        template = rows.cluster_template(
            self.context(), keypair_id="fuel", dns_nameserver="8.8.8.8"
        )
        template.create()
        return template

    def new_cluster(self, context: Any | None = None, **fields: Any) -> Any:
        """Return a cluster as magnum-api hands it over, not saved."""
        return rows.cluster(
            context or self.context(),
            self.template,
            project_id=fake_cloud.PROJECT,
            user_id=fake_cloud.OWNER,
            keypair="fuel",
            **fields,
        )

    def create(
        self, context: Any | None = None, managers: int = 1, workers: int = 2, **fields: Any
    ):
        """Create a cluster as the conductor does when magnum-api asks; return its uuid."""
        context = context or self.context()
        cluster = self.new_cluster(context, **fields)
        cluster_conductor.Handler().cluster_create(context, cluster, managers, workers, 60)
        return cluster.uuid

    def delete(self, uuid: str, context: Any | None = None) -> None:
        """Delete a cluster as the conductor does when magnum-api asks."""
        cluster_conductor.Handler().cluster_delete(context or self.context(), uuid)

    def poll(self, times: int = 1) -> None:
        """Let the conductor's periodic task look at all clusters in progress."""
        for _ in range(times):
            admin = cloud_sessions.admin_context()
            for cluster in objects.Cluster.list(admin):
                if not cluster.status.endswith("_IN_PROGRESS"):
                    continue
                job = periodic.ClusterUpdateJob(admin, cluster)
                with contextlib.suppress(loopingcall.LoopingCallDone):
                    job.update_status()

    def cluster(self, uuid: str) -> Any:
        """Read a cluster's row."""
        return objects.Cluster.get_by_uuid(cloud_sessions.admin_context(), uuid)

    def clusters(self) -> list[Any]:
        """Read all clusters' rows."""
        return list(objects.Cluster.list(cloud_sessions.admin_context()))

    def certificates(self) -> list[Any]:
        """Return what is left in Magnum's certificate store."""
        with enginefacade.writer.get_engine().begin() as connection:
            return list(connection.execute(models.X509KeyPair.__table__.select()))

    def records(self) -> list[Any]:
        """Return what is left in our own table."""
        with enginefacade.writer.get_engine().begin() as connection:
            return list(connection.execute(schema.CLUSTER.select()))

    def assert_owned(self, uuid: str) -> None:
        """Look whether all that was made for a cluster is in its record, or named by its row."""
        record = Store().get(uuid)
        owned = record.state.owned if record else ()
        owners = {(one.kind, one.owner_id) for one in owned}
        known = {one.key for one in owned if one.kind == Kind.CERTIFICATE}
        for row in self.clusters():
            known |= set(certificate_store.references(row).values())
        self.assertEqual(set(), {str(one.uuid) for one in self.certificates()} - known)
        for trust in self.cloud.trusts.values():
            if trust["trustee_user_id"] == fake_cloud.MAGNUM:
                self.assertIn((Kind.TRUST, trust["trustor_user_id"]), owners)
        for credential in self.cloud.credentials.values():
            self.assertIn((Kind.CREDENTIAL, credential["user"]), owners)
        stacks = set(self.cloud.leftovers().get("stacks", ()))
        self.assertEqual(set(), stacks - {one.name for one in owned})

    def pass_time(self, seconds: float) -> None:
        """Let everything believe that so much time has passed."""
        real = time.time
        self.useFixture(fixtures.MonkeyPatch("time.time", lambda: real() + seconds))

    def stop_clock(self) -> None:
        """Let time pass only by :meth:`pass_time`, however busy the machine is."""
        now = time.time()
        self.useFixture(fixtures.MonkeyPatch("time.time", lambda: now))

    def serve_docker(self, uuid: str, address: str = MANAGER) -> fake_docker.FakeDocker:
        """Serve the Docker API of a manager whose certificate Magnum signs."""
        cluster = self.cluster(uuid)
        admin = cloud_sessions.admin_context()
        pair = self.server_pair(cluster, address)
        ca = cert_manager.get_cluster_ca_certificate(cluster, context=admin).get_certificate()
        docker = self.useFixture(
            fake_docker.FakeDocker(certificate_store.as_text(ca), pair, address, 2376)
        )
        workers = range(cluster.node_count)
        docker.answers["/nodes"] = (
            200,
            [
                fake_docker.node("swarm-manager-0", manager="reachable", leader=True),
                *(fake_docker.node(f"swarm-worker-{index}") for index in workers),
            ],
        )
        return docker

    def server_pair(self, cluster: Any, address: str = MANAGER) -> Pair:
        """Return a manager's key with a certificate that Magnum signs, as it does now."""
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        names = [x509.IPAddress(ipaddress.ip_address(address))]
        request = (
            x509.CertificateSigningRequestBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "manager")]))
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .sign(key, hashes.SHA256())
        )
        signed = cert_manager.sign_node_certificate(
            cluster,
            request.public_bytes(serialization.Encoding.PEM).decode(),
            context=cloud_sessions.admin_context(),
        )
        return Pair(
            certificate_store.as_text(signed),
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            ).decode(),
        )

    def finish_stack(self) -> None:
        """Let Heat finish the only stack."""
        stack = self.cloud.stack()
        stack.status = "CREATE_COMPLETE"
        stack.outputs = {
            "api_address": MANAGER,
            "manager_addresses": [MANAGER],
            "manager_fixed_addresses": ["10.0.0.11"],
            "worker_addresses": ["10.0.0.21", "10.0.0.22"],
            "network": "network-id",
            "subnet": "subnet-id",
            "node_security_group": "security-group-id",
            "node_configuration": {"version": 1},
            "manager_servers": {"0": "server-manager-0"},
            "worker_servers": {
                str(index): f"server-worker-{index}"
                for index in range(int(stack.parameters["worker_count"]))
            },
        }
