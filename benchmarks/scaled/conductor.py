# SPDX-License-Identifier: Apache-2.0
"""Magnum's conductor in this process, with the driver in it, and what its passes cost."""

import contextlib
import json
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.scaled import cloud, processes
from benchmarks.scaled.identity import OWNER, PROJECT
from benchmarks.scaled.network import EXTERNAL, FLOATING, INTERNAL

MANAGERS = 3
# Seconds between two looks of the periodic task; Magnum's own are 10.
_INTERVAL = 5.0


@dataclass(frozen=True)
class Pass:
    """What one look of the conductor costs: seconds, MiB above what it had, requests sent."""

    cpu: float
    memory: float
    requests: int
    seconds: float


class _Requests:
    """Counts the HTTP requests that this process sends."""

    def __init__(self) -> None:
        self.sent = 0
        from requests import adapters

        from magnum_swarm_mode.wire import exchange

        for where in (adapters.HTTPAdapter, exchange.Adapter):
            self._count(where)

    def _count(self, where: Any) -> None:
        original = where.send

        def send(adapter: Any, request: Any, *args: Any, **kwargs: Any) -> Any:
            self.sent += 1
            return original(adapter, request, *args, **kwargs)

        where.send = send


def _reset_peak() -> int:
    """Begin to look for the peak of resident memory anew; return what it is now, in KiB."""
    Path("/proc/self/clear_refs").write_text("5")
    return _status("VmRSS")


def _status(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))


class Conductor:
    """Does what magnum-conductor does when it is asked, and what its periodic tasks do."""

    def __init__(self) -> None:
        _prepare()
        self._requests = _Requests()
        self._template = self._make_template()
        self.passes: list[Pass] = []

    def _context(self) -> Any:
        from magnum.common import context

        identifier, body = login()
        return context.make_context(
            auth_token=identifier,
            auth_token_info=body,
            user_id=OWNER,
            project_id=PROJECT,
            roles=["member", "reader"],
            is_admin=False,
            all_tenants=False,
        )

    def _make_template(self) -> Any:
        from tests.fakes import rows

        template = rows.cluster_template(
            self._context(),
            image_id=cloud.IMAGE,
            external_network_id=EXTERNAL,
            fixed_network=INTERNAL,
        )
        template.create()
        return template

    def create(self, workers: int, minutes: int) -> str:
        """Ask for a cluster; return its uuid."""
        from magnum.conductor.handlers import cluster_conductor

        from tests.fakes import rows

        context = self._context()
        cluster = rows.cluster(
            context,
            self._template,
            name="scale",
            fixed_network=INTERNAL,
            create_timeout=minutes,
        )
        cluster_conductor.Handler().cluster_create(context, cluster, MANAGERS, workers, minutes)
        pair, ca = self._pair(self.cluster(cluster.uuid))
        control("docker", {"pair": pair, "ca": ca})
        return str(cluster.uuid)

    def _pair(self, cluster: Any) -> tuple[str, str]:
        """Have Magnum sign the managers' certificate; return it with its key, and the authority."""
        from benchmarks import poll_health

        addresses = [str(FLOATING[number]) for number in range(1, 2 * MANAGERS + 1)]
        return poll_health.signed_pair(cluster, addresses)

    def resize(self, uuid: str, workers: int) -> None:
        """Ask for another number of workers, as the API does."""
        from magnum.conductor.handlers import cluster_conductor

        context, cluster = self._context(), self.cluster(uuid)
        group = cluster.default_ng_worker
        cluster_conductor.Handler().cluster_resize(context, cluster, workers, [], group)

    def add_group(self, uuid: str, name: str, workers: int) -> str:
        """Ask for a further node group; return its uuid."""
        from magnum import objects
        from magnum.conductor.handlers import nodegroup_conductor
        from oslo_utils import uuidutils

        context, cluster = self._context(), self.cluster(uuid)
        first = cluster.default_ng_worker
        group = objects.NodeGroup(
            context,
            uuid=uuidutils.generate_uuid(),
            name=name,
            cluster_id=uuid,
            project_id=PROJECT,
            docker_volume_size=first.docker_volume_size,
            labels=first.labels,
            flavor_id=first.flavor_id,
            image_id=first.image_id,
            node_count=workers,
            min_node_count=0,
            role="worker",
            is_default=False,
        )
        nodegroup_conductor.Handler().nodegroup_create(context, cluster, group)
        return str(group.uuid)

    def delete_group(self, uuid: str, group: str) -> None:
        """Ask for the deletion of a node group, as the API does."""
        from magnum import objects
        from magnum.conductor.handlers import nodegroup_conductor

        context, cluster = self._context(), self.cluster(uuid)
        row = objects.NodeGroup.get_by_uuid(context, uuid, group)
        nodegroup_conductor.Handler().nodegroup_delete(context, cluster, row)

    def delete(self, uuid: str) -> None:
        """Ask for the deletion."""
        from magnum.conductor.handlers import cluster_conductor

        cluster_conductor.Handler().cluster_delete(self._context(), uuid)

    def cluster(self, uuid: str) -> Any:
        """Read a cluster's row; None for one that is gone."""
        from magnum import objects
        from magnum.common import exception

        from magnum_swarm_mode.cloud import sessions

        try:
            return objects.Cluster.get_by_uuid(sessions.admin_context(), uuid)
        except exception.ClusterNotFound:
            return None

    def follow(self, uuid: str, seconds: float) -> str:
        """Look at a cluster as the periodic task does until it is at rest; return how it ended.

        :raises TimeoutError: when it is not within so many seconds; says the last status.
        """
        from magnum.service import periodic
        from oslo_service import loopingcall

        from magnum_swarm_mode.cloud import sessions

        deadline = time.monotonic() + seconds
        while (cluster := self.cluster(uuid)) is not None:
            if not cluster.status.endswith("_IN_PROGRESS"):
                return f"{cluster.status} {cluster.status_reason or ''}".strip()
            if time.monotonic() > deadline:
                raise TimeoutError(f"{cluster.status}: {cluster.status_reason}")
            job = periodic.ClusterUpdateJob(sessions.admin_context(), cluster)
            with self._measured(), contextlib.suppress(loopingcall.LoopingCallDone):
                job.update_status()
            time.sleep(_INTERVAL)
        return "gone"

    def look_at_health(self, uuid: str) -> Pass:
        """Look at a cluster at rest once; return what that costs."""
        from magnum_swarm_mode.cloud import sessions
        from magnum_swarm_mode.conductor.monitor import SwarmModeMonitor

        cluster = self.cluster(uuid)
        # Another conductor's look within the minute would do for this one.
        processes.query("magnum", "UPDATE swarm_mode_cluster SET health_due = 0")
        monitor = SwarmModeMonitor(sessions.admin_context(), cluster)
        with self._measured():
            monitor.poll_health_status()
        if monitor.data.get("health_status") != "HEALTHY":
            raise RuntimeError(f"cluster {uuid} is not healthy: {monitor.data}")
        return self.passes.pop()

    @contextlib.contextmanager
    def _measured(self) -> Iterator[None]:
        before, sent, began = _reset_peak(), self._requests.sent, time.monotonic()
        cpu = time.process_time()
        yield
        self.passes.append(
            Pass(
                time.process_time() - cpu,
                max(0, _status("VmHWM") - before) / 1024,
                self._requests.sent - sent,
                time.monotonic() - began,
            )
        )


