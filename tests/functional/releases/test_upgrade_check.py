# SPDX-License-Identifier: Apache-2.0
"""The upgrade check against Magnum's own options, tables and clients, on each release."""

from __future__ import annotations

import json
import pathlib
import socket
import subprocess
from typing import Any

import fixtures
from oslotest import base as test_base

from devcloud import releases
from tests.functional.api import base, test_legacy

SUCCESS, WARNING, FAILURE = range(3)


class UpgradeCheckTest(test_base.BaseTestCase):
    def service(self, release: releases.Release, **options: Any) -> base.MagnumService:
        """An installation whose catalogue names endpoints as a cloud does."""
        service: base.MagnumService = self.useFixture(
            base.MagnumService(None, release=release, **options)
        )
        catalogue = service.cloud.tokens["magnum"]["catalog"]
        present = {one["type"] for one in catalogue}
        if "orchestration" not in present:
            catalogue.append(service.cloud._service("orchestration", "/heat"))
        self.publish(service, "https://cloud.example.com")
        return service

    def publish(self, service: base.MagnumService, url: str) -> None:
        """Give all public endpoints this address."""
        for one in service.cloud.tokens["magnum"]["catalog"]:
            for endpoint in one["endpoints"]:
                if endpoint["interface"] == "public":
                    endpoint["url"] = f"{url}/{one['type']}"

    def queue(self) -> str:
        """Something that accepts connections, as the lines that name it."""
        listener = socket.socket()
        self.addCleanup(listener.close)
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        return f"[DEFAULT]\ntransport_url = rabbit://a:b@127.0.0.1:{port}/\n"

    def check(self, service: base.MagnumService) -> tuple[int, dict[str, tuple[int, str]]]:
        """The exit code, and each check's result and details."""
        done = subprocess.run(
            [
                *(service.python, "-m", "magnum_swarm_mode.cmd.status"),
                *("--config-file", str(service.directory / "magnum.conf")),
                *("upgrade", "check", "--json"),
            ],
            env=service.environment,
            cwd=service.directory,
            capture_output=True,
            text=True,
            timeout=120,
        )
        self.assertIn(done.returncode, (SUCCESS, WARNING, FAILURE), done.stdout + done.stderr)
        told = json.loads(done.stdout)
        return done.returncode, {
            one["check"]: (one["result"], one["details"]) for one in told["checks"]
        }

    def test_well(self) -> None:
        """An installation that follows the documentation passes, but for conductors to start."""
        for release in releases.ALL:
            with self.subTest(release=release.version):
                service = self.service(
                    release,
                    extra=f"{self.queue()}[certificates]\ncert_manager_type = x509keypair\n",
                )
                code, found = self.check(service)
                self.assertEqual(WARNING, code, str(found))
                self.assertEqual(
                    ["Conductors"],
                    [name for name, (result, _) in found.items() if result],
                    str(found),
                )

    def test_lacking(self) -> None:
        """Everything that lacks is said at once, each with what to change."""
        release = releases.find("20.0.2")
        copy = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        (copy / "cluster.yaml").write_text("parameters: {}\n")
        service = self.service(
            release,
            registered=False,
            options=f"template_path = {copy}\njoin_timeout = 5",
            extra="[keystone_authtoken]\nservice_type = container\n"
            "[trust]\ntrustee_domain_admin_password =\n"
            "[certificates]\ncert_manager_type = local\n"
            "[drivers]\ndisabled_drivers = k8s_other\n"
            "[DEFAULT]\ntransport_url = rabbit://a:b@127.0.0.1:1/\n",
        )
        self.publish(service, "http://localhost:9511")
        self.add_clusters(service)
        code, found = self.check(service)
        self.assertEqual(FAILURE, code)
        for name, level, words in (
            ("Magnum knows swarm-mode", FAILURE, "config_source = swarm_mode"),
            ("Options of swarm-mode", FAILURE, "join_timeout"),
            ("Templates", FAILURE, "manager.yaml is missing"),
            ("Templates", FAILURE, "cluster.yaml lacks the parameters"),
            ("Type of service", FAILURE, "service_type = container-infra"),
            ("Trusts", FAILURE, "trustee_domain_admin_password"),
            ("Message queue", FAILURE, "127.0.0.1:1"),
            ("Region", SUCCESS, "RegionOne"),
            ("Endpoints for nodes", FAILURE, "http://localhost:9511/identity"),
            ("Certificates", FAILURE, "x509keypair"),
            ("Table of swarm-mode clusters", SUCCESS, "not there yet"),
            ("Clusters of old drivers", WARNING, "up to 17: 2"),
        ):
            self.assertEqual(level, found[name][0], str(found[name]))
            self.assertIn(words, found[name][1])

    def add_clusters(self, service: base.MagnumService) -> None:
        """Write clusters of old drivers, and one of this one, into the database."""
        for number, (coe, distro, server_type) in enumerate(
            (*test_legacy.KINDS[:2], ("swarm-mode", "ubuntu", "vm"))
        ):
            service.insert(
                "cluster_template",
                uuid=f"template-{number}",
                name="t",
                coe=coe,
                cluster_distro=distro,
                server_type=server_type,
            )
            service.insert(
                "cluster", uuid=f"cluster-{number}", cluster_template_id=f"template-{number}"
            )

    def test_cannot_look(self) -> None:
        """Where Keystone or the database is away, that is said, and the rest is looked at."""
        service = self.service(
            releases.DEFAULT,
            extra="[database]\nconnection = mysql+pymysql://a:secret@127.0.0.1:1/magnum\n",
        )
        service.cloud.tokens.clear()
        code, found = self.check(service)
        self.assertEqual(FAILURE, code)
        for name in ("Region", "Endpoints for nodes"):
            self.assertIn("correct [keystone_auth]", found[name][1])
        for name in ("Conductors", "Table of swarm-mode clusters", "Clusters of old drivers"):
            self.assertIn("correct [database] connection", found[name][1])
        self.assertNotIn("secret", str(found))
        self.assertEqual(SUCCESS, found["Type of service"][0])

    def test_services_would_not_start(self) -> None:
        """What keeps Magnum's services from starting is said in their words."""
        service = self.service(releases.DEFAULT, options="join_timeout = 5")
        done = subprocess.run(
            [
                *(service.python, "-W", "ignore", "-m", "magnum_swarm_mode.cmd.status"),
                *("--config-file", str(service.directory / "magnum.conf"), "upgrade", "check"),
            ],
            env=service.environment,
            cwd=service.directory,
            capture_output=True,
            text=True,
            timeout=120,
        )
        self.assertEqual(FAILURE, done.returncode)
        self.assertIn("[swarm_mode] in magnum.conf is not valid: join_timeout", done.stderr)
