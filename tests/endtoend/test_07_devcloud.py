# SPDX-License-Identifier: Apache-2.0
import os
import signal
import socket
import subprocess

from devcloud import settings
from devcloud.demo import rest, shell
from tests.endtoend import base, clusters, snapshots
from tests.endtoend.machines import Machine
from tests.endtoend.waiting import wait_for

UP_TIMEOUT = 600.0  # seconds
DOWN_TIMEOUT = 180.0


def devcloud(verb: str, timeout: float) -> str:
    """Run a verb of ``tools/devcloud``; what it printed.

    :raises shell.CommandError: it failed
    """
    return shell.capture((shell.DEVCLOUD, verb), dict(os.environ), timeout)


def reachable(address: str, port: int) -> bool:
    """Whether somebody listens at a port, as seen from this machine."""
    try:
        with socket.create_connection((address, port), 3):
            return True
    except OSError:
        return False


class TestServers(base.EndToEndTestCase):
    """Servers of the cloud, without Magnum."""

    def setUp(self) -> None:
        super().setUp()
        self.group = self.demo.json("security", "group", "create", "life-of-a-server")["id"]
        self.addCleanup(self.demo.run, "openstack", "security", "group", "delete", self.group)
        self.ident = self.demo.json(
            *("server", "create", "--image", "ubuntu_xenial", "--flavor", "m1.small"),
            *("--network", settings.PRIVATE_NETWORK, "--key-name", settings.KEYPAIR),
            *("--security-group", self.group, "--user-data", self._user_data()),
            "life-of-a-server",
        )["id"]
        self.addCleanup(self.demo.run, "openstack", "server", "delete", "--wait", self.ident)
        self._wait("ACTIVE")
        self.floating = self.demo.json("floating", "ip", "create", settings.EXTERNAL_NETWORK)[
            "floating_ip_address"
        ]
        self.addCleanup(self.demo.run, "openstack", "floating", "ip", "delete", self.floating)
        self.demo.run("openstack", "server", "add", "floating", "ip", self.ident, self.floating)
        self.machine = Machine(self.floating)

    def _user_data(self) -> str:
        file = self.temporary_directory() / "user-data"
        file.write_text("#!/bin/sh\necho the user-data ran | tee /var/tmp/ran >/dev/console\n")
        return str(file)

    def _wait(self, status: str) -> None:
        wait_for(
            f"the server to be {status}",
            lambda: self.demo.cloud.get("compute", f"/servers/{self.ident}")["server"]["status"],
            lambda seen: seen == status,
            timeout=90,
        )

    def _boots(self) -> str:
        """An identity of the present boot, as soon as ssh answers."""
        command = "cat /var/tmp/ran; stat -c %Y /proc/1; cat /proc/1/stat | cut -d' ' -f22"
        return wait_for(
            "ssh to answer",
            lambda: self.machine.try_text(command),
            lambda seen: "user-data ran" in seen,
            timeout=60,
        )

    def test_life(self) -> None:
        """Security groups, console, stop, start, reboots and volumes work as in a real cloud."""
        self.assertFalse(reachable(self.floating, 22), "a group without rules lets ssh in")
        rule = self.demo.json(
            *("security", "group", "rule", "create", "--protocol", "tcp", "--dst-port", "22"),
            self.group,
        )["id"]
        self.addCleanup(self._forget_rule, rule)
        first = self._boots()
        self.assertIn(
            "the user-data ran",
            self.demo.run("openstack", "console", "log", "show", self.ident),
        )
        self._volume()

        self.demo.run("openstack", "server", "stop", self.ident)
        self._wait("SHUTOFF")
        self.assertFalse(reachable(self.floating, 22))
        self.demo.run("openstack", "server", "start", self.ident)
        self._wait("ACTIVE")
        second = self._boots()
        self.demo.run("openstack", "server", "reboot", "--hard", "--wait", self.ident)
        third = self._boots()
        self.demo.run("openstack", "server", "reboot", "--soft", "--wait", self.ident)
        fourth = self._boots()
        self.assertEqual(4, len({first, second, third, fourth}))

        self._forget_rule(rule)
        wait_for(
            "the removed rule to close ssh",
            lambda: reachable(self.floating, 22),
            lambda seen: not seen,
            timeout=20,
        )

    def _forget_rule(self, rule: str) -> None:
        try:
            self.demo.cloud.call("DELETE", "network", f"/v2.0/security-group-rules/{rule}")
        except rest.RestError as error:
            if error.status != 404:
                raise

    def _volume(self) -> None:
        ident = self.demo.json("volume", "create", "--size", "1", "life-of-a-volume")["id"]
        self.addCleanup(self.demo.run, "openstack", "volume", "delete", ident)
        self._wait_volume(ident, "available")
        self.demo.run("openstack", "server", "add", "volume", self.ident, ident)
        self._wait_volume(ident, "in-use")
        path = f"/dev/disk/by-id/virtio-{ident[:20]}"
        self.assertEqual("1073741824", self.machine.text(f"blockdev --getsize64 {path}"))
        self.demo.run("openstack", "server", "remove", "volume", self.ident, ident)
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

    def setUp(self) -> None:
        super().setUp()
        # Servers with overlays, volumes and floating IPs are among the victims.
        clusters.make_template(
            self.demo,
            "killed",
            *("--image", "ubuntu_xenial", "--flavor", "m1.small", "--docker-volume-size", "1"),
            *("--fixed-network", settings.PRIVATE_NETWORK),
        )
        self.addCleanup(
            self.demo.run, "openstack", "coe", "cluster", "template", "delete", "killed"
        )
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
