# SPDX-License-Identifier: Apache-2.0
"""Conductors that watch the health of many clusters side by side, with Magnum's own periodic task.

``benchmarks/poll_health.py --conductors 3`` runs it: a MariaDB of its own has rows of clusters that
are all complete, and one process answers for all their managers. Each conductor is a process::

    python -m benchmarks.scaled.watch PORT

which makes one round of the task for each line that it reads, and answers with a line of JSON.
"""

import json
import resource
import subprocess
import sys
import threading
import time
import uuid
from pathlib import Path
from typing import Any

from benchmarks.scaled import liars, processes

ADDRESS = "127.0.0.1"
# Seconds after which a conductor looks again.
INTERVAL = 60
# Seldom: to count the open files of a thousand connections takes milliseconds of what is measured.
_LOOK = 0.5
_PATIENCE = 600.0


def prepare() -> None:
    """Set Magnum up in this process, on the database that is shared."""
    import magnum.conf

    conf = magnum.conf.CONF
    conf([], project="magnum", default_config_files=[])
    conf.set_override("connection", processes.database_url("magnum"), group="database")
    conf.set_override("cert_manager_type", "x509keypair", group="certificates")
    conf.set_override("health_polling_interval", INTERVAL, group="kubernetes")
    from magnum.common import rpc
    from magnum.db.sqlalchemy import models
    from oslo_db.sqlalchemy import enginefacade

    from magnum_swarm_mode import driver
    from magnum_swarm_mode.db import migration

    assert driver.Driver is not None
    rpc.NOTIFIER = Silent()
    models.Base.metadata.create_all(enginefacade.writer.get_engine())
    migration.ensure(enginefacade.writer.get_engine())


class Silent:
    """A notifier that nobody listens to."""

    def prepare(self, publisher_id: str) -> "Silent":
        """Return itself for any publisher."""
        del publisher_id
        return self

    def info(self, *_: Any) -> None:
        """Tell nobody."""

    error = info


def fill(clusters: int, nodes: int, port: int, lying: int = 0) -> tuple[str, str]:
    """Write rows of so many clusters that share one pair of certificates.

    :param lying: of how many the managers lie.
    :param port: of the process that answers for their managers.
    :returns: what :func:`benchmarks.poll_health.signed_pair` gives for them.
    """
    from magnum import objects
    from magnum.conductor.handlers.common import cert_manager
    from magnum.db.sqlalchemy import models
    from oslo_db.sqlalchemy import enginefacade

    from benchmarks import poll_health
    from magnum_swarm_mode.cloud import sessions
    from magnum_swarm_mode.db import schema, store
    from magnum_swarm_mode.decisions import record

    admin = sessions.admin_context()
    owner = {"project_id": "p" * 32, "user_id": "u" * 32}
    template = objects.ClusterTemplate(
        admin, name="t", coe="swarm-mode", cluster_distro="debian", server_type="vm", **owner
    )
    if "driver" in template.fields:
        template.driver = "swarm_mode"
    template.create()
    first = objects.Cluster(
        admin,
        uuid=str(uuid.uuid4()),
        name="watched",
        cluster_template_id=template.uuid,
        status="CREATE_COMPLETE",
        api_address=f"tcp://{ADDRESS}:{port}",
        stack_id="s" * 32,
        ca_cert_ref=None,
        magnum_cert_ref=None,
        **owner,
    )
    cert_manager.generate_certificates_to_cluster(first, context=admin)
    first.create()
    for role, count in (("master", 3), ("worker", nodes - 3)):
        objects.NodeGroup(
            admin,
            uuid=str(uuid.uuid4()),
            name=f"default-{role}",
            cluster_id=first.uuid,
            project_id=first.project_id,
            role=role,
            node_count=count,
            node_addresses=[ADDRESS] if role == "master" else [],
            is_default=True,
            status="CREATE_COMPLETE",
        ).create()
    # The certificates have made a record.
    state = record.State(phase=record.Phase.CREATED, owner_id=first.user_id)
    store.Store().amend(first.uuid, lambda _: state)
    tables = (
        (models.Cluster.__table__, "uuid"),
        (models.NodeGroup.__table__, "cluster_id"),
        (schema.CLUSTER, "cluster_uuid"),
    )
    with enginefacade.writer.get_engine().begin() as connection:
        for table, key in tables:
            for row in connection.execute(table.select()).mappings().all():
                more = []
                for number in range(1, clusters):
                    other = {name: value for name, value in row.items() if name != "id"}
                    other["uuid"] = str(uuid.uuid4())
                    other[key] = f"{number:08x}-0000-4000-8000-000000000000"
                    if number <= lying:
                        _lie(other, port)
                    more.append({name: other[name] for name in other if name in table.c})
                connection.execute(table.insert(), more)
    return poll_health.signed_pair(first, [ADDRESS, *liars.ADDRESSES])


