# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from typing import Any

import fixtures
from oslotest import base as test_base

from magnum_swarm_mode.cli.swarm.recover import Stage, stage_of
from tests.unit.cli import base
from tests.unit.cli.fake_managers import FakeManagers, node


class StageTest(test_base.BaseTestCase):
    def test_table(self) -> None:
        """What the managers list tells how far a recovery is."""
        lost = [node(0, leader=True), node(1, reachable=False), node(2, reachable=False)]
        one_lost = [node(0, leader=True), node(1), node(2, reachable=False)]
        demoted = {**node(1, reachable=False), "ManagerStatus": None}
        for expected, nodes, wanted in (
            (Stage.LOST, None, 3),
            (Stage.LEFTOVERS, lost, 3),
            (Stage.LEFTOVERS, lost[:2], 3),
            (Stage.LEFTOVERS, [lost[0], demoted], 3),
            (Stage.SHORT, lost[:1], 3),
            (Stage.STANDS, one_lost, 3),
            (Stage.WHOLE, one_lost[:2], 2),
            (Stage.WHOLE, [*one_lost[:1], node(0, role="worker")], 1),
        ):
            self.assertEqual(expected, stage_of(nodes, wanted))


class RecoverTest(base.CommandTestCase):
    """Three managers; Magnum makes the missing ones of what it is asked for."""

    def setUp(self) -> None:
        super().setUp()
        for name in ("_INTERVAL", "_BEGIN_SECONDS", "_LEAD_SECONDS", "_REMOVE_SECONDS"):
            self.useFixture(
                fixtures.MonkeyPatch(f"magnum_swarm_mode.cli.swarm.recover.{name}", 0.05)
            )
        self.cloud.resized = self.resized
        self.asked: list[Any] = []
        self.outcome = ("UPDATE_COMPLETE", "")

    def serve(self, alive: list[int], led: tuple[int, ...] = (), **reachable: bool) -> FakeManagers:
        """Have managers, of which those that are not ``alive`` are gone."""
        nodes = [
            *(node(i, reachable=i in alive, leader=i in led) for i in range(3)),
            node(0, role="worker"),
        ]
        managers = self.useFixture(FakeManagers(alive, nodes, led))
        self.cloud.authority = managers.authority
        template = self.cloud.add_template()
        self.cluster = self.cloud.add_cluster(
            name="swarm", cluster_template_id=template["uuid"], **managers.cluster(3)
        )
        self.managers = managers
        return managers

    def resized(self, cluster: dict[str, Any], body: Any) -> None:
        self.asked.append(body)
        cluster["status"], cluster["status_reason"] = self.outcome
        if self.outcome[0] == "UPDATE_COMPLETE":
            self.managers.nodes += [node(3), node(4)]

    def names(self) -> set[str]:
        return {one["Description"]["Hostname"] for one in self.managers.nodes}

    def test_recovers(self) -> None:
        """The only manager that is left founds a quorum, the others' entries go, and Magnum is
        asked for exactly their places."""
        managers = self.serve([1])

        ran = self.magnum("swarm-recover", "swarm", "--yes")

        self.assertEqual(0, ran.code, ran.err)
        (init,) = [body for _, _, path, body in managers.requests if path == "/swarm/init"]
        self.assertEqual(
            (True, "10.0.0.1", "0.0.0.0:2377"),
            (init["ForceNewCluster"], init["AdvertiseAddr"], init["ListenAddr"]),
        )
        self.assertEqual({1}, {number for number, *_ in managers.requests})
        self.assertEqual(
            [
                {
                    "node_count": 3,
                    "nodes_to_remove": ["swarm-manager-0", "swarm-manager-2"],
                    "nodegroup": "default-master",
                }
            ],
            self.asked,
        )
        self.assertEqual(
            {"swarm-manager-1", "swarm-manager-3", "swarm-manager-4", "swarm-worker-0"},
            self.names(),
        )
        self.assertIn("All 3 managers of swarm are in the quorum.", ran.out)
        self.assertEqual("no leader", ran.row("swarm-manager-1")[2])

    def test_again(self) -> None:
        """Run again at any point it goes on from there, and at the end it refuses."""
        managers = self.serve([0])
        managers.failing.add("/swarm/init")
        ran = self.magnum("swarm-recover", "swarm", "--yes")
        self.assertEqual(1, ran.code)
        self.assertIn("swarm-manager-0 to lead", ran.err)
        self.assertIn("it is not well", ran.err)
        managers.failing = {"/nodes/id-of-swarm-manager-2/update"}
        ran = self.magnum("swarm-recover", "swarm", "--yes")
        self.assertEqual(1, ran.code)
        self.assertNotIn("swarm-manager-1", self.names())
        managers.failing.clear()
        self.cloud.failures["POST", f"/clusters/{self.cluster['uuid']}/actions/resize"] = (
            503, '{"errors": [{"status": 503, "detail": "away"}]}', "application/json",
        )  # fmt: skip
        self.assertEqual(1, self.magnum("swarm-recover", "swarm", "--yes").code)
        self.assertNotIn("swarm-manager-2", self.names())
        self.cloud.failures.clear()

        ran = self.magnum("swarm-recover", "swarm", "--yes")

        self.assertEqual(0, ran.code, ran.err)
        self.assertEqual([{"node_count": 3, "nodegroup": "default-master"}], self.asked)
        inits = [path for _, _, path, _ in managers.requests if path == "/swarm/init"]
        self.assertEqual(2, len(inits))
        ran = self.magnum("swarm-recover", "swarm", "--yes")
        self.assertEqual(1, ran.code)
        self.assertIn("All 3 managers of swarm are in the quorum: nothing is to be", ran.err)

    def test_quorum_stands(self) -> None:
        """While the quorum stands nothing is done, and what helps is said."""
        managers = self.serve([0, 1], led=(0, 1))

        ran = self.magnum("swarm-recover", "swarm", "--yes")

        self.assertEqual(1, ran.code)
        self.assertIn("stands without swarm-manager-2", ran.err)
        self.assertIn("openstack coe cluster resize swarm 3 --nodegroup default-master", ran.err)
        self.assertEqual([], managers.requests)
        self.assertEqual([], self.asked)

    def test_new_leader(self) -> None:
        """Managers that a new leader does not reach yet, and that know it, are not removed."""
        managers = self.serve([0, 1, 2], led=(0,))
        managers.led = {0, 1, 2}
        for one in managers.nodes[1:3]:
            one["ManagerStatus"]["Reachability"] = "unreachable"

        ran = self.magnum("swarm-recover", "swarm", "--yes")

        self.assertEqual(1, ran.code)
        self.assertIn("are just finding each other", ran.err)
        self.assertEqual([], managers.requests)

    def test_nobody_left(self) -> None:
        """Where no manager is left the command says so."""
        managers = self.serve([2])
        self.cluster["master_addresses"] = [managers.address(0), managers.address(1)]

        ran = self.magnum("swarm-recover", "swarm", "--yes")

        self.assertEqual(1, ran.code)
        self.assertIn("No manager is left that knows the swarm", ran.err)

    def test_chosen(self) -> None:
        """Of several that are left the user chooses one, by index, host name or address; a survivor
        that is not chosen is replaced as well."""
        for way in ("1", "swarm-manager-1", None):
            managers = self.serve([0, 1])
            self.asked.clear()
            words = ["--manager", way or managers.address(1)]

            ran = self.magnum("swarm-recover", self.cluster["uuid"], "--yes", *words)

            self.assertEqual(0, ran.code, ran.err)
            self.assertEqual(
                ["swarm-manager-0", "swarm-manager-2"], self.asked[0]["nodes_to_remove"]
            )

    def test_chosen_wrongly(self) -> None:
        """One that is not left cannot be chosen."""
        self.serve([0, 1])

        ran = self.magnum("swarm-recover", "swarm", "--yes", "--manager", "2")

        self.assertEqual(1, ran.code)
        self.assertIn("0 (swarm-manager-0), 1 (swarm-manager-1)", ran.err)

    def test_asks(self) -> None:
        """Without --yes nothing happens unless somebody agrees."""
        managers = self.serve([0])

        ran = self.magnum("swarm-recover", "swarm")

        self.assertEqual(1, ran.code)
        self.assertIn("add --yes", ran.err)
        self.assertEqual([], managers.requests)

    def test_replacement_fails(self) -> None:
        """What Magnum cannot replace is told, with what to do next."""
        self.serve([0])
        self.useFixture(
            fixtures.MonkeyPatch("magnum_swarm_mode.cli.swarm.recover._BEGIN_SECONDS", 0.3)
        )
        self.outcome = ("UPDATE_FAILED", "no quota")

        ran = self.magnum("swarm-recover", "swarm", "--yes")

        self.assertEqual(1, ran.code)
        self.assertIn("swarm is UPDATE_FAILED", ran.err)
        self.assertIn("resize swarm 3", ran.err)

    def test_no_wait(self) -> None:
        """With --no-wait it ends when Magnum was asked."""
        self.serve([0])
        self.outcome = ("UPDATE_IN_PROGRESS", "Heat is asked.")

        ran = self.magnum("swarm-recover", "swarm", "--yes", "--no-wait")

        self.assertEqual(0, ran.code, ran.err)
        self.assertEqual(1, len(self.asked))

    def test_other_engine(self) -> None:
        """A cluster of another engine is refused."""
        self.serve([0])
        next(iter(self.cloud.templates.values()))["coe"] = "kubernetes"

        ran = self.magnum("swarm-recover", "swarm", "--yes")

        self.assertIn("COE kubernetes", ran.err)
