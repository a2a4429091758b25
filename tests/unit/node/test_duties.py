# SPDX-License-Identifier: Apache-2.0
"""Volume, firewall, units, proxy, files: what is done through programs."""

import os
import pathlib
import re
import ssl
import stat
import subprocess

import fixtures
from oslotest import base

from magnum_swarm_mode.node.base import system
from magnum_swarm_mode.node.base.errors import NodeError, Temporary
from magnum_swarm_mode.node.duties import firewall, proxy, units, volume
from tests.unit.node import fakes

VOLUME = "0f8fad5b-d9cb-469f-a165-70867728950e"


class SystemTest(base.BaseTestCase):
    def setUp(self):
        super().setUp()
        self.path = pathlib.Path(self.useFixture(fixtures.TempDir()).path, "a/b")

    def test_write_twice(self):
        """A file is replaced only when its content changes; its mode is set in any case."""
        self.assertTrue(system.write(self.path, "x", 0o600))
        self.assertEqual(0o600, stat.S_IMODE(self.path.stat().st_mode))
        inode = self.path.stat().st_ino
        self.assertFalse(system.write(self.path, "x", 0o644))
        self.assertEqual(inode, self.path.stat().st_ino)
        self.assertEqual(0o644, stat.S_IMODE(self.path.stat().st_mode))
        self.assertTrue(system.write(self.path, "y"))
        self.assertEqual([self.path], list(self.path.parent.iterdir()))

    def test_write_after_a_crash(self):
        """What a writer left behind that was killed is no obstacle."""
        self.path.parent.mkdir()
        self.path.with_name(".b.new").write_text("half")
        self.assertTrue(system.write(self.path, "whole"))
        self.assertEqual("whole", self.path.read_text())

    def test_write_fails(self):
        """A file that cannot be written is named with the reason."""
        error = self.assertRaises(NodeError, system.write, pathlib.Path("/proc/x/y"), "t")
        self.assertIn("/proc/x/y cannot be written: ", str(error))

    def test_full_disk(self):
        """A full disk is said to be full."""
        target = pathlib.Path("/dev/full")
        self.assertIn(
            "No space left",
            str(self.assertRaises(NodeError, self._write_to, target)),
        )

    def _write_to(self, device):
        self.path.parent.mkdir(exist_ok=True)
        self.useFixture(
            fixtures.MonkeyPatch(
                "pathlib.Path.touch", lambda path, mode=0o666: path.symlink_to(device)
            )
        )
        system.write(self.path, "text")

    def test_read_nothing(self):
        """A file that is not there is empty."""
        self.assertEqual("", system.read(self.path))

    def test_run(self):
        """Output is returned, input is given."""
        self.assertEqual("in C", system.run("sh", "-c", "cat; printf ' %s' $LC_ALL", stdin="in"))

    def test_run_fails(self):
        """A failing command is told with exit code and what it said."""
        error = self.assertRaises(NodeError, system.run, "sh", "-c", "echo bad >&2; exit 3")
        self.assertEqual("sh -c echo bad >&2; exit 3: exit code 3: bad", str(error))
        self.assertEqual("", system.run("false", check=False))

    def test_run_too_long_or_missing(self):
        """A command that hangs or is not there is an error too."""
        self.assertRaises(NodeError, system.run, "sleep", "9", timeout=0.05)
        self.assertRaises(NodeError, system.run, "/nonexistent")


