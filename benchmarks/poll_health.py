#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Measures what it costs a conductor to watch the health of many clusters.

``benchmarks/poll_health.py`` needs root, for a network of its own in which only its bytes are
counted, and the environment of the one-machine cloud, where Magnum is installed. It needs no cloud:
a process beside it answers as managers do, over TLS with client certificates that Magnum's own code
signs.

For each number of clusters and of nodes it measures, in processor time of this process:

- a poll as the driver does it: connections and certificates are kept
  (:mod:`magnum_swarm_mode.reach`), one request, all nodes judged;
- the same with certificates fetched from Magnum's store and a TLS connection made for each poll.

With ``--conductors`` so many processes watch ``--clusters`` side by side instead, as Magnum's own
periodic task does, on a MariaDB of their own. It prints what each needs for a round: polls,
seconds, processor, most threads and connections at a time, memory. With ``--liars`` the managers of
so many of the clusters attack the conductors (:mod:`benchmarks.scaled.liars`); it prints when the
last poll of an honest cluster was done, and how long a poll of a lying one took at most.

It prints polls per second of one core for both, their ratio, requests and bytes per poll on the
wire, and the memory that each watched cluster takes.
"""

import argparse
import asyncio
import ipaddress
import json
import os
import resource
import signal
import ssl
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

if __package__ in (None, ""):
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

ADDRESS = "127.0.0.1"
AIM_RATIO = 50.0
_INSIDE = "POLL_HEALTH_INSIDE"


@dataclass(frozen=True)
class Cost:
    """What one poll costs."""

    cpu: float  # seconds of this process
    requests: float
    bytes: float  # on the wire, both ways


# -- the managers ---------------------------------------------------------------------------------


def node(index: int, managers: int) -> dict[str, Any]:
    """Return a node as ``GET /nodes`` of Docker 26 describes it, in its usual size."""
    described: dict[str, Any] = {
        "ID": f"{index:025x}",
        "Version": {"Index": 1000 + index},
        "CreatedAt": "2026-01-01T00:00:00.000000000Z",
        "UpdatedAt": "2026-01-01T00:00:00.000000000Z",
        "Spec": {"Labels": {}, "Role": "worker", "Availability": "active"},
        "Description": {
            "Hostname": f"cluster-worker-{index}",
            "Platform": {"Architecture": "x86_64", "OS": "linux"},
            "Resources": {"NanoCPUs": 2_000_000_000, "MemoryBytes": 4 * 2**30},
            "Engine": {
                "EngineVersion": "26.1.5+dfsg1",
                "Plugins": [
                    {"Type": kind, "Name": name}
                    for kind, names in (
                        ("Log", ("awslogs", "fluentd", "gcplogs", "gelf", "journald", "json-file")),
                        ("Log", ("local", "splunk", "syslog")),
                        ("Network", ("bridge", "host", "ipvlan", "macvlan", "null", "overlay")),
                        ("Volume", ("local",)),
                    )
                    for name in names
                ],
            },
            "TLSInfo": {"TrustRoot": "x" * 580, "CertIssuerSubject": "y" * 28},
        },
        "Status": {"State": "ready", "Addr": f"10.0.{index // 250}.{index % 250}"},
    }
    if index < managers:
        described["Spec"]["Role"] = "manager"
        described["ManagerStatus"] = {"Reachability": "reachable", "Addr": "10.0.0.1:2377"}
        if index == 0:
            described["ManagerStatus"]["Leader"] = True
    return described


async def _serve(pair: str, authority: str) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair)
    context.load_verify_locations(authority)
    context.verify_mode = ssl.CERT_REQUIRED
    version = json.dumps({"Version": "26.1.5+dfsg1", "ApiVersion": "1.45"}).encode()
    bodies = {"nodes": b"[]"}
    requests = 0

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal requests
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                requests += 1
                body = version if b"/version" in head.split(b"\r\n")[0] else bodies["nodes"]
                writer.write(
                    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
                    + f"Content-Length: {len(body)}\r\n\r\n".encode()
                    + body
                )
                await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(answer, ADDRESS, 0, ssl=context, backlog=4096)
    port = server.sockets[0].getsockname()[1]
    print(json.dumps({"port": port}), flush=True)
    loop = asyncio.get_running_loop()
    # One line per order: how many nodes to show; the answer is how many requests there were.
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        count = json.loads(line)
        bodies["nodes"] = json.dumps([node(index, 3) for index in range(count)]).encode()
        print(json.dumps({"requests": requests}), flush=True)


class Managers:
    """The process that answers for all managers."""

    def __init__(self, pair: Path, authority: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__, "--serve", str(pair), str(authority)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.port = int(self._read()["port"])

    def _read(self) -> dict[str, int]:
        assert self._process.stdout is not None
        answer: dict[str, int] = json.loads(self._process.stdout.readline())
        return answer

    def show(self, nodes: int) -> int:
        """Show so many nodes from now on; return how many requests there were so far."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{nodes}\n")
        self._process.stdin.flush()
        return self._read()["requests"]

    def stop(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.wait()


# -- the conductor --------------------------------------------------------------------------------


def _magnum(space: Path) -> Any:
    """Set Magnum up on a database of its own; return a cluster with certificates in its store."""
    import magnum.conf

    conf = magnum.conf.CONF
    conf([], project="magnum", default_config_files=[])
    conf.set_override("connection", f"sqlite:///{space}/magnum.sqlite", group="database")
    conf.set_override("cert_manager_type", "x509keypair", group="certificates")
    from magnum import objects
    from magnum.conductor.handlers.common import cert_manager
    from magnum.db.sqlalchemy import models
    from oslo_db.sqlalchemy import enginefacade

    from magnum_swarm_mode import driver
    from magnum_swarm_mode.cloud import sessions as cloud_sessions

    assert driver.Driver is not None
    models.Base.metadata.create_all(enginefacade.writer.get_engine())
    cluster = objects.Cluster(
        cloud_sessions.admin_context(),
        uuid="00000000-0000-4000-8000-000000000000",
        name="measured",
        project_id="p" * 32,
        user_id="u" * 32,
        ca_cert_ref=None,
        magnum_cert_ref=None,
        cluster_template=objects.ClusterTemplate(cloud_sessions.admin_context(), coe="swarm-mode"),
    )
    cert_manager.generate_certificates_to_cluster(cluster, context=cloud_sessions.admin_context())
    return cluster


def signed_pair(cluster: Any, addresses: list[str]) -> tuple[str, str]:
    """Have Magnum sign a manager's certificate; return it with its key, and the authority."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import rsa
    from cryptography.x509.oid import NameOID
    from magnum.conductor.handlers.common import cert_manager

    from magnum_swarm_mode.certificates import store as certificate_store
    from magnum_swarm_mode.cloud import sessions as cloud_sessions

    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    names = [x509.IPAddress(ipaddress.ip_address(address)) for address in addresses]
    request = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "manager")]))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .sign(key, hashes.SHA256())
    )
    text = request.public_bytes(serialization.Encoding.PEM).decode()
    signed = cert_manager.sign_node_certificate(
        cluster, text, context=cloud_sessions.admin_context()
    )
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ).decode()
    ca = cert_manager.get_cluster_ca_certificate(cluster, context=cloud_sessions.admin_context())
    return (
        f"{certificate_store.as_text(signed)}\n{private}",
        certificate_store.as_text(ca.get_certificate()),
    )


def _server_pair(cluster: Any, space: Path) -> tuple[Path, Path]:
    """Write a manager's pair and its authority; return their paths."""
    pair, authority = space / "pair.pem", space / "ca.pem"
    for path, text in zip((pair, authority), signed_pair(cluster, [ADDRESS]), strict=True):
        path.write_text(text)
    return pair, authority


def _wire() -> int:
    """Return how many bytes went over the only interface so far."""
    lines = Path("/proc/self/net/dev").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.strip().startswith("lo:"))


