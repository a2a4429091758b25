# SPDX-License-Identifier: Apache-2.0
"""What labels do, seen at Nova, Cinder and Neutron, at the engines, and through real sockets.

One cluster has them all at once. tests/unit/labels/test_effects.py says which test shows
which label.
"""

import contextlib
import http.server
import json
import threading
from collections.abc import Iterator
from typing import Any, ClassVar

from devcloud import settings
from devcloud.demo import shell
from tests.endtoend import base, clusters, images, shared, tls, users
from tests.endtoend.clusters import Cluster, Server
from tests.endtoend.docker import Docker
from tests.endtoend.waiting import wait_for

NAME = "labelled"
VOLUME_TYPE = "labelled-type"
REGISTRY = "172.24.4.1:5999"  # nobody is there
HOST_ONLY = f"{settings.HOST_ADDRESS}/32"
MTU = 1400
VXLAN = 50  # bytes that encapsulation takes of each packet
PORTS = (8080, 8081)  # published
CLOSED = 8082
SERVE = "systemd-run --quiet --collect --unit=port-{0} python3 -m http.server {0} --directory /usr"
CONNECT = (
    'python3 -c "import socket; '
    "print(socket.create_connection(('{}', {}), 3).getpeername()[1])\" 2>&1 | tail -n 1"
)


class Mirror:
    """A registry that has nothing and remembers what it was asked for."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        asked = self.asked

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                asked.append(self.path)
                self.send_response(200 if self.path == "/v2/" else 404)
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"{}")

            do_HEAD = do_GET  # noqa: N815 (http.server's names)

            def log_message(self, *_: Any) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer((settings.HOST_ADDRESS, 0), Handler)
        self.url = f"http://{settings.HOST_ADDRESS}:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@contextlib.contextmanager
def volume_type() -> Iterator[str]:
    """A type of volumes that is not Cinder's default."""
    cloud = users.admin().cloud
    made = cloud.call("POST", "block-storage", "/types", {"volume_type": {"name": VOLUME_TYPE}})
    try:
        yield VOLUME_TYPE
    finally:
        cloud.call("DELETE", "block-storage", f"/types/{made['volume_type']['id']}")


