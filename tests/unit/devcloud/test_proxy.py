# SPDX-License-Identifier: Apache-2.0
from devcloud import proxy
from devcloud.proxy import Upstream
from tests.unit.devcloud import base

MIRROR = "http://m.example/debian"


class UpstreamTest(base.TestCase):
    def test_proxy_of_apt(self) -> None:
        """The mirror's own setting comes first, then that of its kind, then the environment."""
        dump = (
            'APT::Architecture "amd64";\n'
            'Acquire::http::Proxy "http://all:1";\n'
            'Acquire::HTTP::Proxy::m.example "DIRECT";\n'
        )
        settings = proxy.parse_apt_configuration(dump)
        environment = {"http_proxy": "http://environment:2"}
        self.assertEqual("", proxy.configured_proxy(MIRROR, settings, environment))
        other = "http://other/debian"
        self.assertEqual("http://all:1", proxy.configured_proxy(other, settings, environment))
        self.assertEqual("http://environment:2", proxy.configured_proxy(other, {}, environment))
        self.assertEqual("", proxy.configured_proxy("https://other/debian", {}, environment))

    def test_exceptions(self) -> None:
        """What the environment excepts is reached directly."""
        environment = {"HTTP_PROXY": "http://environment:2", "NO_PROXY": "x,.example"}
        self.assertEqual("", proxy.configured_proxy(MIRROR, {}, environment))

    def test_nothing_configured(self) -> None:
        """Most machines have no proxy."""
        self.assertEqual("", proxy.configured_proxy(MIRROR, {}, {}))


class ConfigurationTest(base.TestCase):
    def test_plain_mirror(self) -> None:
        """A mirror without TLS is asked directly, at its own port."""
        lines = proxy.configuration(Upstream("http://m.example:8080/debian")).splitlines()
        self.assertIn("http_port 172.24.4.1:13128", lines)
        self.assertIn("acl servers src 172.24.4.20-172.24.4.250", lines)
        self.assertIn("acl mirror dstdomain m.example", lines)
        self.assertIn("acl mirror_port port 8080", lines)
        self.assertEqual([], [line for line in lines if line.startswith("cache_peer")])

    def test_mirror_with_tls(self) -> None:
        """The proxy adds the TLS of a mirror that has it."""
        text = proxy.configuration(Upstream("https://m.example/debian"))
        self.assertIn("acl mirror_port port 80\n", text)
        self.assertIn(
            "cache_peer m.example parent 443 0 no-query no-digest originserver tls\n", text
        )
        self.assertIn("never_direct allow all\n", text)

    def test_proxy_behind(self) -> None:
        """A machine's own proxy gets its password, as the URL has it."""
        text = proxy.configuration(Upstream(MIRROR, "http://user:pass%40word@p.example:3128"))
        peer = (
            "cache_peer p.example parent 3128 0 no-query no-digest default "
            "login=user:pass%%40word\n"
        )
        self.assertIn(peer, text)
