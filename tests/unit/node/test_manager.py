# SPDX-License-Identifier: Apache-2.0
import json
import ssl
import time

import fixtures

from magnum_swarm_mode.node.base import docker
from magnum_swarm_mode.node.base.errors import NodeError, Temporary
from magnum_swarm_mode.node.swarm import certificates, manager
from tests.unit.node import fakes


class FormationTest(fakes.NodeTest):
    """Manager 0 with two others; every engine is a fake at its socket."""

    def setUp(self):
        super().setUp()
        self.cloud = self.useFixture(fakes.Cloud())
        self.engine = self.useFixture(fakes.Engine(self.paths.docker_socket))
        self.others = {
            index: self.useFixture(fakes.Engine(f"{self.root}/run/{index}.sock"))
            for index in (1, 2)
        }
        self.silent = set()
        self.node = self.make_node(fakes.config_json(**self.cloud.sections()))
        self.now = 1000.0
        self.formation = self._formation(0)
        # Waiting inside of one step passes no time in tests.
        self.useFixture(fakes.Waiting(lambda: self.now, self._sleep))

    def _sleep(self, seconds):
        self.now += seconds

    def _formation(self, index):
        return manager.Formation(self.node, index, self._connect, lambda: self.now)

    def _connect(self, index):
        where = "/nonexistent" if index in self.silent else self.others[index].where
        return docker.Docker(socket_path=where)

    def _changes(self, engine):
        return [call for call in engine.calls() if not call.startswith("GET")]

    def _swarm_of_others(self):
        """Let the others be a swarm that manager 0 can join."""
        first, second = self.others.values()
        first.enter("m1", "127.0.0.12")
        first.add_node("m2", "127.0.0.13")
        second.state, second.node_id, second.control = "active", "m2", True
        second.nodes = first.nodes

        def joined(body):
            self.engine.enter("m0", body["AdvertiseAddr"])
            first.add_node("m0", body["AdvertiseAddr"])

        self.engine.on_join = joined

    def _waits(self, formation=None):
        return str(self.assertRaises(Temporary, (formation or self.formation).attempt))

    def test_founds(self):
        """Manager 0 founds the swarm with everything that can be set only then."""
        info = self.formation.attempt()
        self.assertEqual(("active", True), (info.state, info.control))
        body = next(r.body for r in self.engine.requests if r.path.endswith("/swarm/init"))
        self.assertEqual(["10.88.0.0/16"], body["DefaultAddrPool"])
        self.assertEqual(
            (24, 4789, "drain", "127.0.0.11"),
            (body["SubnetSize"], body["DataPathPort"], body["Availability"], body["DataPathAddr"]),
        )
        years = body["Spec"]["CAConfig"]["NodeCertExpiry"] / 1e9 / 86400 / 365
        self.assertEqual(2, years)
        options = self.engine.networks["ingress"]["Options"]
        self.assertEqual({"com.docker.network.driver.mtu": "1450"}, options)

    def test_second_run_changes_nothing(self):
        """A manager that is in the swarm does nothing more."""
        self.formation.attempt()
        before = self._changes(self.engine)
        self._formation(0).attempt()
        self.assertEqual(before, self._changes(self.engine))

    def test_run_again_after_founding_half_done(self):
        """A run that ended before the ingress network was right is finished by the next."""
        self.engine.enter("m0", "127.0.0.11")
        self.paths.founding.parent.mkdir(parents=True, exist_ok=True)
        self.paths.founding.write_text("yes")
        self.formation.attempt()
        self.assertIn("ingress", self.engine.networks)
        self.assertFalse(self.paths.founding.exists())

    def test_silence_is_no_answer(self):
        """Manager 0 does not found a swarm while another is silent."""
        self.silent = {2}
        self.assertIn("manager 2 is silent", self._waits())
        self.assertEqual([], self._changes(self.engine))

    def test_cluster_is_not_being_created(self):
        """Manager 0 does not found a second swarm later, though all are in none."""
        for status in ("CREATE_COMPLETE", "UPDATE_IN_PROGRESS", "CREATE_FAILED"):
            self.cloud.status = status
            self.assertIn(f"not {status}", self._waits())
        self.assertEqual([], self._changes(self.engine))

    def test_magnum_is_silent(self):
        """Without Magnum's word no swarm is founded."""
        self.cloud.failures = 1
        self._waits()
        self.assertEqual([], self._changes(self.engine))

    def test_others_wait_for_manager_zero(self):
        """Another manager neither founds nor asks Magnum."""
        formation = self._formation(1)
        self.others[0] = self.useFixture(fakes.Engine(f"{self.root}/run/0.sock"))
        self.assertIn("manager 0 is in no swarm", self._waits(formation))
        self.assertEqual([], self.cloud.calls())

    def test_joins(self):
        """With two others in the swarm manager 0 joins them and gives the lock back."""
        self._swarm_of_others()
        self.assertEqual("m0", self.formation.attempt().node_id)
        body = next(r.body for r in self.engine.requests if r.path.endswith("/swarm/join"))
        self.assertEqual("SWMTKN-1-m", body["JoinToken"])
        self.assertEqual(["127.0.0.12:2377", "127.0.0.13:2377"], body["RemoteAddrs"])
        self.assertEqual("drain", body["Availability"])
        self.assertEqual({}, self.others[1].configs)
        self.assertNotIn("POST /v1.41/swarm/init", self.engine.calls())

    def test_dead_predecessor(self):
        """The dead entry of the own address is demoted and removed before the join."""
        self._swarm_of_others()
        self.others[1].add_node("old", "127.0.0.11", "manager", "down", "unreachable")
        for step in ("being removed", "being removed"):
            self.assertIn(step, self._waits())
            self.assertEqual({}, self.others[1].configs)
        self.formation.attempt()
        changes = self._changes(self.others[1])
        self.assertIn("POST /v1.41/nodes/old/update?version=7", changes)
        self.assertLess(
            changes.index("POST /v1.41/nodes/old/update?version=7"),
            changes.index("DELETE /v1.41/nodes/old?force=true"),
        )
        self.assertEqual(["m1", "m2", "m0"], [node["ID"] for node in self.others[1].nodes])

    def test_predecessor_not_yet_known_to_be_dead(self):
        """While the survivors take the predecessor for alive, nothing is removed."""
        self._swarm_of_others()
        self.others[1].add_node("old", "127.0.0.11")
        self.assertIn("still listed as alive", self._waits())
        self.assertEqual(3, len(self.others[1].nodes))
        self.assertEqual({}, self.others[1].configs)

    def test_unreachable_manager_is_listed(self):
        """None joins while an unreachable manager is listed."""
        self._swarm_of_others()
        self.others[1].add_node("m9", "127.0.0.19", reachability="unreachable")
        self.assertIn("127.0.0.19 is listed, but unreachable", self._waits())
        self.assertEqual([], self._changes(self.engine))

    def _lock_of(self, holder):
        labels = {"magnum-swarm-mode.holder": holder}
        spec = {"Name": manager.LOCK, "Labels": labels}
        self.others[1].configs["lock"] = {"ID": "lock", "Spec": spec}

    def test_one_joins_at_a_time(self):
        """While another manager holds the lock this one waits."""
        self._swarm_of_others()
        self._lock_of("somebody")
        self.assertEqual("another manager is joining", self._waits())
        self.now += manager.LOCK_LIFETIME - 1
        self._waits()
        self.assertEqual([], self._changes(self.engine))
        self.assertIn("lock", self.others[1].configs)

    def test_lock_of_a_dead_holder(self):
        """A lock that has not changed for its lifetime is removed."""
        self._swarm_of_others()
        self._lock_of("somebody")
        self._waits()
        self.now += manager.LOCK_LIFETIME
        self.assertEqual("m0", self.formation.attempt().node_id)

    def test_lock_that_changes_hands(self):
        """A new lock of the same name has a lifetime of its own."""
        self._swarm_of_others()
        self._lock_of("somebody")
        self._waits()
        self.now += manager.LOCK_LIFETIME
        self.others[1].configs["lock"]["ID"] = "another"
        self.assertEqual("another manager is joining", self._waits())

    def test_own_lock_of_an_earlier_life(self):
        """A lock that this server left behind keeps it waiting for nobody."""
        self._swarm_of_others()
        self._lock_of(fakes.SERVER)
        self.assertEqual("m0", self.formation.attempt().node_id)

    def test_lock_lost_in_a_race(self):
        """Of two that find no lock, one gets it."""
        self._swarm_of_others()
        original = self.others[1].get_configs

        def find_nothing_then_be_late(parts, body):
            answer = original(parts, body)
            self._lock_of("faster")
            return answer

        self.useFixture(
            fixtures.MonkeyPatch(
                "tests.unit.node.fakes.Engine.get_configs",
                lambda _, parts, body: find_nothing_then_be_late(parts, body),
            )
        )
        self.assertEqual("another manager is joining", self._waits())

    def test_failed_join_gives_the_lock_back(self):
        """A join that the engine refuses leaves no lock behind."""
        self._swarm_of_others()
        self.engine.on_join = None
        self.engine.join_status = 500
        self.assertIn("joining failed", self._waits())
        self.assertEqual({}, self.others[1].configs)

    def test_lost_quorum(self):
        """When nothing but the leader is missing for a minute, waiting is over."""
        self.others[1].enter("m1", "127.0.0.12")
        self.others[1].error = "The swarm does not have a leader."
        self._waits()
        self.now += 59
        self._waits()
        self.now += 1
        error = self.assertRaises(NodeError, self.formation.attempt)
        self.assertNotIsInstance(error, Temporary)
        self.assertIn("lost its quorum", str(error))

    def test_quorum_comes_back(self):
        """A leader found in between starts the minute anew."""
        self.others[1].enter("m1", "127.0.0.12")
        self.others[1].error = "The swarm does not have a leader."
        self._waits()
        self.now += 59
        self.silent = {2}
        self._waits()
        self.silent = set()
        self.now += 59
        self._waits()

    def test_join_half_done_is_not_left_when_listed(self):
        """A join that may have made this one a member is not given up: it could cost quorum."""
        self._swarm_of_others()
        self.others[1].add_node("half", "127.0.0.11", reachability="unreachable")
        self.engine.state, self.engine.node_id = "error", "half"
        self._waits()
        self.assertEqual([], self._changes(self.engine))

    def test_join_half_done_is_given_up_when_unknown(self):
        """A join that the swarm knows nothing of is given up."""
        self._swarm_of_others()
        self.engine.state, self.engine.node_id = "error", "half"
        self._waits()
        self.assertEqual(["POST /v1.41/swarm/leave?force=true"], self._changes(self.engine))

    def test_join_in_progress(self):
        """While the engine itself goes on joining it is left alone."""
        self._swarm_of_others()
        self.engine.state = "pending"
        self.assertIn("the engine is pending", self._waits())
        self.assertEqual([], self._changes(self.engine))

    def test_pending_for_ever(self):
        """The state of a removed node, found on an old volume, is given up after two minutes."""
        self._swarm_of_others()
        self.engine.state, self.engine.node_id = "pending", "removed"
        self._waits()
        self.now += 121
        self._waits()
        self.assertEqual(["POST /v1.41/swarm/leave?force=true"], self._changes(self.engine))
        self.assertEqual("m0", self.formation.attempt().node_id)

    def test_pending_but_listed(self):
        """However long it is pending, a manager that the others list is not given up."""
        self._swarm_of_others()
        self.engine.state, self.engine.node_id = "pending", "m9"
        self.others[1].add_node("m9", "127.0.0.19", reachability="unreachable")
        self.now += 500
        self._waits()
        self.assertEqual([], self._changes(self.engine))

    def test_worker_by_mistake(self):
        """A manager that is a worker in the swarm is an error."""
        self.engine.state = "active"
        self.assertRaises(NodeError, self.formation.attempt)

    def test_not_reached_by_the_others(self):
        """A manager that the others do not reach is not ready."""
        self.engine.enter("m0", "127.0.0.11")
        self.engine.nodes[0]["ManagerStatus"]["Reachability"] = "unreachable"
        self.assertIn("do not reach", self._waits())

    def test_no_token_in_the_log(self):
        """No join token gets into the log."""
        self._swarm_of_others()
        self.formation.attempt()
        self.assertNotIn("SWMTKN", self.log())
        self.assertIn("joining the swarm", self.log())


