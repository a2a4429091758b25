# SPDX-License-Identifier: Apache-2.0
import base64
import os
import signal
import subprocess
from typing import Any

from devcloud import settings
from devcloud.demo import rest, shell
from tests.endtoend import base, clusters, snapshots, tls
from tests.endtoend.machines import Machine
from tests.endtoend.waiting import wait_for

UP_TIMEOUT = 600.0  # seconds
DOWN_TIMEOUT = 180.0


def devcloud(verb: str, timeout: float) -> str:
    """Run a verb of ``tools/devcloud``; what it printed.

    :raises shell.CommandError: it failed
    """
    return shell.capture((shell.DEVCLOUD, verb), dict(os.environ), timeout)


class TestServers(base.EndToEndTestCase):
    """Servers of the cloud, without Magnum."""

    def setUp(self) -> None:
        super().setUp()
        name = "life-of-a-server"
        body: dict[str, Any] = {"security_group": {"name": name}}
        self.group = self._make("network", "/v2.0/security-groups", body)["id"]
        network = self._named("networks", settings.PRIVATE_NETWORK)
        user_data = b"#!/bin/sh\necho the user-data ran | tee /var/tmp/ran >/dev/console\n"
        server = {
            "name": name,
            "imageRef": self._image("ubuntu_xenial"),
            "flavorRef": self._flavor("m1.small"),
            "networks": [{"uuid": network}],
            "key_name": settings.KEYPAIR,
            "security_groups": [{"name": self.group}],
            "user_data": base64.b64encode(user_data).decode(),
        }
        self.ident = self._make("compute", "/servers", {"server": server})["id"]
        self.addCleanup(self._wait_deleted)
        self._wait("ACTIVE")
        path = f"/v2.0/ports?device_id={self.ident}"
        port = self.demo.cloud.get("network", path)["ports"][0]["id"]
        public = self._named("networks", settings.EXTERNAL_NETWORK)
        body = {"floatingip": {"floating_network_id": public, "port_id": port}}
        floating = self._make("network", "/v2.0/floatingips", body)
        self.floating = floating["floating_ip_address"]
        self.machine = Machine(self.floating)

    def _make(self, service: str, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """Make something that is removed at the end; it."""
        made: dict[str, Any] = next(
            iter(self.demo.cloud.call("POST", service, path, body).values())
        )
        self.addCleanup(self._forget, service, f"{path}/{made['id']}")
        return made

    def _forget(self, service: str, path: str) -> None:
        try:
            self.demo.cloud.call("DELETE", service, path)
        except rest.RestError as error:
            if error.status != 404:
                raise

    def _wait_deleted(self) -> None:
        path = f"/servers/{self.ident}"
        self._forget("compute", path)
        wait_for(
            "the server to be deleted",
            lambda: self.demo.cloud.find("compute", path),
            lambda seen: seen is None,
            timeout=60,
        )

    def _named(self, kind: str, name: str) -> str:
        return str(self.demo.cloud.get("network", f"/v2.0/{kind}?name={name}")[kind][0]["id"])

    def _image(self, name: str) -> str:
        return str(self.demo.cloud.get("image", f"/v2/images?name={name}")["images"][0]["id"])

    def _flavor(self, name: str) -> str:
        flavors = self.demo.cloud.get("compute", "/flavors")["flavors"]
        return str(next(one["id"] for one in flavors if one["name"] == name))

    def _wait(self, status: str) -> None:
        wait_for(
            f"the server to be {status}",
            lambda: self.demo.cloud.get("compute", f"/servers/{self.ident}")["server"]["status"],
            lambda seen: seen == status,
            timeout=90,
        )

    def _boots(self, before: str = "") -> str:
        """An identity of the present boot, another one than ``before``, as soon as ssh answers."""
        command = "cat /var/tmp/ran; cut -d' ' -f22 /proc/1/stat"
        return wait_for(
            "ssh to answer",
            lambda: self.machine.try_text(command),
            lambda seen: "user-data ran" in seen and seen != before,
            timeout=60,
        )

    def test_life(self) -> None:
        """Security groups, console, stop, start, reboots and volumes work as in a real cloud."""
        self.assertFalse(tls.listens(self.floating, 22), "a group without rules lets ssh in")
        rule = {
            "security_group_id": self.group,
            "direction": "ingress",
            "protocol": "tcp",
            "port_range_min": 22,
            "port_range_max": 22,
        }
        path = "/v2.0/security-group-rules"
        made = self._make("network", path, {"security_group_rule": rule})
        first = self._boots()
        self.assertIn(
            "the user-data ran",
            self.demo.run("openstack", "console", "log", "show", self.ident),
        )
        self._volume()

        self.demo.act(self.ident, "os-stop")
        self._wait("SHUTOFF")
        self.assertFalse(tls.listens(self.floating, 22))
        self.demo.act(self.ident, "os-start")
        self._wait("ACTIVE")
        second = self._boots()
        self.demo.act(self.ident, "reboot", type="HARD")
        third = self._boots(second)
        self._wait("ACTIVE")
        self.demo.act(self.ident, "reboot", type="SOFT")
        fourth = self._boots(third)
        self.assertEqual(4, len({first, second, third, fourth}))

        self._forget("network", f"{path}/{made['id']}")
        wait_for(
            "the removed rule to close ssh",
            lambda: tls.listens(self.floating, 22),
            lambda seen: not seen,
            timeout=20,
        )

    def _volume(self) -> None:
        body: dict[str, Any] = {"volume": {"size": 1, "name": "life-of-a-volume"}}
        ident = self._make("block-storage", "/volumes", body)["id"]
        self._wait_volume(ident, "available")
        attachments = f"/servers/{self.ident}/os-volume_attachments"
        body = {"volumeAttachment": {"volumeId": ident}}
        self.demo.cloud.call("POST", "compute", attachments, body)
        self._wait_volume(ident, "in-use")
        path = f"/dev/disk/by-id/virtio-{ident[:20]}"
        self.assertEqual("1073741824", self.machine.text(f"blockdev --getsize64 {path}"))
        self.demo.cloud.call("DELETE", "compute", f"{attachments}/{ident}")
        self._wait_volume(ident, "available")
        self.assertIn("gone", self.machine.text(f"test -e {path} || echo gone"))

    def _wait_volume(self, ident: str, status: str) -> None:
        wait_for(
            f"the volume to be {status}",
            lambda: self.demo.cloud.get("block-storage", f"/volumes/{ident}")["volume"]["status"],
            lambda seen: seen == status,
            timeout=60,
        )


class TestZKilled(base.EndToEndTestCase):
    """Everything of the cloud dies at once; the last test, for it ends all servers."""

    long = True

    def setUp(self) -> None:
        super().setUp()
        # Servers with overlays, volumes and floating IPs are among the victims.
        clusters.make_template(self.demo, "killed", docker_volume_size=1)
        self.addCleanup(clusters.remove_template, self.demo, "killed")
        cluster = clusters.ask_for(self.demo, "killed", "killed", 1, 1)
        self.addCleanup(cluster.remove)
        cluster.wait("CREATE_COMPLETE")

    def test_down_and_up(self) -> None:
        """After SIGKILL of everything `down` leaves nothing behind, and `up` brings all back."""
        self.addCleanup(self._up)
        self._kill_everything()
        devcloud("down", DOWN_TIMEOUT)
        self._assert_nothing_runs()
        devcloud("down", DOWN_TIMEOUT)

        self._up()
        templates = self.demo.cloud.get("container-infra", "/clustertemplates")
        self._kill_everything()
        self._up()
        self.assertEqual(templates, self.demo.cloud.get("container-infra", "/clustertemplates"))

    def _up(self) -> None:
        devcloud("up", UP_TIMEOUT)

    def _kill_everything(self) -> None:
        """Kill services first, so that none puts anything in order, then machines."""
        victims = {**snapshots.service_processes(), **snapshots.machine_processes()}
        self.assertGreater(len(victims), 10)
        for pid in victims:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        wait_for(
            "everything to be dead",
            lambda: {**snapshots.service_processes(), **snapshots.machine_processes()},
            lambda left: not left,
            timeout=30,
        )

    def _assert_nothing_runs(self) -> None:
        left = {
            "processes": [
                *snapshots.service_processes().values(),
                *snapshots.machine_processes().values(),
            ],
            "mounts": snapshots.mounts(),
            "loop devices": snapshots.loop_devices(),
            "cgroups": snapshots.cgroups(),
            "namespaces": snapshots.names(snapshots.NAMESPACES, settings.PREFIX),
            "interfaces": snapshots.names(snapshots.INTERFACES, "dc"),
            "listeners": self._listeners(),
        }
        self.assertEqual({}, {kind: things for kind, things in left.items() if things})

    @staticmethod
    def _listeners() -> list[str]:
        ports = {
            value
            for name, value in vars(settings).items()
            if name.endswith("_PORT") and isinstance(value, int)
        }
        done = subprocess.run(
            ["ss", "-Hlnt"], capture_output=True, text=True, check=True, timeout=30
        )
        addresses = [line.split()[3] for line in done.stdout.splitlines()]
        return [one for one in addresses if int(one.rpartition(":")[2]) in ports]
