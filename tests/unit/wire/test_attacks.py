# SPDX-License-Identifier: Apache-2.0
"""What a manager that lies can do to the conductor, over TLS on loopback addresses."""

import gzip
import json
import pathlib
import ssl
import subprocess
import sys
import threading
import time
from typing import Any

import fixtures
from oslotest import base

from magnum_swarm_mode import exceptions
from magnum_swarm_mode.swarm import client as swarm_client
from magnum_swarm_mode.swarm import transport
from magnum_swarm_mode.wire import engine
from tests.fakes import certificates, wire
from tests.fakes import docker as fake_docker
from tests.fakes.liar import Liar, answer

# What a busy machine adds to a deadline.
LATE = 10.0
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"


class LiarCase(base.BaseTestCase):
    # Seconds that a manager gets: far more than an honest one needs.
    timeout = 30.0

    def setUp(self):
        super().setUp()
        self.authority = certificates.Authority()
        pair = self.authority.client()
        self.identity = transport.Identity(self.authority.pem, pair.certificate, pair.key)

    def liar(self, lie, path="/nodes"):
        return self.useFixture(Liar(self.authority, lie, path))

    def swarm(self, port, timeout=None, nodes=11):
        swarm = swarm_client.Swarm(
            ["127.0.0.1"], self.identity, timeout or self.timeout, port, nodes=nodes
        )
        self.addCleanup(swarm.close)
        return swarm

    def problem(self, lie, path="/nodes", call=swarm_client.Swarm.nodes, nodes=11):
        """Return what is said of a manager that answers so; it takes at most the timeout."""
        liar = self.liar(lie, path)
        swarm = self.swarm(liar.port, nodes=nodes)
        began = time.monotonic()
        error = self.assertRaises(exceptions.Unavailable, call, swarm)
        self.assertLess(time.monotonic() - began, self.timeout + LATE)
        if path == "/nodes":
            self.assertLessEqual(1, liar.began)
        told = str(error)
        beginning = "The Docker API answers on no manager (127.0.0.1: "
        self.assertTrue(told.startswith(beginning), told)
        return told.removeprefix(beginning).removesuffix(").")


