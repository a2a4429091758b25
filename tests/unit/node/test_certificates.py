# SPDX-License-Identifier: Apache-2.0
import json
import pathlib
import subprocess
import time

from oslotest import base

from magnum_swarm_mode.node.base.errors import NodeError, Temporary
from magnum_swarm_mode.node.swarm import certificates
from tests.unit.node import fakes


class WantedNamesTest(base.BaseTestCase):
    def test_all_names(self):
        """Own, floating and extra addresses, the loopback address and the host's name."""
        config = fakes.parse_config(
            managers={"0": {"address": "10.0.0.11", "floating_address": "172.24.4.30"}},
            api={"addresses": ["172.24.4.9", "api.example.org", "fd00::9"]},
        )
        self.assertEqual(
            [
                "DNS:api.example.org",
                "DNS:m0",
                "IP:10.0.0.11",
                "IP:127.0.0.1",
                "IP:172.24.4.30",
                "IP:172.24.4.9",
                "IP:fd00::9",
            ],
            certificates.wanted_names(config, 0, "m0"),
        )

    def test_names_that_no_certificate_can_hold(self):
        """Hostile host names get into no configuration of openssl."""
        config = fakes.parse_config(api={})
        for name in ("", "a_b", "a,DNS:evil", "a\n[x]", "名", "x" * 254):
            names = certificates.wanted_names(config, 0, name)
            self.assertEqual(["IP:127.0.0.1", "IP:127.0.0.11"], names)


class RenewalTest(base.BaseTestCase):
    def test_managers_differ(self):
        """No two of five managers renew at one moment, and all leave a fifth of the life."""
        times = [certificates.renewal_time(0, 1000, index) for index in range(5)]
        self.assertEqual([600, 650, 700, 750, 800], times)

    def test_reasons(self):
        """A certificate is needed when there is none, names are missing or its time has come."""
        current = {"issued": 0, "expires": 1000, "names": ["DNS:a", "IP:1"]}
        reason = certificates.reason_to_issue
        self.assertEqual("", reason(current, ["DNS:a"], 0, 599, ""))
        self.assertIn("life", reason(current, ["DNS:a"], 0, 600, ""))
        self.assertEqual("", reason(current, ["DNS:a"], 1, 600, ""))
        self.assertIn("names", reason(current, ["DNS:b"], 0, 0, ""))
        self.assertIn("none", reason({}, [], 0, 0, ""))
        self.assertIn("authority", reason(current, ["DNS:a"], 0, 0, "new"))
        self.assertEqual("", reason({**current, "issuer": "new"}, ["DNS:a"], 0, 0, "new"))

    def test_interval(self):
        """A short life is looked at often, a long one every hour."""
        for life, seconds in ((60, 10), (600, 12), (86400, 1728), (10**8, 3600)):
            self.assertEqual(seconds, certificates.check_interval(5, 5 + life))


class IssueTest(fakes.NodeTest):
    def setUp(self):
        super().setUp()
        self.authority = self.useFixture(fakes.Authority())
        self.cloud = self.useFixture(fakes.Cloud())
        self.cloud.sign = self.authority.sign
        self.cloud.ca = self.authority.pem
        self.config = fakes.parse_config(**self.cloud.sections())

    def _issue(self):
        certificates.issue(self.paths, ["IP:127.0.0.11", "DNS:m0"], 0, self.config)

    def _text(self):
        return subprocess.run(
            ["openssl", "x509", "-in", str(self.paths.certificate), "-noout", "-text"],
            capture_output=True,
            text=True,
            check=True,
        ).stdout

    def test_issue(self):
        """Key and certificate are in one file of root's, the CA beside it."""
        self._issue()
        text = self._text()
        self.assertIn("CN = swarm-manager-0", text)
        self.assertIn("TLS Web Server Authentication, TLS Web Client Authentication", text)
        self.assertIn("IP Address:127.0.0.11, DNS:m0", text)
        self.assertEqual(0o600, self.paths.certificate.stat().st_mode & 0o777)
        self.assertEqual(self.authority.pem.strip(), self.paths.cluster_ca.read_text().strip())
        self.assertIn("PRIVATE KEY", self.paths.certificate.read_text())

    def test_key_never_leaves(self):
        """What goes to Magnum is a signing request and no key."""
        self._issue()
        sent = json.dumps([request.body for request in self.cloud.requests])
        self.assertIn("BEGIN CERTIFICATE REQUEST", sent)
        self.assertNotIn("PRIVATE KEY", sent)

    def test_known(self):
        """What is needed to renew it later is written with it."""
        self.assertEqual({}, certificates.known(self.paths))
        self._issue()
        known = certificates.known(self.paths)
        self.assertAlmostEqual(time.time(), known["issued"], delta=30)
        self.assertAlmostEqual(86400, known["expires"] - known["issued"], delta=60)
        self.assertEqual(["IP:127.0.0.11", "DNS:m0"], known["names"])

    def test_each_has_its_own_key(self):
        """A renewal makes a new key."""
        self._issue()
        first = self.paths.certificate.read_text()
        self._issue()
        self.assertNotEqual(first, self.paths.certificate.read_text())

    def test_wrong_authority(self):
        """A certificate of another CA is not put in place, and the old one stays."""
        self._issue()
        before = self.paths.certificate.read_text()
        self.cloud.sign = self.useFixture(fakes.Authority()).sign
        error = self.assertRaises(NodeError, self._issue)
        self.assertNotIsInstance(error, Temporary)
        self.assertNotIn("PRIVATE KEY", str(error))
        self.assertEqual(before, self.paths.certificate.read_text())

    def test_wrong_key(self):
        """A certificate for another key is not put in place."""
        other = pathlib.Path(self.authority.pair()).read_text().partition("-----BEGIN PRIV")[0]
        self.cloud.sign = lambda csr: other
        error = self.assertRaises(NodeError, self._issue)
        self.assertIn("not for this key", str(error))
        self.assertFalse(self.paths.certificate.exists())

    def test_rubbish(self):
        """What is no certificate is not put in place."""
        self.cloud.sign = lambda csr: "hello"
        self.assertRaises(NodeError, self._issue)
        self.assertFalse(self.paths.certificate.exists())

    def test_no_file_is_left_behind(self):
        """Neither key nor request lie about in a temporary directory."""
        self._issue()
        self.assertEqual(
            ["cluster-ca.pem", "manager.pem"],
            sorted(path.name for path in self.paths.certificate.parent.iterdir()),
        )