def login() -> tuple[str, dict[str, Any]]:
    """Return id and body of a token of the clusters' owner."""
    user = {"name": "demo", "domain": {"name": "Default"}, "password": "x"}
    identity = {"methods": ["password"], "password": {"user": user}}
    body = json.dumps({"auth": {"identity": identity}}).encode()
    request = urllib.request.Request(
        f"{cloud.URL}/identity/v3/auth/tokens", body, {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        return answer.headers["X-Subject-Token"], json.loads(answer.read())


def control(path: str, body: Any = None) -> Any:
    """Ask the services that are not real for what belongs to the measurement."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"{cloud.URL}/control/{path}", data)
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.loads(answer.read())


def _prepare() -> None:
    """Set Magnum up on its database."""
    import importlib

    import magnum.conf

    conf = magnum.conf.CONF
    conf([], project="magnum", default_config_files=[])
    url = processes.database_url("magnum")
    conf.set_override("connection", url, group="database")
    conf.set_override("cert_manager_type", "x509keypair", group="certificates")
    importlib.import_module("keystonemiddleware.auth_token")
    from keystoneauth1 import loading

    loading.load_auth_from_conf_options(conf, "keystone_auth", auth_url="x", username="x")
    for name, value in {
        "auth_type": "password",
        "auth_url": f"{cloud.URL}/identity/v3",
        "username": "magnum",
        "password": "magnum",
        "project_name": "service",
        "user_domain_name": "Default",
        "project_domain_name": "Default",
    }.items():
        conf.set_override(name, value, group="keystone_auth")
    from magnum.common import rpc
    from magnum.db.sqlalchemy import models
    from oslo_db.sqlalchemy import enginefacade

    from magnum_swarm_mode import driver
    from magnum_swarm_mode.db import migration

    assert driver.Driver is not None
    rpc.NOTIFIER = _Silent()
    models.Base.metadata.create_all(enginefacade.writer.get_engine())
    migration.ensure(enginefacade.writer.get_engine())


class _Silent:
    """A notifier that nobody listens to."""

    def prepare(self, publisher_id: str) -> "_Silent":
        """Return itself for any publisher."""
        del publisher_id
        return self

    def info(self, *_: Any) -> None:
        """Tell nobody."""

    error = info
