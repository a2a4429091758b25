# SPDX-License-Identifier: Apache-2.0
import pathlib
import ssl
import struct

import fixtures
from oslotest import base

from acceptance import docker, waiting
from acceptance.errors import Broken
from tests.unit.node import fakes


class ParseTest(base.BaseTestCase):
    def test_node(self):
        """A manager's address is the one that it gives to others."""
        entry = {
            "ID": "i",
            "Spec": {"Role": "manager", "Availability": "active"},
            "Status": {"State": "ready", "Addr": "0.0.0.0"},
            "Description": {"Hostname": "m0"},
            "ManagerStatus": {"Addr": "10.0.0.1:2377"},
        }
        node = docker.parse_node(entry)
        self.assertEqual("10.0.0.1", node.address)
        del entry["ManagerStatus"]
        self.assertEqual("0.0.0.0", docker.parse_node(entry).address)

    def test_task(self):
        """A task has its addresses by network, and the reason why it does not run."""
        entry = {
            "ID": "t",
            "Status": {"State": "rejected", "Err": "no such image"},
            "NetworksAttachments": [
                {"Network": {"ID": "n"}, "Addresses": ["10.8.0.3/24"]},
                {"Network": {"ID": "pending"}},
            ],
        }
        task = docker.parse_task(entry)
        self.assertEqual(({"n": "10.8.0.3"}, "no such image"), (task.addresses, task.error))

    def test_logs(self):
        """The frames of a log are put together; half a frame is no reason to fail."""
        frame = b"\x01\0\0\0" + struct.pack(">I", 3) + b"a\nb"
        self.assertEqual("a\nba\nb", docker.demultiplex(frame + frame + b"\x01\0"))

    def test_service(self):
        """A service with a virtual address has a port, one without has none."""
        made = docker.service("s", "i", "x", ["n"], published=80, virtual=True)
        self.assertEqual("vip", made["EndpointSpec"]["Mode"])
        self.assertEqual(80, made["EndpointSpec"]["Ports"][0]["PublishedPort"])
        self.assertEqual({"Mode": "dnsrr"}, docker.service("s", "i", "x", ["n"])["EndpointSpec"])


class ClientTest(base.BaseTestCase):
    """Against an engine behind TLS that wants certificates."""

    def setUp(self):
        super().setUp()
        self.authority = self.useFixture(fakes.Authority())
        context = self.authority.server_context()
        context.load_verify_locations(cadata=self.authority.pem)
        context.verify_mode = ssl.CERT_REQUIRED
        self.engine = self.useFixture(fakes.Engine(context=context))
        directory = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        pair = pathlib.Path(self.authority.pair()).read_text()
        for name, text in (("ca", self.authority.pem), ("cert", pair), ("key", pair)):
            (directory / f"{name}.pem").write_text(text)
        self.client = docker.Docker(f"127.0.0.1:{self.engine.port}", directory)

    def test_call(self):
        """The API is asked in the version that both know; a refusal has its sentence."""
        self.assertEqual("x", self.client.make_network("n"))
        self.assertIn("POST /v1.41/networks/create", self.engine.calls())
        error = self.assertRaises(Broken, self.client.call, "GET", "/networks/none")
        self.assertIn("404", str(error))
        self.assertIn("no such network", str(error))

    def test_who_is_refused(self):
        """Neither who has no certificate nor who speaks no TLS gets an answer."""
        self.assertFalse(self.client.answers_without_certificate())
        self.assertFalse(self.client.answers_without_tls())

    def test_who_is_not(self):
        """An engine that anybody may use is found out."""
        open_engine = self.useFixture(fakes.Engine())
        client = docker.Docker(f"127.0.0.1:{open_engine.port}", pathlib.Path("/nonexistent"))
        self.assertTrue(client.answers_without_tls())
        careless = self.useFixture(fakes.Engine(context=self.authority.server_context()))
        self.client.port = careless.port
        self.assertTrue(self.client.answers_without_certificate())

    def test_ports(self):
        """A port is open when it can be connected to."""
        self.assertTrue(docker.is_open("127.0.0.1", self.engine.port))
        self.assertFalse(docker.is_open("127.0.0.1", 1))


class WaitingTest(base.BaseTestCase):
    def test_timeout(self):
        """Who waits in vain says for what, and what was seen last."""
        said: list[str] = []
        error = self.assertRaises(
            Broken,
            waiting.until,
            "rain",
            lambda: "sun",
            lambda seen: seen == "rain",
            timeout=0.05,
            interval=0.02,
            say=said.append,
        )
        self.assertEqual("waited 0 s for rain; last seen: sun", str(error))
        self.assertEqual(["rain: sun"], said)

    def test_failing_look(self):
        """A look that fails is not the end; the last failure is told when time is over."""
        answers = iter([Broken("503"), "rain"])

        def look():
            answer = next(answers)
            if isinstance(answer, Broken):
                raise answer
            return answer

        self.assertEqual("rain", waiting.until("rain", look, bool, timeout=1, interval=0.01))
        answers = iter([Broken("503")])
        error = self.assertRaises(Broken, waiting.until, "rain", look, bool, timeout=-1)
        self.assertIn("last seen: 503", str(error))