def _memory() -> float:
    """Return the resident memory of this process in KiB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 1024


class Conductor:
    """What polls."""

    def __init__(self, cluster: Any, managers: Managers) -> None:
        self._cluster, self._managers = cluster, managers
        from magnum_swarm_mode import reach
        from magnum_swarm_mode.swarm import client as swarm_client

        swarm_client.PORT = managers.port
        others = (swarm_client.Swarm.__init__.__defaults__ or ())[1:]
        swarm_client.Swarm.__init__.__defaults__ = (managers.port, *others)
        self._access = reach

    def poll(self, uuid: str, nodes: int) -> None:
        """Look at one cluster's health as the driver's monitor does."""
        from magnum_swarm_mode.decisions import health as decisions_health

        self._cluster.uuid = uuid
        _, seen = self._access.swarm_of(self._cluster, [ADDRESS]).poll(ADDRESS)
        health = decisions_health.judge(seen, 3, nodes - 3)
        assert health.status == decisions_health.HEALTHY, health

    def forget(self, uuid: str) -> None:
        """Keep nothing of a cluster."""
        self._access.SWARMS.forget(uuid)

    def measure(self, uuids: list[str], nodes: int, seconds: float, *, keep: bool) -> Cost:
        """Poll the clusters in turn for so long, and return what one poll costs."""
        requests, wire = self._managers.show(nodes), _wire()
        polls = 0
        began, cpu = time.monotonic(), time.process_time()
        while polls < len(uuids) or time.monotonic() - began < seconds:
            uuid = uuids[polls % len(uuids)]
            self.poll(uuid, nodes)
            if not keep:
                self.forget(uuid)
            polls += 1
            if not keep and time.monotonic() - began >= seconds:
                break
        spent = time.process_time() - cpu
        return Cost(
            cpu=spent / polls,
            requests=(self._managers.show(nodes) - requests) / polls,
            bytes=(_wire() - wire) / polls,
        )


def run(options: argparse.Namespace) -> int:
    """Measure and print; return the exit code."""
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
    with tempfile.TemporaryDirectory(prefix="poll-health-") as directory:
        space = Path(directory)
        cluster = _magnum(space)
        managers = Managers(*_server_pair(cluster, space))
        try:
            return _report(Conductor(cluster, managers), options)
        finally:
            managers.stop()


def watch(options: argparse.Namespace) -> int:
    """Measure conductors side by side; return the exit code."""
    from benchmarks.scaled import processes
    from benchmarks.scaled import watch as scaled_watch

    with tempfile.TemporaryDirectory(prefix="poll-health-") as directory:
        space = Path(directory)
        services = processes.Processes(space)
        managers = lying = None
        try:
            processes.database(services, space)
            scaled_watch.prepare()
            clusters, nodes, port = options.clusters[-1], options.nodes[0], 2376
            pair, authority = scaled_watch.fill(clusters, nodes, port, options.liars)
            for name, text in (("pair.pem", pair), ("ca.pem", authority)):
                (space / name).write_text(text)
            managers = Managers(space / "pair.pem", space / "ca.pem")
            managers.show(nodes)
            if options.liars:
                command = [sys.executable, "-m", "benchmarks.scaled.liars"]
                paths = [str(space / "pair.pem"), str(space / "ca.pem")]
                lying = subprocess.Popen(
                    [*command, *paths, str(managers.port)], stdout=subprocess.PIPE
                )
                assert lying.stdout is not None
                lying.stdout.readline()
            told = scaled_watch.rounds(options.conductors, managers.port, options.rounds)
        finally:
            if managers is not None:
                managers.stop()
            if lying is not None:
                lying.kill()
                lying.wait()
            services.stop()
    print(
        f"{clusters} clusters of {nodes} nodes, {options.conductors} conductors\n"
        "round conductor | polls  seconds processor | threads connections | MiB, at most | "
        "honest ones done after s, missed | lies  longest s"
    )
    for number, each in enumerate(told, 1):
        for index, one in enumerate(each, 1):
            print(
                f"{number:5} {index:9} | {one['polls']:5.0f} {one['seconds']:8.1f} "
                f"{one['cpu']:9.1f} | {one['threads']:7.0f} {one['sockets']:11.0f} | "
                f"{one['memory']:6.0f} {one['peak']:6.0f} | {one['honest']:24.1f} "
                f"{one['missed']:7.0f} | "
                f"{one['lies']:4.0f} {one['longest']:8.1f}"
            )
    return 0


def _report(conductor: Conductor, options: argparse.Namespace) -> int:
    print(
        "clusters nodes | polls/s per core: kept, anew, ratio | requests kept, anew | "
        "KiB on the wire kept, anew | KiB of memory per cluster"
    )
    good = True
    for clusters in options.clusters:
        uuids = [f"{number:08x}-0000-4000-8000-000000000000" for number in range(1, clusters + 1)]
        for nodes in options.nodes:
            before = _memory()
            # The first round makes the connections.
            conductor.measure(uuids, nodes, 0, keep=True)
            memory = (_memory() - before) / clusters
            kept = conductor.measure(uuids, nodes, options.seconds, keep=True)
            for uuid in uuids:
                conductor.forget(uuid)
            anew = conductor.measure(uuids, nodes, options.seconds, keep=False)
            ratio = anew.cpu / kept.cpu
            print(
                f"{clusters:8} {nodes:5} | {1 / kept.cpu:8.1f} {1 / anew.cpu:8.1f} {ratio:6.1f} | "
                f"{kept.requests:4.2f} {anew.requests:4.2f} | {kept.bytes / 1024:8.1f} "
                f"{anew.bytes / 1024:8.1f} | {memory:7.1f}",
                flush=True,
            )
            if clusters >= 1000 and nodes == min(options.nodes):
                good &= ratio >= AIM_RATIO
    print(f"aim: {AIM_RATIO:.0f} times cheaper at 1000 clusters: {'met' if good else 'missed'}")
    return 0 if good else 1


def main() -> int:
    """Run the benchmark in a network of its own."""
    if sys.argv[1:2] == ["--serve"]:
        asyncio.run(_serve(*sys.argv[2:4]))
        return 0
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--clusters", type=int, nargs="+", default=[1, 100, 1000, 2000])
    parser.add_argument("--nodes", type=int, nargs="+", default=[3, 11, 100, 1000])
    parser.add_argument("--seconds", type=float, default=5.0, help="for each measurement")
    parser.add_argument("--conductors", type=int, default=0, help="measure so many side by side")
    parser.add_argument("--liars", type=int, default=0, help="clusters whose managers lie")
    parser.add_argument("--rounds", type=int, default=2, help="of conductors side by side")
    options = parser.parse_args()
    if _INSIDE not in os.environ:
        inside = 'ip link set lo up && exec "$@"'
        command = ["unshare", "--net", "sh", "-c", inside, "sh", sys.executable, *sys.argv]
        # In its place, so that a signal to this process reaches who ends all others.
        os.execvpe(command[0], command, {**os.environ, _INSIDE: "1"})
    # The end of this process ends all others, too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    return watch(options) if options.conductors else run(options)


if __name__ == "__main__":
    sys.exit(main())
