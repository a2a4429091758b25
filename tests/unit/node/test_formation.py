# SPDX-License-Identifier: Apache-2.0
import itertools

from oslotest import base

from magnum_swarm_mode.node.base.docker import Info
from magnum_swarm_mode.node.base.errors import NodeError, Temporary
from magnum_swarm_mode.node.swarm import formation
from magnum_swarm_mode.node.swarm.formation import Peer
from tests.unit.node.fakes import swarm_node

STATES = ("inactive", "pending", "active", "error", "locked", "anything")
OWN = "127.0.0.11"


class ClassifyTest(base.BaseTestCase):
    def test_every_state(self):
        """Only a plain inactive is outside, only a manager with a leader is inside."""
        for state, node_id, control, error in itertools.product(
            STATES, ("", "n"), (False, True), ("", "no leader")
        ):
            if state == "inactive" and not node_id:
                expected = Peer.OUTSIDE
            elif state == "active" and control:
                expected = Peer.LEADERLESS if error else Peer.INSIDE
            else:
                expected = Peer.OTHER
            info = Info(state, node_id, control, error)
            self.assertEqual(expected, formation.classify(info), str(info))


class DecideTest(base.BaseTestCase):
    def test_every_combination(self):
        """For every index, every answer of two others, status and time, one of four outcomes."""
        for index, first, second, status, since in itertools.product(
            range(3), Peer, Peer, ("", "CREATE_IN_PROGRESS", "CREATE_COMPLETE"), (0, 59, 60)
        ):
            others = [other for other in range(3) if other != index]
            peers = dict(zip(others, (first, second), strict=True))
            outcome: int | str | None
            expected: int | str | None
            try:
                outcome = formation.decide(index, peers, status, since)
            except Temporary:
                outcome = "wait"
            except NodeError:
                outcome = "fail"
            answers = {first, second}
            if Peer.INSIDE in answers:
                expected = others[0] if first is Peer.INSIDE else others[1]
            elif answers in ({Peer.LEADERLESS}, {Peer.LEADERLESS, Peer.OUTSIDE}) and since >= 60:
                expected = "fail"
            elif index == 0 and answers == {Peer.OUTSIDE} and status == "CREATE_IN_PROGRESS":
                expected = None
            else:
                expected = "wait"
            self.assertEqual(expected, outcome, str((index, peers, status, since)))

    def test_never_founds_unless_every_other_answers(self):
        """Silence of a single one of six others forbids to found a swarm."""
        for peer in set(Peer) - {Peer.OUTSIDE}:
            for silent in range(1, 7):
                peers = dict.fromkeys(range(1, 7), Peer.OUTSIDE)
                peers[silent] = peer
                self.assertFalse(formation.may_found(0, peers))
        self.assertTrue(formation.may_found(0, dict.fromkeys(range(1, 7), Peer.OUTSIDE)))

    def test_only_manager(self):
        """The only manager founds the swarm while the cluster is created, and never later."""
        self.assertIsNone(formation.decide(0, {}, "CREATE_IN_PROGRESS", 0))
        for status in ("CREATE_COMPLETE", "UPDATE_IN_PROGRESS", "CREATE_FAILED", ""):
            self.assertRaises(Temporary, formation.decide, 0, {}, status, 0)

    def test_only_manager_zero_founds(self):
        """No other manager founds a swarm, whatever is seen."""
        self.assertFalse(formation.may_found(1, {0: Peer.OUTSIDE}))
        self.assertRaises(
            Temporary, formation.decide, 1, {0: Peer.OUTSIDE}, "CREATE_IN_PROGRESS", 0
        )

    def test_reasons(self):
        """Waiting says what was seen, of every manager."""
        peers = {1: Peer.SILENT, 2: Peer.OUTSIDE}
        error = self.assertRaises(Temporary, formation.decide, 0, peers, "", 0)
        self.assertEqual("manager 1 is silent, manager 2 is in no swarm", str(error))
        peers = {1: Peer.LEADERLESS}
        lost = self.assertRaises(NodeError, formation.decide, 0, peers, "", 60)
        self.assertIn("lost its quorum: manager 1 is in a swarm without a leader", str(lost))