class VolumeTest(fakes.NodeTest):
    def setUp(self):
        super().setUp()
        self.programs = self.useFixture(fakes.Programs())
        for name in ("mkfs.ext4", "mount", "blkid"):
            self.programs.add(name)
        # A file stands for the block device, which not every machine lends to a test.
        self.useFixture(fixtures.MonkeyPatch("stat.S_ISBLK", stat.S_ISREG))
        self.device = self.paths.root / "dev/vdb"
        self.device.touch()

    def _link(self, name):
        (self.paths.disks / name).symlink_to(self.device)

    def test_without_volume(self):
        """Without a volume nothing happens."""
        self.assertEqual("none", volume.ensure("", self.paths))
        self.assertEqual([], self.programs.calls())

    def test_found_by_serial(self):
        """virtio keeps 20 characters of the id, SCSI all; partitions do not count."""
        self._link(f"virtio-{VOLUME[:20]}-part1")
        self.assertRaises(Temporary, volume.find, self.paths.disks, VOLUME)
        self._link(f"scsi-0QEMU_QEMU_HARDDISK_{VOLUME}")
        self.assertEqual(str(self.device), volume.find(self.paths.disks, VOLUME))

    def test_never_appears(self):
        """A volume that does not appear is named at the deadline."""
        error = self.assertRaises(NodeError, volume.ensure, VOLUME, self.paths, 0)
        self.assertIn(f"no device for volume {VOLUME}", str(error))

    def test_dangling_link(self):
        """A link to nothing is no device."""
        (self.paths.disks / f"virtio-{VOLUME[:20]}").symlink_to("/nonexistent")
        self.assertRaises(Temporary, volume.find, self.paths.disks, VOLUME)

    def test_blank(self):
        """A blank volume gets a file system and is mounted."""
        self._link(f"virtio-{VOLUME[:20]}")
        self.assertIn("file system made", volume.ensure(VOLUME, self.paths))
        self.assertEqual(
            [
                f"mkfs.ext4 -q -L docker {self.device}",
                f"mount -t ext4 {self.device} {self.paths.engine_data}",
            ],
            self.programs.calls()[1:],
        )

    def test_used_before(self):
        """A volume with a file system keeps it."""
        self._link(f"virtio-{VOLUME[:20]}")
        self.programs.add("blkid", "echo ext4")
        self.assertEqual(f"{self.device} mounted", volume.ensure(VOLUME, self.paths))
        self.assertNotIn("mkfs", "".join(self.programs.calls()))

    def test_something_else_on_it(self):
        """A volume with anything else is not touched."""
        self._link(f"virtio-{VOLUME[:20]}")
        for kind in ("xfs", "gpt", "crypto_LUKS"):
            self.programs.add("blkid", f"echo {kind}")
            error = self.assertRaises(NodeError, volume.ensure, VOLUME, self.paths)
            self.assertIn(kind, str(error))
        self.assertNotIn("mount", "".join(call.split()[0] for call in self.programs.calls()))


class FirewallTest(base.BaseTestCase):
    def test_rule_is_added_once(self):
        """The rule is added where it is missing, before everything else."""
        programs = self.useFixture(fakes.Programs())
        programs.add("iptables", 'case "$*" in *-C*) exit 1;; esac')
        firewall.close_metadata()
        rule = "FORWARD -d 169.254.169.254/32 -j DROP"
        self.assertEqual(f"iptables -w 10 -t mangle -I {rule}", programs.calls()[-1])
        programs.add("iptables")
        firewall.close_metadata()
        self.assertEqual(f"iptables -w 10 -t mangle -C {rule}", programs.calls()[-1])


