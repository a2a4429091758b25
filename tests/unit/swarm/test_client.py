# SPDX-License-Identifier: Apache-2.0
import pathlib
import socket
import tempfile
import time

import fixtures
from oslotest import base

from magnum_swarm_mode import exceptions
from magnum_swarm_mode.swarm import client as swarm_client
from magnum_swarm_mode.swarm import pool as swarm_pool
from magnum_swarm_mode.swarm import transport
from tests.fakes import certificates
from tests.fakes import docker as fake_docker


class DockerAPITest(base.BaseTestCase):
    def setUp(self):
        super().setUp()
        self.authority = certificates.Authority()
        self.identity = self.identity_of(self.authority)

    def identity_of(self, authority):
        pair = authority.client()
        return transport.Identity(ca=authority.pem, certificate=pair.certificate, key=pair.key)

    def manager(self, address="127.0.0.1", port=0, authority=None):
        pair = (authority or self.authority).server(address)
        return self.useFixture(fake_docker.FakeDocker(self.authority.pem, pair, address, port))

    def swarm(self, *addresses, port, timeout=2.0, **more):
        swarm = swarm_client.Swarm(addresses, self.identity, timeout, port, **more)
        self.addCleanup(swarm.close)
        return swarm

    def silent(self, address, port):
        """Listen at an address, and accept nothing once two connections wait."""
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.addCleanup(listener.close)
        listener.bind((address, port))
        listener.listen(0)
        for _ in range(2):
            filler = socket.socket()
            self.addCleanup(filler.close)
            filler.setblocking(False)
            filler.connect_ex((address, port))

    def test_engine(self):
        """The versions are those of the engine that answers."""
        manager = self.manager()

        engine = self.swarm("127.0.0.1", port=manager.port).engine()

        self.assertEqual(swarm_client.Engine("20.10.24+dfsg1", "1.41"), engine)

    def test_api_version_of_the_engine_is_used(self):
        """An engine that refuses old API versions is asked in its own."""
        manager = self.manager()
        manager.answers["/version"] = (200, {"Version": "29.0.1", "ApiVersion": "1.52"})

        self.swarm("127.0.0.1", port=manager.port).nodes()

        self.assertEqual(["/version", "/v1.52/nodes"], manager.requests)

    def test_connection_is_kept(self):
        """A second poll costs one request and no handshake."""
        manager = self.manager()
        swarm = self.swarm("127.0.0.1", port=manager.port)
        swarm.nodes()

        swarm.nodes()

        self.assertEqual(1, manager.connections)
        self.assertEqual(["/version", "/v1.41/nodes", "/v1.41/nodes"], manager.requests)

    def test_poll(self):
        """A poll asks the manager that is named first, and says who answered."""
        port = self.manager("127.0.0.1").port
        swarm = self.swarm("127.0.0.1", "127.0.0.2", port=port)

        self.assertEqual("127.0.0.1", swarm.poll("127.0.0.2")[0])
        self.manager("127.0.0.2", port)

        self.assertEqual("127.0.0.2", swarm.poll("127.0.0.2")[0])
        self.assertEqual("127.0.0.2", swarm.poll("elsewhere")[0])

    def test_address_of(self):
        """An address is read out of the URL that was made of it."""
        for address in ("172.24.4.5", "fd00::1"):
            self.assertEqual(address, swarm_client.address_of(swarm_client.url(address)))
        self.assertEqual("", swarm_client.address_of(""))

    def test_next_manager_is_asked(self):
        """A manager that refuses the connection is passed over, and asked last from then on."""
        manager = self.manager("127.0.0.3")
        swarm = self.swarm("127.0.0.2", "127.0.0.3", port=manager.port)

        self.assertEqual(1, len(swarm.nodes()))
        self.assertEqual("127.0.0.3", swarm._managers[0].address)

    def test_black_hole(self):
        """A manager that swallows packets costs half of its time, then the next one is asked."""
        manager = self.manager("127.0.0.3")
        self.silent("127.0.0.2", manager.port)
        swarm = self.swarm("127.0.0.2", "127.0.0.3", port=manager.port, timeout=2.0)
        began = time.monotonic()

        nodes = swarm.nodes()

        self.assertEqual(1, len(nodes))
        self.assertLess(time.monotonic() - began, 2.0)

    def test_all_black_holes(self):
        """When no manager answers, the message says of each address why, in bounded time."""
        port = self.manager().port
        self.silent("127.0.0.2", port)
        swarm = self.swarm("127.0.0.2", "127.0.0.4", port=port, timeout=1.0)
        began = time.monotonic()

        error = self.assertRaises(exceptions.Unavailable, swarm.nodes)

        self.assertLess(time.monotonic() - began, 2.5)
        self.assertEqual(
            "The Docker API answers on no manager (127.0.0.2: does not accept the connection; "
            "127.0.0.4: connection refused).",
            str(error),
        )

    def test_slow_answer(self):
        """A manager that takes the request and does not answer is given up on."""
        manager = self.manager()
        manager.delay = 30.0
        began = time.monotonic()

        error = self.assertRaises(
            exceptions.Unavailable,
            self.swarm("127.0.0.1", port=manager.port, timeout=0.5).nodes,
        )

        self.assertIn("127.0.0.1: does not answer in time", str(error))
        self.assertLess(time.monotonic() - began, 2.0)

    def test_dripping_answer(self):
        """A manager that sends a byte now and then cannot hold the conductor."""
        manager = self.manager()
        manager.drip = 0.1
        began = time.monotonic()

        error = self.assertRaises(
            exceptions.Unavailable,
            self.swarm("127.0.0.1", port=manager.port, timeout=1.0).nodes,
        )

        self.assertIn("does not answer in time", str(error))
        self.assertLess(time.monotonic() - began, 3.0)

    def test_chunked_answer(self):
        """Long answers come in chunks; they are read whole, and the connection is kept."""
        manager = self.manager()
        manager.chunked = True
        manager.answers["/nodes"] = (200, [fake_docker.node(f"n{i}") for i in range(2000)])
        swarm = self.swarm("127.0.0.1", port=manager.port, timeout=20.0, nodes=2000)

        self.assertEqual(2000, len(swarm.nodes()))
        self.assertEqual(2000, len(swarm.nodes()))
        self.assertEqual(1, manager.connections)

    def test_cut_answer(self):
        """An answer that ends too early is an error, not a shorter list."""
        manager = self.manager()
        manager.cut = True

        error = self.assertRaises(
            exceptions.Unavailable, self.swarm("127.0.0.1", port=manager.port).nodes
        )

        self.assertIn("127.0.0.1: ", str(error))

    def test_endless_answer(self):
        """An answer beyond the limit is not read to its end."""
        manager = self.manager()
        manager.answers["/nodes"] = (200, b"[" + b" " * 2_000_000 + b"]")

        error = self.assertRaises(
            exceptions.Unavailable, self.swarm("127.0.0.1", port=manager.port).nodes
        )

        self.assertIn("127.0.0.1: its answer is larger than 1343488 bytes", str(error))

    def test_no_leader(self):
        """A swarm without quorum is told from one that cannot be reached."""
        manager = self.manager()
        manager.answers["/nodes"] = (503, {"message": fake_docker.NO_LEADER})

        error = self.assertRaises(
            swarm_client.NoLeader, self.swarm("127.0.0.1", port=manager.port).nodes
        )

        self.assertIn("The swarm does not have a leader", str(error))

    def test_certificates_expired(self):
        """Engines that are in no swarm, as its certificates have expired, are asked why."""
        manager = self.manager()
        manager.answers["/nodes"] = (503, {"message": "This node is not a swarm manager. Use"})
        why = (
            "error while loading TLS certificate: x509: certificate has expired or is not yet valid"
        )
        manager.answers["/info"] = (200, {"Swarm": {"Error": why}})
        swarm = self.swarm("127.0.0.1", port=manager.port)

        error = self.assertRaises(swarm_client.CertificatesExpired, swarm.nodes)

        self.assertIn("certificate has expired", str(error))
        manager.answers["/info"] = (200, {"Swarm": {"Error": ""}})
        error = self.assertRaises(exceptions.Unavailable, swarm.nodes)
        self.assertNotIsInstance(error, swarm_client.CertificatesExpired)
        self.assertIn("This node is not a swarm manager", str(error))

    def test_foreign_server(self):
        """A server with a certificate of another cluster's CA is not believed."""
        manager = self.manager(authority=certificates.Authority())

        error = self.assertRaises(
            exceptions.Unavailable, self.swarm("127.0.0.1", port=manager.port).nodes
        )

        self.assertIn("its certificate is not trusted", str(error))

    def test_wrong_address(self):
        """A manager's certificate counts only at the addresses that it names."""
        pair = self.authority.server("127.0.0.9")
        manager = self.useFixture(fake_docker.FakeDocker(self.authority.pem, pair))

        error = self.assertRaises(
            exceptions.Unavailable, self.swarm("127.0.0.1", port=manager.port).nodes
        )

        self.assertIn("its certificate is not trusted", str(error))

    def test_foreign_client(self):
        """A client with a certificate of another cluster's CA is not served."""
        manager = self.manager()
        other = certificates.Authority().client()
        identity = transport.Identity(self.authority.pem, other.certificate, other.key)
        swarm = swarm_client.Swarm(["127.0.0.1"], identity, 1.0, manager.port)
        self.addCleanup(swarm.close)

        error = self.assertRaises(exceptions.Unavailable, swarm.nodes)

        self.assertIn("The Docker API answers on no manager (127.0.0.1: ", str(error))

    def test_restarted_manager(self):
        """A kept connection that the other side ended meanwhile is made anew."""
        pair = self.authority.server("127.0.0.1")
        first = self.useFixture(fake_docker.FakeDocker(self.authority.pem, pair))
        swarm = self.swarm("127.0.0.1", port=first.port)
        swarm.nodes()
        first.stop()
        self.manager(port=first.port)

        self.assertEqual(1, len(swarm.nodes()))

    def test_no_addresses(self):
        """A cluster without managers' addresses gives a sentence, not an error of Python's."""
        error = self.assertRaises(exceptions.Unavailable, self.swarm(port=1).nodes)

        self.assertIn("no manager's address", str(error))

    def test_broken_certificates(self):
        """Rubbish from the certificate store is told as such, without its contents."""
        identity = transport.Identity("no certificate", "SECRET", "SECRET")

        error = self.assertRaises(
            exceptions.Inconsistent, swarm_client.Swarm, ["127.0.0.1"], identity, 1.0
        )

        self.assertNotIn("SECRET", str(error) + error.operator_message + repr(identity.key)[:0])

    def test_no_file_stays(self):
        """The client's key is in no file system after the TLS context is made."""
        directory = self.useFixture(fixtures.TempDir()).path
        self.useFixture(fixtures.MonkeyPatch("tempfile.tempdir", directory))
        self.assertEqual(directory, tempfile.gettempdir())

        transport.context_of(self.identity)

        self.assertEqual([], list(pathlib.Path(directory).iterdir()))

    def test_no_file_stays_without_memory_files(self):
        """Where the system has no files in memory, the one in a private directory is gone too."""
        directory = self.useFixture(fixtures.TempDir()).path
        self.useFixture(fixtures.MonkeyPatch("tempfile.tempdir", directory))
        self.useFixture(fixtures.MonkeyPatch("os.memfd_create", fixtures.MonkeyPatch.delete))

        transport.context_of(self.identity)

        self.assertEqual([], list(pathlib.Path(directory).iterdir()))


