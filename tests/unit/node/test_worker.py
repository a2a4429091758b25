# SPDX-License-Identifier: Apache-2.0
import fixtures

from magnum_swarm_mode.node.base import docker
from magnum_swarm_mode.node.base.errors import NodeError, Temporary
from magnum_swarm_mode.node.swarm import join_server, worker
from tests.unit.node import fakes, served


class WorkerTest(fakes.NodeTest):
    def setUp(self):
        super().setUp()
        self.authority = self.useFixture(fakes.Authority())
        self.manager = self.useFixture(fakes.Engine(f"{self.root}/run/manager.sock"))
        self.manager.enter("m0", "127.0.0.11")
        self.engine = self.useFixture(fakes.Engine(self.paths.docker_socket))
        tokens = join_server.Tokens(
            "bootstrap-secret", docker.Docker(socket_path=self.manager.where)
        )
        server = join_server.Server(("127.0.0.1", 0), self.authority.server_context(), tokens)
        self.port = served.start(self, server)
        self.now = 100.0

    def _node(self, secret="bootstrap-secret", addresses=("127.0.0.1",), ca=None):
        managers = {str(index): {"address": item} for index, item in enumerate(addresses)}
        return self.make_node(
            fakes.config_json(
                "worker",
                managers=managers,
                ca_certificate=ca or self.authority.pem,
                join={"secret": secret, "port": self.port, "timeout": 0},
            )
        )

    def _joining(self, **node):
        return worker.Joining(self._node(**node), "127.0.0.40", lambda: self.now)

    def test_fetch(self):
        """Token and managers come from whichever manager answers."""
        config = self._node(addresses=("127.0.0.1", "192.0.2.1")).config
        self.useFixture(
            fixtures.MonkeyPatch("magnum_swarm_mode.node.base.web.CONNECT_TIMEOUT", 0.2)
        )
        self.assertEqual(("SWMTKN-1-w", ["127.0.0.11:2377"]), worker.fetch(config))

    def test_nobody_answers(self):
        """Silence is temporary, and says what every manager did."""
        config = self._node(addresses=("127.0.0.2", "127.0.0.3")).config
        error = self.assertRaises(Temporary, worker.fetch, config)
        self.assertIn("manager 0: ", str(error))
        self.assertIn("manager 1: ", str(error))

    def test_secret_refused_by_all(self):
        """A secret that every manager refuses is a final error."""
        error = self.assertRaises(NodeError, worker.fetch, self._node(secret="old-secret").config)
        self.assertNotIsInstance(error, Temporary)
        self.assertIn("secret is wrong", str(error))

    def test_secret_refused_by_some(self):
        """While another manager may still take the secret, it is tried again."""
        config = self._node(secret="old-secret", addresses=("127.0.0.1", "127.0.0.2")).config
        self.assertRaises(Temporary, worker.fetch, config)

    def test_false_manager(self):
        """No secret is told to a server that the cluster's CA does not vouch for."""
        other = self.useFixture(fakes.Authority())
        error = self.assertRaises(Temporary, worker.fetch, self._node(ca=other.pem).config)
        self.assertIn("manager 0", str(error))
        self.assertEqual([], self.manager.calls())

    def test_join(self):
        """A worker joins with the token through the living managers."""
        self.engine.on_join = lambda _: setattr(self.engine, "state", "active")
        self.assertEqual("active", self._joining().attempt().state)
        body = self.engine.requests[-2].body
        self.assertEqual("SWMTKN-1-w", body["JoinToken"])
        self.assertEqual(["127.0.0.11:2377"], body["RemoteAddrs"])
        self.assertEqual("127.0.0.40", body["AdvertiseAddr"])
        self.assertEqual("active", body["Availability"])

    def test_in_the_swarm_already(self):
        """A second run changes nothing."""
        self.engine.state = "active"
        self._joining().attempt()
        self.assertTrue(all(call.startswith("GET") for call in self.engine.calls()))
        self.assertEqual([], self.manager.calls())

    def test_join_goes_on_in_the_background(self):
        """An engine that goes on joining by itself is given a minute, then starts anew."""
        self.engine.join_status = 500
        self.engine.on_join = lambda _: setattr(self.engine, "state", "pending")
        joining = self._joining()
        self.assertRaises(Temporary, joining.attempt)
        self.now += 59
        error = self.assertRaises(Temporary, joining.attempt)
        self.assertIn("the engine is pending", str(error))
        self.assertEqual("pending", self.engine.state)
        self.now += 2
        self.assertRaises(Temporary, joining.attempt)
        self.assertEqual("inactive", self.engine.state)

    def test_error_state(self):
        """An engine whose join failed forgets it before it tries again."""
        self.engine.state = "error"
        joining = self._joining()
        self.assertRaises(Temporary, joining.attempt)
        self.assertEqual("inactive", self.engine.state)

    def test_run_names_the_reason(self):
        """At the deadline the last reason is the error."""
        node = self._node(addresses=("127.0.0.2",))
        error = self.assertRaises(NodeError, worker.run, node, 0)
        self.assertIn("place in the swarm: not within", str(error))
        self.assertIn("manager 0: POST https://127.0.0.2", str(error))

    def test_own_address(self):
        """The own address is the one on the way to the managers."""
        self.assertEqual("127.0.0.1", worker.own_address(self._node().config))