class RedirectTest(LiarCase):
    """Door 1: the conductor went wherever a manager sent it."""

    def setUp(self):
        super().setUp()
        self.reached: list[Any] = []

        def inner(request):
            self.reached.append((request.method, request.target))
            return 200, {"message": "an inner secret"}, {}

        self.inner = self.useFixture(wire.JsonServer(inner))
        self.other = self.useFixture(
            fake_docker.FakeDocker(self.authority.pem, self.authority.server("127.0.0.1"))
        )

    def test_elsewhere(self):
        """A redirect to another service is not followed, with any status and place."""
        places = (self.inner.url + "/x", f"https://127.0.0.1:{self.other.port}/nodes", "//[::1]/")
        for status in (301, 302, 303, 307, 308, 300, 304):
            for place in places:
                told = self.problem(
                    lambda liar, send, s=status, p=place: send(
                        answer(b"an inner secret", f"{s} Moved", f"Location: {p}")
                    )
                )
                self.assertEqual("its answer is a redirect, which is not followed", told)
        self.assertEqual([], self.reached)
        self.assertEqual([], self.other.requests)

    def test_itself(self):
        """A redirect to the same manager is not followed either."""
        liar = self.liar(
            lambda liar, send: send(answer(b"", "302 Found", "Location: /v1.45/nodes?again=1"))
        )

        self.assertRaises(exceptions.Unavailable, self.swarm(liar.port).nodes)

        self.assertEqual(1, liar.began)

    def test_change(self):
        """A change of a node is not sent anywhere else, and its text is in no message."""
        place = f"Location: {self.inner.url}/containers/create"
        liar = self.liar(
            lambda liar, send: send(answer(b"an inner secret", "307 Temporary", place)), "/update"
        )
        node = {"ID": "n", "Version": {"Index": 1}}

        error = self.assertRaises(
            exceptions.Unavailable, self.swarm(liar.port).update_node, node, {"Role": "worker"}
        )

        self.assertNotIn("secret", f"{error} {error.operator_message}")
        self.assertEqual([], self.reached)

    def test_version(self):
        """A version of the API leads to no other path."""
        versions: list[Any] = ["1.45/../../containers", "1.45@127.0.0.1", "", None, [], "9" * 9000]
        for version in versions:
            body = json.dumps({"ApiVersion": version}).encode()
            told = self.problem(lambda liar, send, b=body: send(answer(b)), "/version")
            self.assertEqual("it tells no version of its API", told)

    def test_environment(self):
        """Neither a proxy, nor .netrc, nor Docker's own configuration file is used."""
        manager = self.other
        script = (
            "import sys, json\n"
            "from magnum_swarm_mode.swarm import client, transport\n"
            "ca, certificate, key, port = json.load(sys.stdin)\n"
            "swarm = client.Swarm(['127.0.0.1'], transport.Identity(ca, certificate, key), 30.0,"
            " port)\n"
            "print(len(swarm.nodes()))\n"
        )
        seen: list[Any] = []
        manager.on_headers = seen.append
        home = self.useFixture(fixtures.TempDir()).path
        files = {
            ".netrc": "machine 127.0.0.1 login eve password netrc-secret\n",
            ".docker/config.json": json.dumps({"HttpHeaders": {"X-Secret": "header-secret"}}),
        }
        for name, content in files.items():
            path = pathlib.Path(home) / name
            path.parent.mkdir(exist_ok=True)
            path.write_text(content)
        proxies = dict.fromkeys(("https_proxy", "HTTPS_PROXY", "all_proxy"), self.inner.url)
        identity = self.identity
        ran = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", script],
            input=json.dumps([identity.ca, identity.certificate, identity.key, manager.port]),
            env={"HOME": home, "PYTHONPATH": ":".join(sys.path), **proxies},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

        self.assertEqual("1\n", ran.stdout, ran.stderr)
        self.assertEqual([], self.reached)
        self.assertTrue(seen)
        for headers in seen:
            self.assertNotIn("secret", str(headers))
            self.assertNotIn("Authorization", headers)
            self.assertEqual("identity", headers["Accept-Encoding"])


class DripTest(LiarCase):
    """Door 4: the deadline was evaded by a byte now and then."""

    timeout = 2.0

    def drips(self, *good):
        """Send some bytes at once, the last ones slowly."""
        *first, last = good
        return lambda liar, send: (send(b"".join(first)), liar.drip(send, last * 1000))

    def test_everywhere(self):
        """A byte now and then ends with the timeout, in whichever part of the answer."""
        parts = {
            "status": [b"HTTP/1.1 200 " + b"O" * 500],
            "continue": [b"HTTP/1.1 100 Continue\r\n\r\n"],
            "header name": [HEAD, b"X-Long-Name"],
            "headers": [HEAD, b"A: b\r\n"],
            "body": [HEAD + b"Content-Length: 9000\r\n\r\n[", b" "],
            "endless body": [HEAD + b"\r\n[", b" "],
            "size of a chunk": [CHUNKED, b"0"],
            "extension of a chunk": [CHUNKED + b"1;", b"x"],
            "chunk": [CHUNKED + b"ffff\r\n[", b" "],
            "trailer": [CHUNKED + b"2\r\n[]\r\n0\r\n", b"A: b\r\n"],
        }
        for name, good in parts.items():
            with self.subTest(name):
                self.assertEqual("does not answer in time", self.problem(self.drips(*good)))

    def test_handshake(self):
        """So it does in the handshake."""
        liar = self.liar(lambda liar, send: None)
        liar.greets = False
        began = time.monotonic()

        error = self.assertRaises(exceptions.Unavailable, self.swarm(liar.port).nodes)

        self.assertLess(time.monotonic() - began, self.timeout + LATE)
        self.assertIn("127.0.0.1: does not answer in time", str(error))

    def test_request(self):
        """A manager that does not take the request is given up on as well."""

        def never_reads(liar, send):
            liar.ended.wait(30)

        config = b" " * 30_000_000
        told = self.problem(
            never_reads, "/create", lambda swarm: swarm.create_config("c", config, {})
        )

        self.assertEqual("does not answer in time", told)

    def test_later_polls(self):
        """Polls of the same cluster that come meanwhile end as well."""
        liar = self.liar(self.drips(HEAD, b"A: b\r\n"))
        swarm = self.swarm(liar.port, timeout=1.0)
        ends = []

        def poll():
            self.assertRaises(exceptions.Unavailable, swarm.nodes)
            ends.append(time.monotonic())

        began = time.monotonic()
        threads = [threading.Thread(target=poll) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)

        self.assertEqual(4, len(ends))
        self.assertLess(max(ends) - began, 4 * 1.0 + LATE)


