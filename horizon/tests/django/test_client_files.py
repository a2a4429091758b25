# SPDX-License-Identifier: Apache-2.0
import io
import subprocess
import tempfile
import zipfile
from pathlib import Path

from magnum_swarm_mode_ui import client_files
from tests.django import base
from tests.django.fake_magnum import CLUSTER, cluster

PATH = f"{base.CLUSTER}/client_files"
DOCKER = """#!/bin/sh
echo "$@" >>"$LOG"
[ "$2" != inspect ]
"""


class ClientFilesTest(base.RestTestCase):
    def prepare(self, **fields: str) -> None:
        address = {"api_address": "https://192.0.2.11:2376"}
        self.say(f"GET /v1/clusters/{CLUSTER}", cluster(**{**address, **fields}))
        self.say(f"GET /v1/certificates/{CLUSTER}", {"pem": "authority"})
        self.say("POST /v1/certificates", {"pem": "certificate"}, 201)

    def fetch(self) -> zipfile.ZipFile:
        return zipfile.ZipFile(io.BytesIO(self.ajax("POST", PATH).content))

    def test_archive_is_complete(self) -> None:
        """The archive has certificates, key and scripts, and nobody else may read the key."""
        self.prepare()
        files = self.fetch()
        self.assertEqual(
            {
                "swarm/ca.pem",
                "swarm/cert.pem",
                "swarm/key.pem",
                "swarm/docker-context.sh",
                "swarm/docker-context.ps1",
                "swarm/README.txt",
            },
            set(files.namelist()),
        )
        self.assertEqual(b"authority", files.read("swarm/ca.pem"))
        self.assertIn(b"PRIVATE KEY", files.read("swarm/key.pem"))
        self.assertEqual(0o600, files.getinfo("swarm/key.pem").external_attr >> 16 & 0o777)

    def test_key_is_sent_to_nobody(self) -> None:
        """Magnum gets a request for a certificate, not the key; each answer has another key."""
        self.prepare()
        keys = {self.fetch().read("swarm/key.pem") for _ in range(2)}
        self.assertEqual(2, len(keys))
        self.assertNotIn("PRIVATE KEY", str(self.magnum.requests))

    def test_no_cache_keeps_it(self) -> None:
        """The answer is marked so that neither browser nor proxy stores it; no session has it."""
        self.prepare()
        answer = self.ajax("POST", PATH)
        self.assertEqual("no-store", answer["Cache-Control"])
        self.assertNotIn("PRIVATE KEY", str(dict(self.client.session)))

    def test_cluster_without_address(self) -> None:
        """A cluster that is not there yet is refused, and no certificate is made."""
        self.prepare(api_address="")
        answer = self.ajax("POST", PATH)
        self.assertEqual(409, answer.status_code)
        self.assertEqual(1, len(self.magnum.requests))

    def test_names_that_docker_refuses(self) -> None:
        """A cluster's name that is no name of a docker context is replaced by its id."""
        self.prepare(name="Schwärme")
        self.assertIn(f"{CLUSTER}/ca.pem", self.fetch().namelist())


class AddressTest(base.RestTestCase):
    def test_only_host_and_port(self) -> None:
        """An address with more than host and port does not get into a script."""
        self.assertEqual("tcp://192.0.2.1:2376", client_files.docker_host("tcp://192.0.2.1:2376"))
        self.assertEqual("tcp://[::1]:2376", client_files.docker_host("https://[::1]:2376"))
        for address in ("https://a:1/$(id)", 'https://a:1"', "https://a b:1", "ssh://a:22", None):
            self.assertIsNone(client_files.docker_host(address), address)


class ScriptTest(base.RestTestCase):
    def run_script(self, inspect_fails: bool) -> list[str]:
        certificates = client_files.Certificates("a", "b", "c")
        content = client_files.archive("swarm", "tcp://192.0.2.1:2376", certificates)
        with tempfile.TemporaryDirectory() as place:
            zipfile.ZipFile(io.BytesIO(content)).extractall(place)
            docker = Path(place, "docker")
            docker.write_text(DOCKER if inspect_fails else DOCKER.replace("!=", "="))
            if not inspect_fails:
                docker.write_text(DOCKER.rpartition("[")[0])
            docker.chmod(0o755)
            log = Path(place, "log")
            subprocess.run(
                ["sh", f"{place}/swarm/docker-context.sh"],
                env={"PATH": f"{place}:/usr/bin:/bin", "LOG": str(log)},
                check=True,
                capture_output=True,
            )
            return log.read_text().splitlines()

    def test_creates_a_context(self) -> None:
        """The script creates a docker context of the files beside it."""
        options = "host=tcp://192.0.2.1:2376,ca=ca.pem,cert=cert.pem,key=key.pem"
        self.assertEqual(
            f"context create swarm --docker {options}", self.run_script(inspect_fails=True)[-1]
        )

    def test_updates_a_context(self) -> None:
        """A context that exists already gets the new files."""
        self.assertIn("context update swarm", self.run_script(inspect_fails=False)[-1])