class SignedTest(fakes.NodeTest):
    """A manager whose certificates a real authority behind a fake Magnum signs."""

    def setUp(self):
        super().setUp()
        self.programs = self.useFixture(fakes.Programs())
        self.programs.add("systemctl")
        self.authority = self.useFixture(fakes.Authority())
        self.cloud = self.useFixture(fakes.Cloud())
        self.cloud.sign = self.authority.sign
        self.cloud.ca = self.authority.pem


class CertificateTest(SignedTest):
    def setUp(self):
        super().setUp()
        self.node = self.make_node(fakes.config_json(**self.cloud.sections()))

    def test_once(self):
        """A good certificate is kept, without a word with Magnum."""
        self.assertEqual("reload-or-restart", manager.ensure_certificate(self.node, 0, 0))
        asked = len(self.cloud.requests)
        self.assertEqual("start", manager.ensure_certificate(self.node, 0, 0))
        self.assertEqual(asked, len(self.cloud.requests))

    def test_refused(self):
        """A refusal is final and bears Magnum's words."""
        self.cloud.refuse = 403
        error = self.assertRaises(NodeError, manager.ensure_certificate, self.node, 0, 60)
        self.assertIn("it is refused", str(error))

    def test_unreachable(self):
        """At the deadline the last state is named."""
        self.cloud.failures = 9
        error = self.assertRaises(NodeError, manager.ensure_certificate, self.node, 0, 0)
        self.assertIn("certificate from Magnum: not within 0 s; last seen: ", str(error))
        self.assertIn("503 not now", str(error))

    def test_renewal(self):
        """When its time has come there is a new certificate, and whoever uses it is told."""
        manager.ensure_certificate(self.node, 0, 0)
        self.assertFalse(manager.renew(self.node))
        self.assertEqual([], self.programs.calls())
        text = self.paths.certificate.read_text()
        facts = {**certificates.known(self.paths), "issued": time.time() - 864000}
        self.paths.certificate.write_text(json.dumps(facts) + "\n" + text.partition("\n")[2])
        self.assertTrue(manager.renew(self.node))
        self.assertNotEqual(text, self.paths.certificate.read_text())
        self.assertIn(
            "systemctl reload-or-restart magnum-swarm-proxy.service", self.programs.calls()
        )
        self.assertIn("systemctl restart magnum-swarm-renew.timer", self.programs.calls())

    def test_renewal_fails(self):
        """When renewal fails the old certificate stays in use."""
        manager.ensure_certificate(self.node, 0, 0)
        text = self.paths.certificate.read_text()
        facts = {**certificates.known(self.paths), "issued": 0}
        old = json.dumps(facts) + "\n" + text.partition("\n")[2]
        self.paths.certificate.write_text(old)
        self.cloud.failures = 1
        self.assertRaises(NodeError, manager.renew, self.node)
        self.assertEqual(old, self.paths.certificate.read_text())


