# SPDX-License-Identifier: Apache-2.0
"""The files that an installation is told to use, judged by the programs that read them."""

from __future__ import annotations

import pathlib
import subprocess
import sys

import fixtures
from oslotest import base

from tests import documented

FILES = documented.ROOT / "etc/high-availability"
# HAProxy and systemd come with the node images of the one-machine cloud.
IMAGE = pathlib.Path("/var/lib/devcloud/images/docker-20.10")
# What the configuration may hold, by the names of oslo.config's plug-ins.
NAMESPACES = (
    "magnum.conf",
    "magnum_swarm_mode",
    "keystonemiddleware.auth_token",
    "oslo.messaging",
    "oslo.db",
    "oslo.middleware",
    "oslo.concurrency",
    "oslo.log",
)


class SnippetTest(base.BaseTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.directory = pathlib.Path(self.useFixture(fixtures.TempDir()).path)

    def _in_image(self, script: str) -> str:
        """Run a shell in the image with this test's directory on /mnt; return what it says.

        What it mounts nobody else sees, and the image stays as it is.
        """
        done = subprocess.run(
            ["unshare", "--mount", "sh", "-ec", f'mount --bind "$1" "$2/mnt"\n{script}', "sh",
             self.directory, IMAGE],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=120,
            check=False,
        )  # fmt: skip
        self.assertEqual(0, done.returncode, done.stdout)
        return done.stdout

    def test_haproxy(self) -> None:
        """HAProxy takes its configuration."""
        subject = ("-subj", "/CN=magnum.example.com", "-days", "2")
        subprocess.run(
            ("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "key",
             "-out", "pem", *subject),
            cwd=self.directory, check=True, capture_output=True,
        )  # fmt: skip
        both = (self.directory / "pem").read_text() + (self.directory / "key").read_text()
        (self.directory / "magnum.pem").write_text(both)
        text = (FILES / "haproxy.cfg").read_text().replace("/etc/haproxy/", "/mnt/")
        (self.directory / "haproxy.cfg").write_text(text)
        said = self._in_image('chroot "$2" haproxy -c -f /mnt/haproxy.cfg')
        self.assertIn("Configuration file is valid", said)
        self.assertNotIn("WARNING", said)

    def test_systemd(self) -> None:
        """systemd takes the units, whose programs are those that pip installs."""
        for name in ("magnum-api.service", "magnum-conductor.service"):
            (self.directory / name).write_bytes((FILES / name).read_bytes())
        said = self._in_image(
            'mount -t tmpfs tmpfs "$2/opt"; mkdir -p "$2/opt/magnum/bin"\n'
            'cp "$2/bin/true" "$2/opt/magnum/bin/uwsgi"\n'
            'cp "$2/bin/true" "$2/opt/magnum/bin/magnum-conductor"\n'
            'chroot "$2" systemd-analyze verify --man=no /mnt/magnum-api.service '
            "/mnt/magnum-conductor.service 2>&1"
        )
        self.assertNotIn("magnum", said)
        for name in ("uwsgi", "magnum-conductor"):
            self.assertTrue((pathlib.Path(sys.executable).parent / name).exists(), name)

    def test_firewall(self) -> None:
        """The kernel takes the rules, twice as well."""
        once = f"nft --file {FILES}/firewall.nft"
        load = f"{once} && {once} && nft list ruleset"
        done = subprocess.run(
            ("unshare", "--net", "sh", "-ec", load),
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        self.assertEqual(0, done.returncode, done.stderr)
        self.assertIn("tcp dport 9511 drop", done.stdout)
        self.assertEqual(1, done.stdout.count("chain input"))

    def test_every_option_of_magnum_conf_is_known(self) -> None:
        """Magnum and its libraries declare each option of the example, under the same name."""
        words = [word for name in NAMESPACES for word in ("--namespace", name)]
        done = subprocess.run(
            [pathlib.Path(sys.executable).parent / "oslo-config-validator",
             "--input-file", FILES / "magnum.conf", *words],
            capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
        # oslo.config declares this one to itself only.
        expected = [
            "ERROR:oslo_config.validator:DEFAULT/config_source is not part of the sample config"
        ]
        self.assertEqual(expected, errors, done.stderr)