class SizeTest(LiarCase):
    """Doors 1, 3 and 8: answers without end, or that grow in memory."""

    def test_endless(self):
        """An answer without end is given up at the limit, in whichever part it is."""
        filler = b" " * 60_000
        lies = {
            "body": (HEAD + b"\r\n[", filler, "its answer is larger than 614400 bytes"),
            "chunks": (CHUNKED, b"ea60\r\n" + filler + b"\r\n", "its answer is larger than 614400"),
            "headers": (HEAD, b"A: " + filler + b"\r\n", ""),
            "many headers": (HEAD, b"A: b\r\n" * 1000, ""),
            "continue": (b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 1000, ""),
            "extension": (CHUNKED + b"1;", filler, ""),
            "trailers": (CHUNKED + b"2\r\n[]\r\n0\r\n", b"A: b\r\n" * 1000, "its answer is padded"),
            "little chunks": (CHUNKED + b"1\r\n[\r\n", b"1\r\n \r\n" * 10_000, "its answer is la"),
            "negative chunk": (CHUNKED + b"-1\r\n[", filler, ""),
        }
        for name, (first, endless, told) in lies.items():
            with self.subTest(name):
                said = self.problem(
                    lambda liar, send, f=first, e=endless: (send(f), liar.repeat(send, e))
                )
                self.assertNotEqual("does not answer in time", said)
                self.assertTrue(said.startswith(told), said)

    def test_declared(self):
        """An answer whose declared length is beyond the limit is not read at all."""
        head = HEAD + b"Content-Length: 99999999999\r\n\r\n"
        self.assertEqual(
            "its answer is larger than 614400 bytes", self.problem(lambda _, send: send(head))
        )

    def test_compressed(self):
        """A compressed answer is not accepted, doubly compressed or not."""
        bomb = gzip.compress(gzip.compress(b" " * 10_000_000))
        for encoding in ("gzip", "gzip, gzip", "deflate", "br", "zstd", "x-gzip"):
            told = self.problem(
                lambda liar, send, e=encoding: send(
                    answer(bomb, "200 OK", f"Content-Encoding: {e}")
                )
            )
            self.assertEqual("its answer is compressed, which is not accepted", told)
        told = self.problem(
            lambda liar, send: send(answer(bomb, "200 OK", "Transfer-Encoding: gzip, chunked"))
        )
        self.assertEqual("its answer is encoded in a way that is not accepted", told)

    def test_encoding(self):
        """Only UTF-8 is read."""
        for codec in ("utf-16", "utf-32", "latin-1"):
            body = '[{"ID": "ä"}]'.encode(codec)
            told = self.problem(lambda liar, send, b=body: send(answer(b)))
            self.assertIn(told, ("its answer is not in UTF-8",))

    def test_shape(self):
        """What is no list of objects is refused in one sentence, however deep it is."""
        bodies = (
            *(b"{}", b"", b"[1]", b"[[]]", b"[{}", b"[{},]", b"[{}]x", b"null", b'[{"a":NaN'),
            *(b"[" * 200_000, b'[{"a":' * 50_000, b"[" + b'{"a":' + b"[" * 100_000),
            b'[{"a":' + b"9" * 20_000 + b"}]",
        )
        for body in bodies:
            with self.subTest(body[:20]):
                told = self.problem(lambda liar, send, b=body: send(answer(b)))
                self.assertIn(told, ("its answer is no JSON list", "its answer is no JSON"))

    def test_error(self):
        """The engine's own words for an error are short, on one line and harmless."""
        words = json.dumps({"message": "\x1b[2J\u202e\n" + "x" * 60_000}).encode()

        told = self.problem(lambda liar, send: send(answer(words, "500 \x1b[31mOops")))

        self.assertLessEqual(len(told), 200)
        self.assertTrue(told.isprintable(), told)
        for body in (b"[]", b'{"message": {}}', b"\xff\xfe" * 99, b"<html>" + b"&" * 90_000):
            self.assertLess(
                len(self.problem(lambda _, send, b=body: send(answer(b, "503 x")))), 250
            )

    def test_documents(self):
        """What is no list has limits of its own."""
        dense = b'{"Swarm": [' + b"{}," * 300_000 + b"{}]}"
        for body, told in (
            (dense, "its answer has more parts than can be explained"),
            (b" " * 2**21, "its answer is larger than 1048576 bytes"),
            (b"\xff", "its answer is not in UTF-8"),
            (b"[" * 90_000, "its answer is no JSON"),
        ):
            said = self.problem(
                lambda liar, send, b=body: send(answer(b)), "/swarm", swarm_client.Swarm.inspect
            )
            self.assertEqual(told, said)

    def test_changed_node(self):
        """What a change sends back is the node's whole specification."""
        spec = {"Name": "n", "Role": "worker", "Availability": "active", "Labels": {"a": "\u202e"}}
        body = json.dumps([{"ID": "x", "Version": {"Index": 1}, "Spec": spec}]).encode()
        liar = self.liar(lambda liar, send: send(answer(body)))

        [node] = self.swarm(liar.port, 20.0).nodes()

        self.assertEqual(spec, node["Spec"])


