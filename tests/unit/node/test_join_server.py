# SPDX-License-Identifier: Apache-2.0
import hashlib
import http.client
import json
import socket
import ssl

from magnum_swarm_mode.node.base import docker, web
from magnum_swarm_mode.node.base.errors import NodeError, Temporary
from magnum_swarm_mode.node.swarm import join_server
from tests.unit.node import fakes, served

GOOD = json.dumps({"secret": "bootstrap-secret"}).encode()
CALLER = "127.0.0.40"


class TokensTest(fakes.NodeTest):
    def setUp(self):
        super().setUp()
        self.engine = self.useFixture(fakes.Engine(self.paths.docker_socket))
        self.engine.enter("m0", "127.0.0.11")
        self.engine.add_node("m1", "127.0.0.12", reachability="unreachable")
        self.now = 100.0
        self.tokens = join_server.Tokens(
            "bootstrap-secret",
            docker.Docker(socket_path=self.paths.docker_socket),
            lambda: self.now,
        )

    def _status(self, body, address=CALLER):
        return self.assertRaises(NodeError, self.tokens.answer, address, body).status

    def test_granted(self):
        """Who knows the secret gets the worker token, and living managers only."""
        self.assertEqual(
            {"token": "SWMTKN-1-w", "managers": ["127.0.0.11:2377"]},
            self.tokens.answer(CALLER, GOOD),
        )

    def test_wrong_secret(self):
        """A wrong secret gets nothing, and its address has to wait before it guesses again."""
        self.assertEqual(401, self._status(b'{"secret": "bootstrap-secreT"}'))
        self.now += 4.9
        self.assertEqual(429, self._status(GOOD))
        self.now += 5.1
        self.tokens.answer(CALLER, GOOD)

    def test_further_group(self):
        """The secret of a further node group is one whose digest a config of the swarm bears."""
        secret = "more-secret"
        asked = json.dumps({"secret": secret}).encode()
        self.assertEqual(401, self._status(asked))
        digest = hashlib.sha256(secret.encode()).hexdigest()
        self.engine.configs["c"] = {"ID": "c", "Spec": {"Labels": {join_server.GROUP: digest}}}
        self.now += 10

        self.assertEqual("SWMTKN-1-w", self.tokens.answer(CALLER, asked)["token"])

    def test_rubbish(self):
        """A body that is not as expected is refused."""
        for body in (b"", b"{", b"[]", b"{}", b'{"secret": 1}', b'"x"', b"\xff"):
            self.now += 10
            self.assertEqual(400, self._status(body), str(body))

    def test_rate(self):
        """One address may not ask without a pause; another one may meanwhile."""
        self.tokens.answer(CALLER, GOOD)
        self.assertEqual(429, self._status(GOOD))
        self.tokens.answer("127.0.0.41", GOOD)
        self.now += 0.6
        self.tokens.answer(CALLER, GOOD)

    def test_forgets_callers(self):
        """Callers of the past cost no memory."""
        for number in range(50):
            self.tokens.answer(f"127.0.1.{number}", GOOD)
            self.now += 1
        self.assertLessEqual(len(self.tokens._next), 2)

    def test_address_in_the_swarm(self):
        """An address that is ready in the swarm gets no token."""
        self.engine.add_node("w", CALLER, "worker")
        self.assertEqual(409, self._status(GOOD))

    def test_dead_predecessor(self):
        """The dead entry of the address is removed before the token is given."""
        self.engine.add_node("w", CALLER, "worker", "down")
        self.tokens.answer(CALLER, GOOD)
        self.assertIn("DELETE /v1.41/nodes/w?force=true", self.engine.calls())
        self.assertEqual(["m0", "m1"], [node["ID"] for node in self.engine.nodes])

    def test_nodes_are_asked_for_once_a_second(self):
        """A thousand workers at once do not make the engine list a thousand nodes each time."""
        for number in range(5):
            self.tokens.answer(f"127.0.1.{number}", GOOD)
        self.assertEqual(1, self.engine.calls().count("GET /v1.41/nodes"))
        self.assertEqual(5, self.engine.calls().count("GET /v1.41/swarm"))
        self.now += 1.1
        self.tokens.answer(CALLER, GOOD)
        self.assertEqual(2, self.engine.calls().count("GET /v1.41/nodes"))

    def test_no_swarm_here(self):
        """A manager that cannot tell now says so as temporary."""
        self.engine.error = "no leader"
        self.assertRaises(Temporary, self.tokens.answer, CALLER, GOOD)


