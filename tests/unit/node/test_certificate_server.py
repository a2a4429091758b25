# SPDX-License-Identifier: Apache-2.0
"""How managers have the certificates of other managers signed."""

import base64
import dataclasses
import json
import pathlib
import socket
import subprocess
from typing import Any

import fixtures

from magnum_swarm_mode.admission import manager_keys
from magnum_swarm_mode.node.base import docker, web
from magnum_swarm_mode.node.base.errors import NodeError, Temporary
from magnum_swarm_mode.node.swarm import (
    certificate_server,
    certificates,
    join_server,
    serving,
)
from tests.unit.admission.signing_requests import Maker
from tests.unit.node import fakes, served

HERE, OTHER = "127.0.0.11", "127.0.0.12"


def public_key(pair):
    """Return the public key of a PEM text with a private one, as Magnum records it."""
    command = ("openssl", "pkey", "-pubout", "-outform", "DER")
    done = subprocess.run(command, input=pair.encode(), capture_output=True, check=True)
    return base64.b64encode(done.stdout).decode()


class SignaturesCase(fakes.NodeTest):
    """Manager 0 has a certificate and serves; manager 1 asks."""

    def setUp(self):
        super().setUp()
        self.authority = self.useFixture(fakes.Authority())
        self.cloud = self.useFixture(fakes.Cloud())
        self.cloud.sign, self.cloud.ca = self.authority.sign, self.authority.pem
        self.config = fakes.parse_config(managers=2, **self.cloud.sections())
        self.pair = pathlib.Path(self.authority.pair(HERE)).read_text()
        self.engine = self.useFixture(fakes.Engine(self.paths.docker_socket))
        self.csr = Maker().csr("swarm-manager-1")
        self.now = 100.0

    def signatures(self, **changes):
        config = dataclasses.replace(self.config, **changes)
        context = web.tls(self.authority.pem)
        engine = docker.Docker(socket_path=self.engine.where)
        return certificate_server.Signatures(config, self.pair, context, engine, lambda: self.now)

    def answer(self, signatures=None, address=OTHER, **body):
        self.now += 60
        sent = {"secret": "bootstrap-secret", "csr": self.csr, **body}
        return (signatures or self.signatures()).answer(address, json.dumps(sent).encode())

    def asked(self):
        """Return the requests to sign that reached Magnum."""
        return [one for one in self.cloud.requests if one.path == "/v1/certificates"]