class TestLabels(base.EndToEndTestCase):
    """A cluster of one manager and one worker with many labels."""

    beside = "lasting"

    cluster: ClassVar[Cluster]
    docker: ClassVar[Docker]
    mirror: ClassVar[Mirror]

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        user = users.demo()
        cls.mirror = Mirror()
        cls.addClassCleanup(cls.mirror.close)
        kind = cls.enterClassContext(volume_type())
        clusters.make_template(
            user,
            NAME,
            image_id="debian-docker-26.1",
            docker_volume_size=1,
            insecure_registry=REGISTRY,
            labels={
                "swarm_address_pool": "10.77.0.0/16",
                "swarm_address_pool_mask": "26",
                "data_path_port": "4790",
                "manager_availability": "drain",
                "api_allowed_cidrs": HOST_ONLY,
                "ssh_allowed_cidrs": HOST_ONLY,
                "worker_floating_ip_enabled": "true",
                "availability_zone": "nova",
                "server_group_policy": "soft-affinity",
                "worker_server_group_policy": "anti-affinity",
                "boot_volume_size": "2",
                "boot_volume_type": kind,
                "docker_volume_type": kind,
                "published_ports": f"{PORTS[0]}-{PORTS[1]}",
                "published_ports_allowed_cidrs": HOST_ONLY,
                "network_mtu": str(MTU),
                "docker_version": "26.1",
                "log_driver": "local",
                "log_max_size": "5m",
                "log_max_file": "2",
                "registry_mirrors": cls.mirror.url,
            },
        )
        cls.addClassCleanup(clusters.remove_template, user, NAME)
        cls.cluster = clusters.ask_for(user, NAME, NAME, 1, 1)
        cls.addClassCleanup(cls.cluster.remove)
        cls.cluster.wait("CREATE_COMPLETE")
        cls.docker = shared.client(cls.cluster)
        shared.wait_until_whole(cls.docker, 1, 1)
        images.bring(cls.cluster)

    @property
    def manager(self) -> Server:
        return self.cluster.managers()[0]

    @property
    def worker(self) -> Server:
        return self.cluster.workers()[0]

    def _on(self, one: Server, text: str) -> str:
        return self.cluster.machine(one).text(text)

    # -- the swarm --------------------------------------------------------------------------------

    def test_swarm(self) -> None:
        """Pool, mask and data path port are the swarm's; its manager only manages."""
        found = json.loads(self.docker.run("info", "--format", "{{json .Swarm.Cluster}}"))
        self.assertEqual(["10.77.0.0/16"], found["DefaultAddrPool"])
        self.assertEqual(26, found["SubnetSize"])
        self.assertEqual(4790, found["DataPathPort"])
        availability = {bool(one.manager): one.availability for one in self.docker.nodes()}
        self.assertEqual({True: "Drain", False: "Active"}, availability)

    # -- Neutron ----------------------------------------------------------------------------------

    def test_worker_has_a_floating_ip(self) -> None:
        """A worker is reached from outside under an address of its own."""
        self.assertNotEqual("", self.worker.floating)
        self.assertEqual(self.worker.name, self.cluster.machine(self.worker).text("hostname"))

    def test_published_ports(self) -> None:
        """A published port is open to the networks of the label, and to nobody else."""
        for port in (*PORTS, CLOSED):
            self._on(self.worker, SERVE.format(port))
            self.addCleanup(self._on, self.worker, f"systemctl stop port-{port}")
        for port in PORTS:
            wait_for(
                f"port {port} of the worker to be open",
                lambda port=port: tls.listens(self.worker.floating, port),  # type: ignore[misc]
                timeout=20,
                interval=0.5,
            )
        self.assertFalse(tls.listens(self.worker.floating, CLOSED))
        inside = self._on(self.manager, CONNECT.format(self.worker.fixed, PORTS[0]))
        self.assertIn("timed out", inside)

    def test_api_and_ssh_are_open_where_the_labels_say(self) -> None:
        """This host reaches both; the cluster's own worker, which no label names, neither."""
        for port in (2376, 22):
            self.assertTrue(tls.listens(self.manager.floating, port))
            seen = self._on(self.worker, CONNECT.format(self.manager.fixed, port))
            self.assertIn("timed out", seen, f"port {port} is open")

    # -- Nova and Cinder --------------------------------------------------------------------------

    def test_server_groups(self) -> None:
        """Each role is in a group of the policy that was asked for."""
        groups = self.demo.cloud.get("compute", "/os-server-groups")["server_groups"]
        found = {one["policies"][0]: one["members"] for one in groups if one["members"]}
        self.assertEqual([self.manager.ident], found["soft-affinity"])
        self.assertEqual([self.worker.ident], found["anti-affinity"])

    def test_availability_zone(self) -> None:
        """Nova keeps nodes in the zone that was asked for, also when it moves them."""
        telling = {"OpenStack-API-Version": "compute 2.96"}
        for one in (self.manager, self.worker):
            found = self.demo.cloud.get("compute", f"/servers/{one.ident}", telling)["server"]
            self.assertEqual("nova", found["pinned_availability_zone"])

    def test_volumes(self) -> None:
        """Nodes boot from a volume of their image and keep the engine's data on another."""
        for one in (self.manager, self.worker):
            server = self.demo.cloud.get("compute", f"/servers/{one.ident}")["server"]
            self.assertEqual("", server["image"])
            attached = [v["id"] for v in server["os-extended-volumes:volumes_attached"]]
            volumes = [
                self.demo.cloud.get("block-storage", f"/volumes/{ident}")["volume"]
                for ident in attached
            ]
            self.assertEqual(
                [("false", 1, VOLUME_TYPE), ("true", 2, VOLUME_TYPE)],
                sorted((v["bootable"], v["size"], v["volume_type"]) for v in volumes),
            )
            # What the node writes to is as large as the volume, less the file system's own.
            kilobytes = int(self._on(one, "df --output=size / | tail -n 1"))
            self.assertTrue(1.8 <= kilobytes / (1 << 20) <= 2.0, f"{kilobytes} KiB")
            self.assertIn("ext4", self._on(one, "findmnt -n -o FSTYPE /var/lib/docker"))

    # -- engines ----------------------------------------------------------------------------------

    def test_engine(self) -> None:
        """Every engine has version, log driver, mirror and insecure registry of the cluster."""
        for one in (self.manager, self.worker):
            info = json.loads(self._on(one, "docker info --format '{{json .}}'"))
            self.assertEqual("26.1", ".".join(info["ServerVersion"].split(".")[:2]))
            self.assertEqual("local", info["LoggingDriver"])
            self.assertEqual([f"{self.mirror.url}/"], info["RegistryConfig"]["Mirrors"])
            self.assertIn(REGISTRY, info["RegistryConfig"]["IndexConfigs"])

    def test_mirror_is_asked(self) -> None:
        """A pull from Docker Hub asks the mirror first."""
        pull = "systemd-run --quiet --collect --unit=pull docker pull labels/nothing:1"
        self._on(self.worker, pull)
        self.addCleanup(self._on, self.worker, "systemctl stop pull || :")
        # Engines of nodes that reach no name server were seen to take more than ten seconds.
        wait_for(
            "the mirror to be asked for the image",
            lambda: list(self.mirror.asked),
            lambda seen: "/v2/labels/nothing/manifests/1" in seen,
            timeout=90,
            interval=1,
        )

    def test_containers(self) -> None:
        """A container logs as the labels say, and its networks carry what the label says."""
        self.docker.run("network", "create", "--driver", "overlay", "--attachable", "wide")
        self.addCleanup(self.docker.run, "network", "rm", "wide")
        run = f"docker run --detach --name {{0}} --network {{1}} {images.NAME} sleep 600"
        for name, network in (("above", "wide"), ("below", "bridge")):
            self._on(self.worker, run.format(name, network))
            self.addCleanup(self._on, self.worker, f"docker rm --force {name}")
        log = json.loads(
            self._on(self.worker, "docker inspect --format '{{json .HostConfig.LogConfig}}' below")
        )
        self.assertEqual(
            {"Type": "local", "Config": {"max-size": "5m", "max-file": "2"}},
            log,
        )
        mtu = "docker exec {} busybox cat /sys/class/net/eth0/mtu"
        self.assertEqual(MTU, int(self._on(self.worker, mtu.format("below"))))
        self.assertEqual(MTU - VXLAN, int(self._on(self.worker, mtu.format("above"))))
        gateway = "cat /sys/class/net/docker_gwbridge/mtu"
        self.assertEqual(MTU, int(self._on(self.worker, gateway)))
        # A busy manager calls a network of the swarm unknown when its store answers late.
        ingress = wait_for("the ingress network", self._ingress, timeout=60)
        self.assertEqual(str(MTU), ingress["com.docker.network.driver.mtu"])

    def _ingress(self) -> dict[str, str]:
        """The options of the ingress network; none while the manager does not know it."""
        try:
            said = self.docker.run("network", "inspect", "ingress", "--format", "{{json .Options}}")
        except shell.CommandError:
            return {}
        options: dict[str, str] = json.loads(said)
        return options