class RunTest(SignedTest):
    def setUp(self):
        super().setUp()
        self.engine = self.useFixture(fakes.Engine(self.paths.docker_socket))
        self.node = self.make_node(fakes.config_json(managers=1, **self.cloud.sections()))

    def test_only_manager(self):
        """A cluster of one manager: certificate, proxy, swarm, then tokens are served."""
        self.assertEqual("active", manager.run(self.node, time.monotonic() + 60).state)
        self.assertEqual(
            [
                "systemctl reload-or-restart magnum-swarm-proxy.service",
                "systemctl start --no-block magnum-swarm-join.service",
                "systemctl daemon-reload",
                "systemctl restart magnum-swarm-renew.timer",
                "systemctl restart --no-block magnum-swarm-join.service",
            ],
            self.programs.calls(),
        )

    def test_reboot_without_magnum(self):
        """After a reboot the swarm comes back without Magnum, also with an old certificate."""
        manager.run(self.node, time.monotonic() + 60)
        self.node.signal("SUCCESS", "x")
        text = self.paths.certificate.read_text()
        facts = {**certificates.known(self.paths), "issued": 0, "expires": 1}
        self.paths.certificate.write_text(json.dumps(facts) + "\n" + text.partition("\n")[2])
        self.cloud.failures = 100
        self.assertEqual("active", manager.run(self.node, time.monotonic()).state)
        self.assertIn("not renewed: ", self.log())

    def test_over_mutual_tls(self):
        """Others are asked at their address with the own certificate."""
        manager.ensure_certificate(self.node, 0, 0)
        context = self.authority.server_context()
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(cadata=self.authority.pem)
        other = self.useFixture(fakes.Engine(context=context))
        managers = {"0": {"address": "127.0.0.11"}, "1": {"address": "127.0.0.1"}}
        node = self.make_node(
            fakes.config_json(managers=managers, api={"port": other.port}, **self.cloud.sections())
        )
        self.useFixture(fixtures.MonkeyPatch("time.sleep", lambda _: None))
        self.assertEqual("active", manager.join(node, 0, 30).state)
        self.assertIn("GET /v1.41/info", other.calls())