class SignaturesTest(SignaturesCase):
    def test_signed(self):
        """The request reaches Magnum with the own signature, by which Magnum knows this manager."""
        self.cloud.sign = lambda csr: "PEM"
        csr = self.csr
        self.assertEqual({"pem": "PEM\n"}, self.answer())
        (sent,) = self.asked()
        self.assertEqual({"cluster_uuid": fakes.UUID, "csr": csr}, sent.body)
        read = manager_keys.read(fakes.UUID, csr, sent.headers["X-Swarm-Mode-Proof"])
        known = {"0": public_key(self.pair)}
        self.assertIn("1", manager_keys.admitted(known, read, is_creating=False))

    def test_wrong_secret(self):
        """Nothing is signed without the bootstrap secret."""
        error = self.assertRaises(NodeError, self.answer, secret="guessed")
        self.assertEqual((401, []), (error.status, self.asked()))

    def test_no_request(self):
        """What is no request for a manager is answered with 400."""
        other = (Maker().csr("*"), Maker().csr("swarm-manager-1", "swarm-manager-1"), "PEM", "")
        requests: tuple[Any, ...] = (None, 1, ["PEM"], {}, "é", *other)
        for csr in requests:
            error = self.assertRaises(NodeError, self.answer, csr=csr)
            self.assertEqual((400, []), (error.status, self.asked()))

    def test_served_already(self):
        """An address that serves the Docker API with the cluster's certificate gets no other."""
        context = self.authority.server_context()
        server = self.useFixture(fakes.Engine(context=context))
        self._refused_at(server)

    def _refused_at(self, server):
        managers = {"0": {"address": HERE}, "1": {"address": "127.0.0.1"}}
        signatures = self.signatures(api_port=server.port, managers=managers)
        error = self.assertRaises(NodeError, self.answer, signatures, "127.0.0.1")
        self.assertEqual((409, []), (error.status, self.asked()))

    def test_served_with_another_certificate(self):
        """A certificate that is not valid now is one as well: its manager renews it by itself."""
        context = self.useFixture(fakes.Authority()).server_context()
        self._refused_at(self.useFixture(fakes.Engine(context=context)))

    def test_ready(self):
        """A node that is ready in the swarm has a certificate, while its API is restarted, too."""
        self.cloud.sign = lambda csr: "PEM"
        self.engine.enter("m0", HERE)
        self.engine.add_node("m1", OTHER)
        error = self.assertRaises(NodeError, self.answer)
        self.assertEqual((409, []), (error.status, self.asked()))
        self.engine.nodes[-1]["Status"]["State"] = "down"
        self.assertEqual({"pem": "PEM\n"}, self.answer())

    def test_no_leader(self):
        """Managers that are built again while there is no leader get certificates."""
        self.cloud.sign = lambda csr: "PEM"
        self.engine.enter("m0", HERE)
        self.engine.error = "The swarm does not have a leader."
        self.assertEqual({"pem": "PEM\n"}, self.answer())

    def test_of_another_manager(self):
        """An address has nothing signed for a manager whose address is another one."""
        self.cloud.sign = lambda csr: "PEM"
        error = self.assertRaises(NodeError, self.answer, csr=Maker().csr("swarm-manager-0"))
        self.assertEqual((403, []), (error.status, self.asked()))
        # Managers that came later are not in the configuration.
        later = Maker().csr("swarm-manager-7")
        self.assertEqual({"pem": "PEM\n"}, self.answer(csr=later))

    def test_two_requests(self):
        """Of a text with two requests OpenSSL and Magnum could read another one each."""
        own, other = self.csr, Maker().csr("swarm-manager-0")
        for text in (own + other, other + own, f" {other}{own}", f"{own}x", f"x\n{own}", ""):
            error = self.assertRaises(NodeError, self.answer, csr=text)
            self.assertEqual(400, error.status, text)
        self.assertEqual([], self.asked())

    def test_not_known(self):
        """Nothing is signed for an address at which something else than TLS is served."""
        plain = self.useFixture(fakes.Engine())
        managers = {"0": {"address": HERE}, "1": {"address": "127.0.0.1"}}
        signatures = self.signatures(api_port=plain.port, managers=managers)
        self.assertRaises(Temporary, self.answer, signatures, "127.0.0.1")
        self.assertEqual([], self.asked())

    def test_magnum_refuses(self):
        """Magnum's refusal is handed on."""
        self.cloud.refuse = 403
        error = self.assertRaises(NodeError, self.answer)
        self.assertEqual(403, error.status)


class ServedCase(SignaturesCase):
    """Manager 0 serves at a real socket."""

    def setUp(self):
        super().setUp()
        self.paths.certificate.parent.mkdir(parents=True, exist_ok=True)

    def serve(self, address=HERE):
        """Have manager 0 serve; the port."""
        node = self.make_node(fakes.config_json(managers=2, **self.cloud.sections()))
        self.paths.certificate.write_text(self.pair)
        # A connection on the loopback interface comes from 127.0.0.1.
        managers = {
            index: {"address": HERE if one["address"] == HERE else "127.0.0.1"}
            for index, one in self.config.managers.items()
        }
        signatures = self.signatures(api_port=1, managers=managers)
        server = serving.open_server(node, 0, signatures)
        self.paths.certificate.unlink()
        return served.start(self, server)


