# SPDX-License-Identifier: Apache-2.0
import ssl

from magnum_swarm_mode.node.base import docker, web
from magnum_swarm_mode.node.base.errors import NodeError, Temporary
from tests.unit.node import fakes


class DockerTest(fakes.NodeTest):
    def setUp(self):
        super().setUp()
        self.engine = self.useFixture(fakes.Engine(self.paths.docker_socket))
        self.docker = docker.Docker(socket_path=self.paths.docker_socket)

    def test_version_is_negotiated_once(self):
        """The engine's version of the API is asked for once, and used when it is the older one."""
        self.docker.info()
        self.docker.info()
        self.assertEqual(["GET /_ping", "GET /v1.41/info", "GET /v1.41/info"], self.engine.calls())

    def test_newer_engine(self):
        """A newer engine is spoken to in the newest version that is known here."""
        server = self.useFixture(fakes.Server(self.paths.root.joinpath("run/new.sock").as_posix()))
        server.answers["GET /_ping"] = (200, {"Api-Version": "1.52"}, b"OK")
        server.answers["GET /v1.44/version"] = (200, {}, {"Version": "29.0.1"})
        self.assertEqual("29.0.1", docker.Docker(socket_path=server.where).engine_version())

    def test_info(self):
        """The engine's state in the swarm is read from what it says of itself."""
        self.engine.enter("me", "127.0.0.11")
        self.engine.error = "no leader"
        self.assertEqual(docker.Info("active", "me", True, "no leader"), self.docker.info())

    def test_nodes(self):
        """Managers and workers are told apart, with and without Raft."""
        self.engine.enter("m", "10.0.0.11")
        self.engine.add_node("w", "10.0.0.30", "worker", "down")
        manager, worker = self.docker.nodes()
        self.assertEqual(
            ("m", "manager", "10.0.0.11:2377"), (manager.id, manager.role, manager.manager_address)
        )
        self.assertTrue(manager.in_raft)
        self.assertTrue(manager.has_address("10.0.0.11"))
        self.assertFalse(manager.has_address("10.0.0.1"))
        self.assertFalse(worker.in_raft)
        self.assertFalse(worker.has_address("10.0.0.3"))
        self.assertEqual("down", worker.state)

    def test_ipv6_address(self):
        """An IPv6 address is recognised without its brackets."""
        entry = {"ID": "x", "Version": {"Index": 1}, "ManagerStatus": {"Addr": "[fd00::1]:2377"}}
        self.assertTrue(docker.parse_node(entry).has_address("fd00::1"))

    def test_nodes_without_leader(self):
        """Without a leader the list is not to be had now."""
        self.engine.enter("m", "10.0.0.11")
        self.engine.error = "The swarm does not have a leader."
        error = self.assertRaises(Temporary, self.docker.nodes)
        self.assertIn("does not have a leader", str(error))

    def test_demote(self):
        """Demoting keeps everything else of the node's specification, at its version."""
        self.engine.enter("m", "10.0.0.11")
        self.docker.demote(self.docker.nodes()[0])
        self.assertEqual("POST /v1.41/nodes/m/update?version=7", self.engine.calls()[-1])
        self.assertEqual(
            {"Role": "worker", "Availability": "active"}, self.engine.requests[-1].body
        )

    def test_delete_and_find(self):
        """What is gone is fine to delete and found to be nothing."""
        self.docker.delete("/networks/none")
        self.assertIsNone(self.docker.find("/networks/none"))
        self.engine.networks["x"] = {"Name": "x"}
        self.assertEqual({"Name": "x"}, self.docker.find("/networks/x"))

    def test_delete_refused(self):
        """Any other refusal to delete is an error."""
        self.engine.enter("m", "10.0.0.11")
        error = self.assertRaises(NodeError, self.docker.delete, "/nodes/m?force=true")
        self.assertEqual(400, error.status)

    def test_join(self):
        """A join names addresses, availability, managers and token."""
        self.docker.join("10.0.0.12", "SWMTKN-1-m", ["10.0.0.11:2377"], "drain")
        self.assertEqual(
            {
                "ListenAddr": "0.0.0.0:2377",
                "AdvertiseAddr": "10.0.0.12",
                "DataPathAddr": "10.0.0.12",
                "Availability": "drain",
                "RemoteAddrs": ["10.0.0.11:2377"],
                "JoinToken": "SWMTKN-1-m",
            },
            self.engine.requests[-1].body,
        )

    def test_no_engine_there(self):
        """What does not answer as an engine is not spoken to in a version of its own."""
        server = self.useFixture(fakes.Server())
        other = docker.Docker(socket_path=self.paths.docker_socket + "x")
        self.assertRaises(Temporary, other.info)
        self.assertEqual([], server.requests)


class MutualTlsTest(fakes.NodeTest):
    def test_info_over_tls(self):
        """Another manager is asked over TLS with the own certificate."""
        authority = self.useFixture(fakes.Authority())
        context = authority.server_context()
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(cadata=authority.pem)
        engine = self.useFixture(fakes.Engine(context=context))
        client = docker.Docker(f"127.0.0.1:{engine.port}", web.tls(authority.pem, authority.pair()))
        self.assertEqual("inactive", client.info().state)
        stranger = docker.Docker(f"127.0.0.1:{engine.port}", web.tls(authority.pem))
        self.assertRaises(NodeError, stranger.info)
