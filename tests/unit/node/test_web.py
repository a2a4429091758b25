# SPDX-License-Identifier: Apache-2.0
import base64
import pathlib
import ssl

import fixtures
from oslotest import base

from magnum_swarm_mode.node.base import web
from magnum_swarm_mode.node.base.errors import NodeError, Temporary
from tests.unit.node import fakes


class CipherTest(base.BaseTestCase):
    def test_aead(self):
        """Nodes, as clients, encrypt only with authentication, from TLS 1.2 on."""
        authority = self.useFixture(fakes.Authority())
        pair = str(authority.pair())
        for context in (web.tls(authority.pem, pair), web.tls()):
            self.assertEqual(ssl.TLSVersion.TLSv1_2, context.minimum_version)
            self.assertEqual([], [one["name"] for one in context.get_ciphers() if not one["aead"]])


class RequestTest(base.BaseTestCase):
    def setUp(self):
        super().setUp()
        self.server = self.useFixture(fakes.Server())

    def _answer(self, status, body, headers=None):
        self.server.answers["GET /x"] = (status, headers or {}, body)
        return web.request("GET", f"{self.server.url}/x")

    def test_json(self):
        """Header names come in lower case, JSON is parsed."""
        headers, body = self._answer(200, {"a": [1]}, {"X-Thing": "v"})
        self.assertEqual({"a": [1]}, body)
        self.assertEqual("v", headers["x-thing"])

    def test_text_and_nothing(self):
        """What is no JSON stays text."""
        self.assertEqual("OK", self._answer(200, b"OK")[1])
        self.assertEqual("", self._answer(204, None)[1])

    def test_body_and_query(self):
        """A body is sent as JSON, a query stays in the path."""
        self.server.answers["POST /x?a=b"] = (200, {}, 1)
        web.request("POST", f"{self.server.url}/x?a=b", {"k": "v"}, {"X-Auth-Token": "t"})
        request = self.server.requests[0]
        self.assertEqual({"k": "v"}, request.body)
        self.assertEqual("t", request.headers["X-Auth-Token"])

    def test_refusals_are_final(self):
        """A status of 400 or more is an error with the service's own sentence."""
        for status, body, text in (
            (400, {"message": "Docker says"}, "Docker says"),
            (401, {"error": {"code": 401, "message": "Keystone says"}}, "Keystone says"),
            (403, {"errors": [{"status": 403, "detail": "Magnum says"}]}, "Magnum says"),
            (409, b"plain text", "plain text"),
            (404, None, ""),
        ):
            error = self.assertRaises(NodeError, self._answer, status, body)
            self.assertNotIsInstance(error, Temporary)
            self.assertEqual(status, error.status)
            self.assertEqual(f"GET {self.server.url}/x: {status} {text}", str(error))

    def test_temporary_statuses(self):
        """What may pass by itself is temporary."""
        for status in (408, 429, 500, 502, 503, 504):
            error = self.assertRaises(Temporary, self._answer, status, {"message": "m"})
            self.assertEqual(status, error.status)

    def test_no_server(self):
        """A refused connection is temporary and says where."""
        error = self.assertRaises(Temporary, web.request, "GET", "http://127.0.0.1:1/x?secret=1")
        self.assertIn("GET http://127.0.0.1:1/x: ", str(error))

    def test_no_unix_socket(self):
        """A missing unix socket is temporary."""
        path = pathlib.Path(self.useFixture(fixtures.TempDir()).path, "no.sock")
        self.assertRaises(Temporary, web.request, "GET", "http://e/x", socket_path=str(path))

    def test_rubbish_is_temporary(self):
        """An answer that is not HTTP is temporary."""
        server = self.useFixture(
            fakes.Server(context=self.useFixture(fakes.Authority()).server_context())
        )
        self.assertRaises(Temporary, web.request, "GET", f"http://127.0.0.1:{server.port}/x")

    def test_proxy(self):
        """A proxy is asked for the whole URL, with its user and password."""
        proxy = self.useFixture(fakes.Forwarder())
        self.server.answers["GET /x?a=b"] = (200, {}, 1)
        url = f"{self.server.url}/x?a=b"
        via = proxy.url.replace("//", "//us%40er:word@")
        self.assertEqual(1, web.request("GET", url, headers={"X-Auth-Token": "t"}, proxy=via)[1])
        self.assertEqual([f"GET {url} HTTP/1.1"], proxy.asked)
        login = base64.b64encode(b"us@er:word").decode()
        self.assertEqual([f"Basic {login}"], proxy.logins)
        self.assertEqual("t", self.server.requests[0].headers["X-Auth-Token"])

    def test_proxy_is_not_there(self):
        """A proxy that does not answer may come back."""
        url = f"{self.server.url}/x"
        self.assertRaises(Temporary, web.request, "GET", url, proxy="http://127.0.0.1:1")
        error = self.assertRaises(NodeError, web.request, "GET", url, proxy="http://127.0.0.1:x")
        self.assertNotIsInstance(error, Temporary)

    def test_host(self):
        """Only an IPv6 address gets brackets."""
        self.assertEqual("127.0.0.1", web.host("127.0.0.1"))
        self.assertEqual("[::1]", web.host("::1"))


class TlsTest(base.BaseTestCase):
    def setUp(self):
        super().setUp()
        self.authority = self.useFixture(fakes.Authority())
        self.server = self.useFixture(fakes.Server(context=self.authority.server_context()))
        self.server.answers["GET /x"] = (200, {}, {})

    def test_trusted(self):
        """A server with a certificate of the given CA is trusted."""
        context = web.tls(self.authority.pem)
        self.assertEqual({}, web.request("GET", f"{self.server.url}/x", context=context)[1])

    def test_through_a_proxy(self):
        """TLS goes through a tunnel, at whose end the server's certificate is looked at."""
        proxy = self.useFixture(fakes.Forwarder())
        context = web.tls(self.authority.pem)
        via = proxy.url.replace("//", "//user:word@")
        url = f"{self.server.url}/x"
        self.assertEqual({}, web.request("GET", url, context=context, proxy=via)[1])
        self.assertEqual(f"CONNECT 127.0.0.1:{self.server.port}", proxy.asked[0].rpartition(" ")[0])
        self.assertEqual(["Basic " + base64.b64encode(b"user:word").decode()], proxy.logins)
        context = web.tls(self.useFixture(fakes.Authority()).pem)
        self.assertRaises(NodeError, web.request, "GET", url, context=context, proxy=via)

    def test_other_authority_is_final(self):
        """A certificate of another CA is an error that is not tried again."""
        context = web.tls(self.useFixture(fakes.Authority()).pem)
        error = self.assertRaises(
            NodeError, web.request, "GET", f"{self.server.url}/x", context=context
        )
        self.assertNotIsInstance(error, Temporary)
        # A clock that is off looks the same otherwise.
        self.assertIn("; this server's time is ", str(error))

    def test_other_name_is_final(self):
        """A certificate for another address is an error that is not tried again."""
        context = web.tls(self.authority.pem)
        url = f"https://localhost:{self.server.port}/x"
        error = self.assertRaises(NodeError, web.request, "GET", url, context=context)
        self.assertNotIsInstance(error, Temporary)

    def test_bad_pem(self):
        """What is no certificate is refused."""
        self.assertRaises(NodeError, web.tls, "no PEM")
        self.assertRaises(NodeError, web.tls, self.authority.pem, "/nonexistent")