class MemoryTest(LiarCase):
    """Door 3: what one answer costs, as a process of its own that asks for it measures."""

    SCRIPT = """
import json, pathlib, sys, threading, time
from magnum_swarm_mode.swarm import client, transport
ca, certificate, key, port, nodes, call = json.load(sys.stdin)
swarm = client.Swarm(["127.0.0.1"], transport.Identity(ca, certificate, key), 60.0, port,
                     nodes=nodes)
swarm.engine()
def memory(name):
    lines = pathlib.Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name + ":"))
# The peak that getrusage() tells is that of the process which started this one, if it is higher.
pathlib.Path("/proc/self/clear_refs").write_text("5")
before = memory("VmRSS")
stall, ended = 0.0, False
def watch():
    global stall
    while not ended:
        began = time.monotonic()
        time.sleep(0.01)
        stall = max(stall, time.monotonic() - began)
thread = threading.Thread(target=watch)
thread.start()
try:
    told = len(getattr(swarm, call)())
except Exception as error:
    told = str(error)
ended = True
thread.join()
print(json.dumps([told, (memory("VmHWM") - before) / 1024, stall]))
"""

    def cost(self, body, nodes=11, call="nodes"):
        """Return what came of a question, and MiB and the longest stall of other threads."""
        liar = self.liar(lambda liar, send: send(answer(body)), f"/{call}")
        identity = self.identity
        told = [identity.ca, identity.certificate, identity.key, liar.port, nodes, call]
        ran = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", self.SCRIPT],
            input=json.dumps(told),
            env={"PYTHONPATH": ":".join(sys.path)},
            capture_output=True,
            text=True,
            timeout=300,
            check=True,
        )
        return json.loads(ran.stdout)

    def test_bodies(self):
        """No answer costs more than 64 MiB, of any parts."""
        mebibytes = 2**20
        plain = b'{"ID":"%d","Spec":{"Labels":{"a":"b"}}},'
        nodes = b"".join(plain % number for number in range(6_000))
        wide = '{"ID": "\U0001f41b", "Status": {"Message": "' + "x" * 10_000 + '"}},'
        lies = {
            "empty objects": b"[" + b"{}," * 40 * mebibytes + b"{}]",
            "one node of many parts": b'[{"a":[' + b"{}," * 2 * mebibytes + b"{}]}]",
            "one long node": b'[{"ID":"' + b"x" * 7 * mebibytes + b'"}]',
            "many nodes": b"[" + nodes + b"{}]",
            "labels": b'[{"Spec":{"Labels":{'
            + b",".join(b'"%x":""' % number for number in range(600_000))
            + b"}}}]",
            "wide texts": ("[" + wide * 800 + "{}]").encode(),
        }
        for name, body in lies.items():
            with self.subTest(name):
                told, memory, _ = self.cost(body, nodes=1000)
                self.assertLess(memory, 64, (name, told))
        told, memory, _ = self.cost(lies["empty objects"])
        self.assertIn("its answer is larger than 614400 bytes", told)
        self.assertLess(memory, 8)

    def test_honest(self):
        """A thousand nodes as engines describe them cost a few MiB, and are all there."""
        from benchmarks.poll_health import node

        body = json.dumps([node(number, 3) for number in range(1000)]).encode()

        told, memory, _ = self.cost(body, nodes=1000)

        self.assertEqual(1000, told)
        self.assertLess(memory, 24)

    def test_largest(self):
        """So do ten thousand, within 64 MiB."""
        from benchmarks.poll_health import node

        body = json.dumps([node(number, 3) for number in range(10_000)]).encode()

        told, memory, _ = self.cost(body, nodes=10_000)

        self.assertEqual(10_000, told)
        self.assertLess(memory, 64)


