# SPDX-License-Identifier: Apache-2.0
import time
from email.utils import formatdate

from oslotest import base

from magnum_swarm_mode.node.base import openstack
from magnum_swarm_mode.node.base.errors import NodeError, Temporary
from tests.unit.node import fakes


class ProxyTest(base.BaseTestCase):
    def _proxy_for(self, url, no_proxy):
        engine = {"http_proxy": "http://p:1", "https_proxy": "http://p:2", "no_proxy": no_proxy}
        return openstack.proxy_for(fakes.parse_config(engine=engine), url)

    def test_kinds(self):
        """Each kind of URL has its proxy; without one it is reached directly."""
        self.assertEqual("http://p:1", self._proxy_for("http://k:5000/v3", ""))
        self.assertEqual("http://p:2", self._proxy_for("https://k:5000/v3", "other"))
        self.assertEqual("", openstack.proxy_for(fakes.parse_config(), "http://k:5000/v3"))

    def test_exceptions(self):
        """Addresses, networks and domains are excepted, with all that is below them."""
        for url, no_proxy in (
            ("http://172.24.4.1:5000/v3", "x, 172.24.4.1"),
            ("http://172.24.4.1:5000/v3", "10.0.0.0/8,172.24.0.0/16"),
            ("http://[fd00::1]:5000/v3", "fd00::/8"),
            ("http://keystone.example:5000/v3", "Example"),
            ("http://keystone.example:5000/v3", ".example"),
            ("http://keystone.example:5000/v3", "*.example"),
            ("http://keystone.example:5000/v3", "keystone.example:5000"),
            ("https://anything", "*"),
        ):
            self.assertEqual("", self._proxy_for(url, no_proxy), no_proxy)
        for no_proxy in ("keystone", "stone.example", "10.0.0.0/8", "example.org"):
            self.assertEqual(
                "http://p:1", self._proxy_for("http://keystone.example:5000", no_proxy), no_proxy
            )

    def test_calls_go_there(self):
        """Keystone, Magnum and Heat are asked through the proxy that the cluster has."""
        cloud = self.useFixture(fakes.Cloud())
        proxy = self.useFixture(fakes.Forwarder())
        sections = cloud.sections()
        config = fakes.parse_config(**sections, engine={"http_proxy": proxy.url})
        openstack.check_clock(config, f"{cloud.url}/v3")
        openstack.sign(config, "CSR")
        openstack.signal(config, "server", "SUCCESS", "r", "d")
        self.assertEqual(
            ["/v3", "/v3/auth/tokens", "/v1/certificates", "/v3/auth/tokens", "/signal"],
            [line.split()[1].removeprefix(cloud.url) for line in proxy.asked],
        )
        seen = len(proxy.asked)
        engine = {"http_proxy": proxy.url, "no_proxy": "127.0.0.1"}
        openstack.sign(fakes.parse_config(**sections, engine=engine), "CSR")
        self.assertEqual(seen, len(proxy.asked))


class OpenStackTest(base.BaseTestCase):
    def setUp(self):
        super().setUp()
        self.cloud = self.useFixture(fakes.Cloud())
        self.config = fakes.parse_config(**self.cloud.sections())

    def test_sign(self):
        """A request is signed for this cluster, with the application credential."""
        self.assertEqual("certificate of CSR\n", openstack.sign(self.config, "CSR"))
        token, sign = self.cloud.requests
        self.assertEqual(
            {
                "methods": ["application_credential"],
                "application_credential": {"id": "id", "secret": "credential-secret"},
            },
            token.body["auth"]["identity"],
        )
        self.assertEqual({"cluster_uuid": fakes.UUID, "csr": "CSR"}, sign.body)

    def test_cluster_ca_and_status(self):
        """CA and status are those of this cluster."""
        self.assertEqual("the CA\n", openstack.cluster_ca(self.config))
        self.assertEqual("CREATE_IN_PROGRESS", openstack.cluster_status(self.config))

    def test_refusal_is_final(self):
        """Whoever is refused by Magnum is told so with Magnum's words."""
        self.cloud.refuse = 403
        error = self.assertRaises(NodeError, openstack.sign, self.config, "CSR")
        self.assertNotIsInstance(error, Temporary)
        self.assertIn("403 it is refused", str(error))

    def test_unwell_is_temporary(self):
        """A service that is not well may be asked again."""
        self.cloud.failures = 1
        self.assertRaises(Temporary, openstack.cluster_status, self.config)

    def test_answer_without_certificate(self):
        """An answer that lacks what was asked for is an error."""
        self.cloud.special["/v1/certificates"] = (201, {})
        error = self.assertRaises(NodeError, openstack.sign, self.config, "CSR")
        self.assertEqual("Magnum's answer holds no pem", str(error))

    def test_signal(self):
        """Heat gets status, the server's uuid, reason and data from its own user."""
        openstack.signal(self.config, "server", "FAILURE", "r", "d")
        self.assertEqual(
            [{"status": "FAILURE", "id": "server", "reason": "r", "data": "d"}],
            self.cloud.signals,
        )
        auth = self.cloud.requests[0].body["auth"]
        self.assertEqual({"project": {"id": "p"}}, auth["scope"])
        self.assertEqual(
            {"id": "u", "password": "signal-password"}, auth["identity"]["password"]["user"]
        )


class CheckClockTest(base.BaseTestCase):
    def setUp(self):
        super().setUp()
        self.cloud = self.useFixture(fakes.Cloud())

    def _check(self, offset):
        self.cloud.date = formatdate(time.time() + offset, usegmt=True)
        openstack.check_clock(fakes.parse_config(), f"{self.cloud.url}/v3")

    def test_small_difference(self):
        """A few minutes do no harm."""
        self._check(200)
        self._check(-200)

    def test_a_day_off(self):
        """A clock that is a day off is named, with the direction."""
        error = self.assertRaises(Temporary, self._check, 86400)
        self.assertIn("clock is -86", str(error))
        error = self.assertRaises(Temporary, self._check, -86400)
        self.assertIn("clock is +86", str(error))

    def test_nonsense_is_no_clock(self):
        """A Date header that is none says nothing."""
        self.cloud.date = "noon"
        openstack.check_clock(fakes.parse_config(), f"{self.cloud.url}/v3")

    def test_no_date(self):
        """Where nothing is dated, as behind uWSGI, a token says when it was issued."""
        self.cloud.date = "noon"
        config = fakes.parse_config(**self.cloud.sections())
        for offset, wrong in ((0, False), (86400, True), (-86400, True)):
            when = time.gmtime(time.time() + offset)
            self.cloud.issued_at = time.strftime("%Y-%m-%dT%H:%M:%S.000000Z", when)
            if wrong:
                error = self.assertRaises(
                    Temporary, openstack.check_clock, config, f"{self.cloud.url}/v3"
                )
                self.assertRegex(str(error), "clock is [-+]86")
            else:
                openstack.check_clock(config, f"{self.cloud.url}/v3")
        for nonsense in ("", "yesterday", None):
            self.cloud.issued_at = nonsense
            openstack.check_clock(config, f"{self.cloud.url}/v3")

    def test_no_answer(self):
        """A service that does not answer says nothing about the clock."""
        openstack.check_clock(fakes.parse_config(), "http://127.0.0.1:1/v3")

    def test_unverified_tls(self):
        """The date is had from a server whose certificate a wrong clock would refuse."""
        context = self.useFixture(fakes.Authority()).server_context()
        server = self.useFixture(fakes.Server(context=context))
        server.answers["GET /v3"] = (200, {}, {})
        openstack.check_clock(fakes.parse_config(), f"{server.url}/v3")