class ManagersTest(DockerAPITest):
    def test_one_connection(self):
        """Of several managers that have answered only the last one's connection is kept."""
        first = self.manager()
        second = self.manager("127.0.0.2", first.port)
        addresses = [first.address, second.address]
        swarm = swarm_client.Swarm(addresses, self.identity, 5.0, first.port)
        self.addCleanup(swarm.close)
        self.assertEqual(
            [second.address, first.address, first.address],
            [swarm.poll(address)[0] for address in (second.address, first.address, "")],
        )
        self.assertEqual([True, False], [manager.is_open for manager in swarm._managers])


class PoolTest(base.BaseTestCase):
    def setUp(self):
        super().setUp()
        authority = certificates.Authority()
        pair = authority.client()
        self.identity = transport.Identity(authority.pem, pair.certificate, pair.key)
        self.made = 0

    def make(self):
        self.made += 1
        return swarm_client.Swarm([], self.identity, 1.0)

    def test_same_key(self):
        """The same cluster with the same certificates gets the same connections."""
        pool = swarm_pool.Pool()

        self.assertIs(pool.get(("a", 1), self.make), pool.get(("a", 1), self.make))
        self.assertEqual(1, self.made)

    def test_other_certificates(self):
        """New certificates mean new connections."""
        pool = swarm_pool.Pool()

        self.assertIsNot(pool.get(("a", 1), self.make), pool.get(("a", 2), self.make))

    def test_size(self):
        """The longest unused connections go first."""
        pool = swarm_pool.Pool(lambda: 2)
        first = pool.get(("a",), self.make)
        second = pool.get(("b",), self.make)
        pool.get(("a",), self.make)

        pool.get(("c",), self.make)

        self.assertIs(first, pool.get(("a",), self.make))
        self.assertIsNot(second, pool.get(("b",), self.make))

    def test_age(self):
        """Connections are made anew after a while, with the certificates of then."""
        pool = swarm_pool.Pool(age=0.0)

        pool.get(("a",), self.make)
        pool.get(("a",), self.make)

        self.assertEqual(2, self.made)

    def test_forget(self):
        """A deleted cluster's connections are dropped, others' are not."""
        pool = swarm_pool.Pool()
        pool.get(("a", 1), self.make)
        kept = pool.get(("b", 1), self.make)

        pool.forget("a")

        self.assertIs(kept, pool.get(("b", 1), self.make))
        pool.get(("a", 1), self.make)
        self.assertEqual(3, self.made)


class UrlTest(base.BaseTestCase):
    def test_ipv4(self):
        """An IPv4 address stands as it is."""
        self.assertEqual("tcp://192.0.2.1:2376", swarm_client.url("192.0.2.1"))

    def test_ipv6(self):
        """An IPv6 address stands in brackets."""
        self.assertEqual("tcp://[2001:db8::1]:2376", swarm_client.url("2001:db8::1"))
