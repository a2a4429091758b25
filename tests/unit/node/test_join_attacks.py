# SPDX-License-Identifier: Apache-2.0
"""What clients of the join server can do to it, at real sockets."""

import contextlib
import json
import socket
import ssl
import threading
import time

import fixtures
from hypothesis import given
from hypothesis import strategies as st

from magnum_swarm_mode.node.base.errors import NodeError
from magnum_swarm_mode.node.swarm import join_server
from tests.unit.admission.properties import PROPERTY
from tests.unit.node import served

GOOD = b'{"secret": "bootstrap-secret"}'
ATTACKERS = 200
IN_TIME = 2  # seconds for the answer to a client in good order


def request(body=GOOD, length=None, headers=b""):
    """Return the bytes of a request; its length is that of the body unless given."""
    said = str(len(body)).encode() if length is None else length
    head = b"POST /v1/worker-token HTTP/1.1\r\nHost: m\r\nContent-Length: " + said
    return head + b"\r\n" + headers + b"\r\n" + body


class JoinServerTest(served.ServedCase):
    def setUp(self):
        super().setUp()
        self.errors: list[str] = []
        # An error that nothing caught, which would be written as a traceback.
        self.useFixture(
            fixtures.MonkeyPatch(
                "threading.excepthook", lambda given: self.errors.append(repr(given.exc_value))
            )
        )

    def connect(self, source="127.0.0.40"):
        """Return a plain connection from an address; the caller closes it."""
        return socket.create_connection(("127.0.0.1", self.port), 10, (source, 0))

    def ask(self, sent, source="127.0.0.40"):
        """Return the status of the answer to some bytes; 0 where the connection is ended."""
        with (
            contextlib.suppress(OSError),
            self.connect(source) as raw,
            self.context.wrap_socket(raw, server_hostname="127.0.0.1") as secured,
        ):
            secured.sendall(sent)
            answer = secured.recv(100)
            return int(answer.split()[1]) if answer else 0
        return 0


class Attackers(threading.Thread):
    """Clients that never finish, from 50 addresses, and come again as soon as they are cut off."""

    def __init__(self, test, kinds):
        super().__init__(daemon=True)
        self.test, self.kinds = test, kinds
        self.clients = {}
        self.connections = 0
        self.ending = threading.Event()
        self.full = threading.Event()

    def run(self):
        while not self.ending.is_set():
            for number in range(ATTACKERS):
                if not self._lives(number):
                    with contextlib.suppress(OSError):
                        kind = self.kinds[number % len(self.kinds)]
                        self.clients[number] = kind(self.test, f"127.0.2.{1 + number % 50}")
                        self.connections += 1
            self.full.set()
            self.ending.wait(0.02)
        for client in self.clients.values():
            client.close()

    def _lives(self, number):
        if number not in self.clients:
            return False
        client = self.clients[number]
        try:
            client.settimeout(0)
            if client.recv(100):
                return True
        except (BlockingIOError, ssl.SSLWantReadError):
            return True
        except OSError:
            pass
        client.close()
        del self.clients[number]
        return False


def idle(test, source):
    return test.connect(source)


def half_a_handshake(test, source):
    raw = test.connect(source)
    raw.sendall(b"\x16\x03\x01\x02\x00\x01\x00")
    return raw


def a_byte_at_times(test, source):
    secured = test.context.wrap_socket(test.connect(source), server_hostname="127.0.0.1")
    secured.sendall(b"P")
    return secured


def endless_headers(test, source):
    secured = test.context.wrap_socket(test.connect(source), server_hostname="127.0.0.1")
    secured.sendall(b"POST /v1/worker-token HTTP/1.1\r\n" + b"X: " + b"x" * 4000)
    return secured