class VersionTest(LiarCase):
    def used(self, version, least):
        manager = self.useFixture(
            fake_docker.FakeDocker(self.authority.pem, self.authority.server("127.0.0.1"))
        )
        told = {"Version": "x", "ApiVersion": version, "MinAPIVersion": least}
        manager.answers["/version"] = (200, told)
        self.swarm(manager.port, 30.0).nodes()
        return manager.requests[-1]

    def test_common(self):
        """The newest version that is tested and that the engine speaks is used."""
        for version, least, path in (
            ("1.41", "1.12", "/v1.41/nodes"),
            ("1.52", "1.44", "/v1.52/nodes"),
            ("1.99", "1.44", "/v1.52/nodes"),
            ("2.0", "1.44", "/v1.52/nodes"),
        ):
            self.assertEqual(path, self.used(version, least))

    def test_none(self):
        """An engine with no version in common gets a sentence that says so."""
        for version, least in (("1.40", "1.12"), ("1.99", "1.53"), ("0.9", "0.1")):
            error = self.assertRaises(exceptions.Unavailable, self.used, version, least)
            self.assertIn(
                f"it speaks versions {least} to {version} of its API, of which none is among "
                "1.41 to 1.52",
                str(error),
            )


class CipherTest(LiarCase):
    def test_aead(self):
        """TLS 1.2 only with authenticated encryption, and no older TLS."""
        pair = self.authority.client()
        context = engine.tls_context(self.authority.pem, pair.certificate, pair.key)
        for cipher in context.get_ciphers():
            self.assertTrue(cipher["aead"], cipher["name"])
        for ciphers, is_accepted in (("ECDHE-ECDSA-AES128-SHA256", False), ("ECDHE+AESGCM", True)):
            liar = self.liar(lambda liar, send: send(answer(b"[]")))
            liar._context.maximum_version = ssl.TLSVersion.TLSv1_2
            liar._context.set_ciphers(ciphers)
            if is_accepted:
                self.assertEqual([], self.swarm(liar.port, 20.0).nodes())
            else:
                error = self.assertRaises(exceptions.Unavailable, self.swarm(liar.port).nodes)
                self.assertIn("TLS fails: ", str(error))

    def test_address(self):
        """What is no IP address is not resolved."""
        swarm = swarm_client.Swarm(["manager.example.org"], self.identity, 5.0, 1)

        error = self.assertRaises(exceptions.Unavailable, swarm.nodes)

        self.assertIn("(manager.example.org: is no IP address)", str(error))