class MayJoinTest(base.BaseTestCase):
    def _refused(self, *nodes):
        return str(self.assertRaises(Temporary, formation.may_join, nodes, OWN))

    def test_healthy_swarm(self):
        """With every manager reachable, a new one may join."""
        nodes = [swarm_node("a", "127.0.0.12"), swarm_node("w", "127.0.0.30", "worker")]
        self.assertIsNone(formation.may_join(nodes, OWN))

    def test_unreachable_manager(self):
        """None joins while an unreachable manager is listed."""
        for reachability in ("unreachable", "unknown"):
            nodes = (swarm_node("a"), swarm_node("b", "127.0.0.12", reachability=reachability))
            self.assertIn(
                "manager 127.0.0.12 is listed, but unreachable",
                str(self.assertRaises(Temporary, formation.may_join, nodes, "127.0.0.13")),
            )

    def test_dead_workers_do_not_matter(self):
        """A worker that is down keeps no manager out."""
        nodes = [swarm_node("a", "127.0.0.12"), swarm_node("w", "127.0.0.30", "worker", "down")]
        self.assertIsNone(formation.may_join(nodes, OWN))

    def test_own_dead_entry(self):
        """The dead entry of the own address is to be removed first."""
        for role, state, reachability in (
            ("manager", "down", "unreachable"),
            ("manager", "unknown", "unreachable"),
            ("worker", "down", ""),
            ("worker", "down", "unreachable"),
        ):
            dead = swarm_node("d", OWN, role, state, reachability)
            nodes = [swarm_node("a", "127.0.0.12"), dead]
            self.assertEqual(dead, formation.may_join(nodes, OWN))

    def test_own_entry_still_alive(self):
        """What the survivors still take for alive is not removed."""
        self.assertIn("still listed as alive", self._refused(swarm_node("d", OWN)))
        self.assertIn("still listed as alive", self._refused(swarm_node("d", OWN, state="down")))
        self.assertIn(
            "still listed as alive", self._refused(swarm_node("d", OWN, "worker", "ready"))
        )

    def test_address_known_from_raft_only(self):
        """A leader's own status may bear no usable address; Raft's does."""
        node = swarm_node("d", OWN, state="down", reachability="unreachable")
        odd = type(node)(**{**vars(node), "address": "0.0.0.0"})
        self.assertEqual(odd, formation.may_join([odd], OWN))

    def test_others_in_change(self):
        """None joins while another is being promoted or demoted."""
        promoted = swarm_node("b", "127.0.0.12", "manager", reachability="")
        demoted = swarm_node("b", "127.0.0.12", "worker", reachability="reachable")
        for node in (promoted, demoted):
            self.assertIn("promoted or demoted", self._refused(node))

    def test_ghost_of_a_failed_join(self):
        """A manager that never got into Raft and is down keeps nobody out."""
        ghost = swarm_node("g", "127.0.0.12", "manager", "down", "")
        self.assertIsNone(formation.may_join([ghost, swarm_node("a", "127.0.0.13")], OWN))


class MayLeaveTest(base.BaseTestCase):
    def test_listed_by_id_or_address(self):
        """Whoever may have become a member does not leave by itself."""
        nodes = [swarm_node("a", OWN)]
        self.assertFalse(formation.may_leave(nodes, "127.0.0.12", "a"))
        self.assertFalse(formation.may_leave(nodes, OWN, "b"))
        self.assertTrue(formation.may_leave(nodes, "127.0.0.12", "b"))


class AdmitWorkerTest(base.BaseTestCase):
    def test_new_address(self):
        """An address that nobody has gets the token."""
        nodes = [swarm_node("a"), swarm_node("w", "127.0.0.30", "worker")]
        self.assertEqual([], formation.admit_worker(nodes, "127.0.0.31"))

    def test_dead_entries(self):
        """Dead entries of the address are removed first, all of them."""
        nodes = [swarm_node(name, "127.0.0.30", "worker", "down") for name in ("x", "y")]
        self.assertEqual(["x", "y"], formation.admit_worker(nodes, "127.0.0.30"))

    def test_address_in_use(self):
        """An address that is ready, or may be, gets no token."""
        for state in ("ready", "unknown", "disconnected", ""):
            nodes = [swarm_node("w", "127.0.0.30", "worker", state)]
            error = self.assertRaises(NodeError, formation.admit_worker, nodes, "127.0.0.30")
            self.assertEqual(409, error.status)

    def test_manager(self):
        """A manager's address gets no worker token, dead or alive."""
        for state in ("ready", "down"):
            error = self.assertRaises(
                NodeError, formation.admit_worker, [swarm_node("m", OWN, state=state)], OWN
            )
            self.assertEqual(409, error.status)