class SlowClientsTest(JoinServerTest):
    def _attacked(self, *kinds):
        """Return the seconds to each of 20 answers while the attackers are connected."""
        attackers = Attackers(self, kinds)
        attackers.start()
        self.addCleanup(attackers.join, 10)
        self.addCleanup(attackers.ending.set)
        self.assertTrue(attackers.full.wait(60))
        seconds = []
        for number in range(20):
            began = time.monotonic()
            self.assertEqual(200, self.ask(request(), f"127.0.1.{1 + number}"), str(number))
            seconds.append(time.monotonic() - began)
        self.assertGreaterEqual(attackers.connections, ATTACKERS)
        return seconds

    def test_clients_of_all_kinds(self):
        """An honest worker is answered in time beside 200 slow or broken clients."""
        kinds = (idle, half_a_handshake, a_byte_at_times, endless_headers)
        self.assertGreater(IN_TIME, max(self._attacked(*kinds)))

    def test_idle_clients(self):
        """An honest worker is answered in time beside 200 connections that say nothing."""
        self.assertGreater(IN_TIME, max(self._attacked(idle)))

    def test_one_address(self):
        """An address that has many connections takes the places of none but itself."""
        patient = self.connect("127.0.0.50")
        self.addCleanup(patient.close)
        for _ in range(ATTACKERS):
            self.addCleanup(self.connect("127.0.2.1").close)
        self.assertEqual(200, self.ask(request()))
        patient.settimeout(0)
        self.assertRaises(BlockingIOError, patient.recv, 1)

    def test_threads(self):
        """However many connections there are, no more wait than there are places."""
        for number in range(ATTACKERS):
            self.addCleanup(self.connect(f"127.0.2.{1 + number % 50}").close)
        # It is served after those that came before.
        self.assertEqual(200, self.ask(request()))

        deadline = time.monotonic() + join_server.CLIENT_TIMEOUT / 2
        while (found := self._at_work()) > join_server.MOST_CLIENTS:
            self.assertGreater(deadline, time.monotonic(), f"{found} connections wait")
            time.sleep(0.05)

    def _at_work(self):
        return sum("process_request_thread" in one.name for one in threading.enumerate())

    def test_one_deadline(self):
        """A client that sends a byte again and again has no more time than a silent one."""
        self.useFixture(fixtures.MonkeyPatch(f"{join_server.__name__}.CLIENT_TIMEOUT", 1))
        secured = a_byte_at_times(self, "127.0.0.50")
        self.addCleanup(secured.close)
        deadline = time.monotonic() + 5

        def drip():
            while time.monotonic() < deadline:
                secured.sendall(b"O")
                time.sleep(0.1)

        self.assertRaises(OSError, drip)
        self.assertGreater(deadline, time.monotonic())


class BrokenRequestsTest(JoinServerTest):
    def _statuses(self, requests):
        found = []
        for number, sent in enumerate(requests):
            found.append(self.ask(sent, f"127.0.1.{1 + number}"))
        self.assertEqual([], self.errors)
        self.assertEqual(200, self.ask(request()))
        return found

    def test_lengths(self):
        """A length that is no number, or too large, is refused."""
        lengths = ("²".encode("latin-1"), b"-1", b"+5", b"1_0", b"0x10", b"9" * 5, b"9" * 6000, b"")
        wanted = [400, 400, 400, 400, 400, 413, 413, 413]
        self.assertEqual(wanted, self._statuses([request(length=one) for one in lengths]))

    def test_bodies(self):
        """A body that is no JSON object in UTF-8 is refused."""
        bodies = (
            b"[" * 4000,
            b'{"secret":' * 400,
            GOOD.decode().encode("utf-16"),
            GOOD.decode().encode("utf-16-be"),
            GOOD.decode().encode("utf-32"),
            b"\xef\xbb\xbf" + GOOD,
            b"[]",
            b'"secret"',
            b"1",
            b"null",
            b'{"secret": "\\ud800"}',
            b'{"secret": ' + b"9" * 4000 + b"}",
            b"",
        )
        self.assertEqual([400] * len(bodies), self._statuses([request(one) for one in bodies]))

    def test_headers(self):
        """A request whose head is too large is read up to a bound, and refused or ended."""
        heads = (
            b"X: " + b"x" * 100_000 + b"\r\n",
            b"X: " + b"x" * 9000 + b"\r\n",
            b"X: y\r\n" * 5000,
            b"X: y\r\n" * 150,
        )
        for status in self._statuses([request(headers=one) for one in heads]):
            self.assertIn(status, (0, 400, 431))

    @PROPERTY
    @given(
        st.one_of(
            st.binary(max_size=200),
            st.recursive(
                st.none() | st.booleans() | st.floats() | st.text(max_size=20),
                lambda inner: (
                    st.lists(inner, max_size=3)
                    | st.dictionaries(st.sampled_from(["secret", "x"]), inner, max_size=3)
                ),
            ).map(lambda value: json.dumps(value).encode()),
        )
    )
    def test_any_body(self, body):
        """Every body has an answer or an error with a status."""
        tokens = join_server.Tokens("bootstrap-secret", self.tokens._docker)
        try:
            self.assertIn("token", tokens.answer("127.0.0.40", body))
        except NodeError as error:
            self.assertIn(error.status, (400, 401))


class TlsTest(JoinServerTest):
    def _connects(self, **settings):
        for name, value in settings.items():
            if name == "ciphers":
                self.context.set_ciphers(value)
            else:
                setattr(self.context, name, value)
        with self.connect() as raw:
            return self.context.wrap_socket(raw, server_hostname="127.0.0.1").version()

    def test_versions(self):
        """TLS 1.2 and 1.3 are spoken."""
        self.assertEqual("TLSv1.3", self._connects())
        self.assertEqual("TLSv1.2", self._connects(maximum_version=ssl.TLSVersion.TLSv1_2))

    def test_no_cbc(self):
        """A client of TLS 1.2 that offers nothing but CBC suites is refused."""
        self.context.maximum_version = ssl.TLSVersion.TLSv1_2
        for suites in ("ECDHE-ECDSA-AES128-SHA256", "ECDHE-ECDSA-AES256-SHA"):
            self.assertRaises(OSError, self._connects, ciphers=suites)
        self.assertEqual("TLSv1.2", self._connects(ciphers="ECDHE-ECDSA-AES128-GCM-SHA256"))