class IssueThroughOthersTest(ServedCase):
    """A manager without a certificate has one signed."""

    def issue(self, port, index=1):
        config = dataclasses.replace(self.config, join_certificate_port=port)
        certificates.issue(self.paths, ["IP:127.0.0.12"], index, config)

    def test_other_manager(self):
        """Manager 1 gets its certificate through manager 0, and asks Magnum for none itself."""
        self.issue(self.serve())
        (sent,) = self.asked()
        self.assertTrue(sent.headers["X-Swarm-Mode-Proof"])
        self.assertIn("PRIVATE KEY", self.paths.certificate.read_text())
        self.assertFalse(self.paths.next_key.exists())

    def test_same_key_again(self):
        """A request whose answer was lost is made again for the same key."""
        keys = []

        def sign(csr):
            keys.append(manager_keys.read(fakes.UUID, csr, "").key)
            return "rubbish" if len(keys) == 1 else self.authority.sign(csr)

        self.cloud.sign = sign
        port = self.serve()
        self.assertRaises(NodeError, self.issue, port)
        self.assertEqual(0o600, self.paths.next_key.stat().st_mode & 0o777)
        # The next request of one address is answered half a second later.
        self.now += 60
        self.issue(port)
        self.assertEqual(keys[0], keys[1])

    def test_first_is_replaced(self):
        """Manager 0 asks Magnum first; where that is refused it asks the others."""
        refused = []

        def sign(csr):
            if not self.asked()[-1].headers.get("X-Swarm-Mode-Proof"):
                refused.append(csr)
                return None
            return self.authority.sign(csr)

        self.cloud.sign = sign
        original = self.cloud.answer

        def answer(_, request):
            found = original(request)
            if request.path == "/v1/certificates" and found[2]["pem"] is None:
                return 403, {}, {"errors": [{"detail": "Nothing is signed"}]}
            return found

        self.useFixture(fixtures.MonkeyPatch("tests.unit.node.fakes.Cloud.answer", answer))
        managers = {"0": {"address": OTHER}, "1": {"address": HERE}}
        self.config = fakes.parse_config(managers=managers, **self.cloud.sections())
        self.issue(self.serve(), 0)
        self.assertEqual(1, len(refused))
        self.assertIn("PRIVATE KEY", self.paths.certificate.read_text())

    def test_nobody_answers(self):
        """It waits for the others, and says what each of them did."""
        error = self.assertRaises(Temporary, self.issue, 1)
        self.assertIn("manager 0: POST https://127.0.0.11:1/v1/certificate", str(error))

    def test_renewal(self):
        """A manager proves with its present key that the next one is its own."""
        self.issue(self.serve())
        before = self.paths.certificate.read_text()
        self.issue(1)
        sent = self.asked()[-1]
        proof = sent.headers["X-Swarm-Mode-Proof"]
        read = manager_keys.read(fakes.UUID, sent.body["csr"], proof)
        known = {"1": public_key(before.partition("\n")[2])}
        self.assertNotEqual(known, manager_keys.admitted(known, read, is_creating=False))


class NeighbourTest(ServedCase):
    """Hosts of the same network are served, and their containers are not."""

    def test_routed(self):
        """A connection whose packets could have passed a router is not accepted."""
        port = self.serve()
        for hops in (64, 254):
            with socket.socket() as client:
                client.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, hops)
                client.settimeout(0.3)
                self.assertRaises(TimeoutError, client.connect, ("127.0.0.1", port))
        with socket.socket() as client:
            web.set_neighbour(client, listens=False)
            client.settimeout(5)
            client.connect(("127.0.0.1", port))

    def test_ipv6(self):
        """The same holds for IPv6."""
        with socket.socket(socket.AF_INET6) as server, socket.socket(socket.AF_INET6) as client:
            server.bind(("::1", 0))
            server.listen()
            web.set_neighbour(server, listens=True)
            client.settimeout(0.3)
            self.assertRaises(TimeoutError, client.connect, server.getsockname()[:2])
            with socket.socket(socket.AF_INET6) as near:
                web.set_neighbour(near, listens=False)
                near.settimeout(5)
                near.connect(server.getsockname()[:2])


class OwnHostTest(ServedCase):
    """What runs on a manager counts as no other manager."""

    def test_addresses(self):
        """Only an address that is reached with the host's own one is another host's."""
        # On the loopback interface every address is reached with 127.0.0.1.
        self.assertTrue(web.is_neighbour("127.0.0.1", "127.0.0.9"))
        self.assertFalse(web.is_neighbour("127.0.0.1", "127.0.0.1"))
        self.assertFalse(web.is_neighbour("10.0.0.10", "127.0.0.2"))
        self.assertFalse(web.is_neighbour("10.0.0.10", "not an address"))

    def test_refused(self):
        """Nobody on the own host gets anything, with the right secret or without."""
        for service in (self.signatures(), join_server.Tokens("bootstrap-secret", docker.Docker())):
            service.own = "10.0.0.10"
            for address in ("10.0.0.10", "127.0.0.1", "127.0.0.2"):
                error = self.assertRaises(NodeError, self.answer, service, address)
                self.assertEqual((403, []), (error.status, self.asked()))