def _lie(row: dict[str, Any], port: int) -> None:
    """Let a row name managers that lie, if it names any."""
    if row.get("api_address"):
        row["api_address"] = f"tcp://{liars.ADDRESSES[0]}:{port}"
    if row.get("node_addresses"):
        row["node_addresses"] = list(liars.ADDRESSES)


def rounds(conductors: int, port: int, count: int) -> list[list[dict[str, float]]]:
    """Return what each of several conductors needed for each round.

    All begin at the same moment, which is when they are most in each other's way.
    """
    command = [sys.executable, "-W", "ignore", "-m", __name__, str(port)]
    running = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(conductors)
    ]
    told: list[list[dict[str, float]]] = []
    try:
        for process in running:
            _read(process)
        for _ in range(count):
            began = time.monotonic()
            for process in running:
                assert process.stdin is not None
                process.stdin.write("go\n")
                process.stdin.flush()
            told.append([_read(process) for process in running])
            # The next look is due for all of them.
            time.sleep(max(0.0, began + INTERVAL - time.monotonic()))
    finally:
        for process in running:
            process.kill()
            process.wait()
    return told


def _read(process: subprocess.Popen[str]) -> dict[str, float]:
    assert process.stdout is not None
    answer: dict[str, float] = json.loads(process.stdout.readline())
    return answer


def _sockets() -> int:
    found = 0
    for path in Path("/proc/self/fd").iterdir():
        try:
            found += str(path.readlink()).startswith("socket:")
        except OSError:
            continue
    return found


def _status(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))


def _is_at_work() -> bool:
    """Return whether any cluster is still looked at, or waits for it."""
    from magnum.service import periodic

    return bool(periodic.loopingcall._queued)


def _round(task: Any) -> dict[str, float]:
    """Do what the periodic task does, and wait for the threads that it starts."""
    from magnum_swarm_mode.conductor.monitor import SwarmModeMonitor

    polls, most, sockets, missed, lies, longest, honest = 0, 0, 0, 0, 0, 0.0, 0.0
    original = SwarmModeMonitor._poll

    def counted(self: Any, *arguments: Any) -> Any:
        nonlocal polls, missed, lies, longest, honest
        polls += 1
        begun = time.monotonic()
        health, seen = original(self, *arguments)
        if any(address in self.cluster.api_address for address in liars.ADDRESSES):
            lies += seen is None
            longest = max(longest, time.monotonic() - begun)
        else:
            missed += seen is None
            honest = max(honest, time.monotonic() - began)
        return health, seen

    SwarmModeMonitor._poll = counted  # type: ignore[assignment, method-assign]
    cpu, began = time.process_time(), time.monotonic()
    worker = threading.Thread(target=task, args=(None,))
    worker.start()
    while worker.is_alive() or _is_at_work():
        most, sockets = max(most, _status("Threads")), max(sockets, _sockets())
        if time.monotonic() > began + _PATIENCE:
            raise TimeoutError(f"{threading.active_count()} threads after {_PATIENCE} seconds")
        time.sleep(_LOOK)
    SwarmModeMonitor._poll = original  # type: ignore[method-assign]
    return {
        "polls": polls,
        "missed": missed,
        "lies": lies,
        "longest": longest,
        "honest": honest,
        "seconds": time.monotonic() - began,
        "cpu": time.process_time() - cpu,
        "threads": most,
        "sockets": sockets,
        "memory": _status("VmRSS") / 1024,
        "peak": _status("VmHWM") / 1024,
    }


def _main(port: int) -> None:
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
    prepare()
    import magnum.conf
    from magnum.service import periodic

    from magnum_swarm_mode.registration import register
    from magnum_swarm_mode.swarm import client

    client.PORT = port
    client.Swarm.__init__.__defaults__ = (port, *(client.Swarm.__init__.__defaults__ or ())[1:])
    tasks = periodic.MagnumPeriodicTasks
    register._set_up_tasks(lambda *_: None, magnum.conf.CONF)
    task = tasks(magnum.conf.CONF).sync_cluster_health_status
    print(json.dumps({}), flush=True)
    while sys.stdin.readline():
        print(json.dumps(_round(task)), flush=True)


if __name__ == "__main__":
    _main(int(sys.argv[1]))