class UnitsTest(fakes.NodeTest):
    def test_install_twice(self):
        """Units are written and enabled once."""
        programs = self.useFixture(fakes.Programs())
        programs.add("systemctl")
        files = units.for_role(True)
        units.install(files, self.paths)
        units.install(files, self.paths)
        enabled = f"systemctl enable --no-reload {units.PREPARE} {units.NODE} {units.JOIN}"
        self.assertEqual([enabled, "systemctl daemon-reload"], programs.calls())

    def test_engine_waits_for_its_volume(self):
        """The engine requires what prepares it, also when somebody else starts it."""
        self.useFixture(fakes.Programs()).add("systemctl")
        units.install(units.for_role(False), self.paths)
        text = (self.paths.units / "docker.service.d/10-magnum-swarm-mode.conf").read_text()
        self.assertEqual(f"[Unit]\nRequires={units.PREPARE}\nAfter={units.PREPARE}\n", text)

    def test_worker_listens_on_nothing(self):
        """Workers have no unit but those two."""
        self.assertEqual({units.PREPARE, units.NODE}, set(units.for_role(False)))

    def test_systemd_understands_them(self):
        """systemd finds nothing to complain about in any unit."""
        directory = pathlib.Path(self.root, "verify")
        files = {**units.for_role(True), units.TIMER: units.timer(10)}
        files[units.PROXY] = proxy.unit(self.paths)
        # Programs that this machine may lack are not what is looked at.
        for name, text in {**files, "docker.service": "[Service]\nExecStart=/bin/true\n"}.items():
            for program in ("/usr/sbin/haproxy", "/usr/bin/python3"):
                text = text.replace(program, "/bin/true")
            system.write(directory / name, text)
        done = subprocess.run(
            ["systemd-analyze", "verify", "--man=no", *map(str, directory.iterdir())],
            env={**os.environ, "SYSTEMD_UNIT_PATH": f"{directory}:/lib/systemd/system"},
            capture_output=True,
            text=True,
            check=False,
        )
        ours = [line for line in done.stderr.splitlines() if "magnum-swarm" in line]
        self.assertEqual([], ours)

    def test_timer(self):
        """The timer is restarted, and systemd told only when it changed."""
        programs = self.useFixture(fakes.Programs())
        programs.add("systemctl")
        units.set_timer(10, self.paths)
        units.set_timer(10, self.paths)
        self.assertEqual(1, programs.calls().count("systemctl daemon-reload"))
        self.assertEqual(2, programs.calls().count(f"systemctl restart {units.TIMER}"))


class ProxyTest(fakes.NodeTest):
    def test_settings(self):
        """Clients need a certificate of the cluster's CA; the socket is all that is behind."""
        text = proxy.settings(fakes.parse_config(api={"port": 2999}), self.paths)
        self.assertIn(
            f"bind 0.0.0.0:2999 ssl crt {self.paths.certificate} "
            f"ca-file {self.paths.cluster_ca} verify required\n",
            text,
        )
        self.assertIn("server engine unix@/run/docker.sock\n", text)
        self.assertIn("user haproxy\n group docker\n", text)

    def test_strangers(self):
        """A handshake has a deadline, and one address has a share of the connections only."""
        lines = proxy.settings(fakes.parse_config(), self.paths).splitlines()
        for line in (" timeout client 10s", " timeout tunnel 7d", " maxconn 2000"):
            self.assertIn(line, lines)
        self.assertIn(" tcp-request connection reject if { sc0_conn_cur gt 400 }", lines)

    def test_suites(self):
        """TLS 1.2 has AEAD suites only, and those of RSA and of ECDSA certificates."""
        text = proxy.settings(fakes.parse_config(), self.paths)
        self.assertIn(" ssl-default-bind-options ssl-min-ver TLSv1.2\n", text)
        (suites,) = re.findall("^ ssl-default-bind-ciphers (.+)$", text, re.MULTILINE)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.set_ciphers(suites)
        ciphers = context.get_ciphers()
        self.assertEqual([], [one["name"] for one in ciphers if not one["aead"]])
        names = {one["name"] for one in ciphers}
        # What the docker command of Go offers.
        self.assertLessEqual(
            {"ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES128-GCM-SHA256"}, names
        )

    def test_reload_only_when_needed(self):
        """The proxy is reloaded for new settings or a new certificate, else just started."""
        programs = self.useFixture(fakes.Programs())
        programs.add("systemctl")
        config = fakes.parse_config()
        for verb in ("start", "start", "reload-or-restart", "restart"):
            proxy.ensure(config, self.paths, verb)
        self.assertEqual(
            [
                f"systemctl {verb} {units.PROXY}"
                for verb in ("reload-or-restart", "start", "reload-or-restart", "restart")
            ],
            programs.calls(),
        )