class ServerTest(served.ServedCase):
    def _post(self, path="/v1/worker-token", body=None):
        url = f"https://127.0.0.1:{self.port}{path}"
        return web.request("POST", url, body, context=self.context)[1]

    def test_over_tls(self):
        """The token goes to a caller that verified the server."""
        self.assertEqual("SWMTKN-1-w", self._post(body={"secret": "bootstrap-secret"})["token"])

    def test_statuses(self):
        """Refusals are HTTP statuses with a sentence."""
        for path, body, status, text in (
            ("/", {"secret": "x"}, 404, "nothing here"),
            ("/v1/worker-token", {"secret": "x" * 5000}, 413, "4096"),
            ("/v1/worker-token", {"secret": "x"}, 401, "secret is wrong"),
        ):
            error = self.assertRaises(NodeError, self._post, path, body)
            self.assertEqual(status, error.status)
            self.assertIn(text, str(error))

    def test_no_swarm_here(self):
        """Without a leader the answer is 503."""
        self.engine.error = "no leader"
        error = self.assertRaises(Temporary, self._post, body={"secret": "bootstrap-secret"})
        self.assertEqual(503, error.status)

    def test_only_post(self):
        """Nothing is to be had by reading."""
        connection = http.client.HTTPSConnection("127.0.0.1", self.port, context=self.context)
        self.addCleanup(connection.close)
        connection.request("GET", "/v1/worker-token")
        self.assertEqual(501, connection.getresponse().status)

    def test_no_length(self):
        """A body without a length is refused, not waited for."""
        raw = socket.create_connection(("127.0.0.1", self.port))
        self.addCleanup(raw.close)
        secured = self.context.wrap_socket(raw, server_hostname="127.0.0.1")
        self.addCleanup(secured.close)
        secured.sendall(b"POST /v1/worker-token HTTP/1.0\r\n\r\n")
        self.assertIn(b" 413 ", secured.recv(1000))

    def test_silent_client_keeps_nobody_waiting(self):
        """A client that says nothing does not stop the next one."""
        silent = socket.create_connection(("127.0.0.1", self.port))
        self.addCleanup(silent.close)
        self._post(body={"secret": "bootstrap-secret"})

    def test_plain_text_is_cut_off(self):
        """Without TLS the connection ends."""
        raw = socket.create_connection(("127.0.0.1", self.port))
        self.addCleanup(raw.close)
        raw.sendall(b"POST /v1/worker-token HTTP/1.0\r\n\r\n")
        try:
            received = raw.recv(1000)
        except ConnectionResetError:
            received = b""
        self.assertNotIn(b"HTTP/1", received)

    def test_too_many_clients(self):
        """Whoever comes on top of the most clients is cut off; when they leave it is served."""
        places = [self.server.places.acquire(blocking=False) for _ in range(64)]
        self.assertTrue(all(places))
        self.assertRaises(Temporary, self._post, body={"secret": "bootstrap-secret"})
        for _ in places:
            self.server.places.release()
        self._post(body={"secret": "bootstrap-secret"})

    def test_place_is_given_back(self):
        """A client that failed gives its place back."""
        for _ in range(70):
            raw = socket.create_connection(("127.0.0.1", self.port))
            raw.sendall(b"x" * 100)
            raw.close()
        stranger = ssl.create_default_context()
        for _ in range(3):
            raw = socket.create_connection(("127.0.0.1", self.port))
            try:
                self.assertRaises(OSError, stranger.wrap_socket, raw, server_hostname="127.0.0.1")
            finally:
                raw.close()
        self._post(body={"secret": "bootstrap-secret"})
