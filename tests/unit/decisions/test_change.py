# SPDX-License-Identifier: Apache-2.0
import dataclasses
import random

from hypothesis import example, given, settings
from hypothesis import strategies as st
from oslotest import base

from magnum_swarm_mode import stored
from magnum_swarm_mode.decisions import change, model, roles, steps
from magnum_swarm_mode.decisions.model import Node, Outcome, Plan
from tests import cases
from tests.unit.decisions.swarm_world import World


class WorkersTest(base.BaseTestCase):
    def test_grow(self):
        """More workers are one update of Heat, and done when they are in the swarm."""
        world = World(workers=2)
        world.request("worker", 4)

        step = world.run()

        self.assertEqual(Outcome.COMPLETE, step.outcome)
        self.assertEqual([("worker", 4, ())], world.updates)
        self.assertIsNone(step.reason)

    def test_shrink(self):
        """The emptiest are drained, removed from Heat and then from the swarm."""
        world = World(workers=4, tasks=2)
        world.change("swarm-worker-1", tasks=0)
        world.request("worker", 3)

        world.run()

        self.assertEqual([("worker", 3, ("1",))], world.updates)
        self.assertNotIn("swarm-worker-1", world.hostnames())
        self.assertEqual(6, len(world.nodes))

    def test_to_zero_and_back(self):
        """A group may lose all its workers, and get new ones with new indices."""
        world = World(workers=3)
        world.request("worker", 0)
        world.run()
        self.assertEqual(3, len(world.nodes))
        world.request("worker", 2)

        self.assertEqual(Outcome.COMPLETE, world.run().outcome)

        self.assertEqual(["swarm-worker-3", "swarm-worker-4"], world.hostnames()[3:])

    def test_named(self):
        """Nodes are named by server id, host name or index."""
        for name in ("server-swarm-worker-0", "swarm-worker-0", "0"):
            world = World(workers=3)
            world.request("worker", 2, [name])
            world.run()
            self.assertEqual([("worker", 2, ("0",))], world.updates)

    def test_named_is_replaced(self):
        """A node that is named while the number stays is replaced by a new one."""
        world = World(workers=2)
        world.request("worker", 2, ["swarm-worker-0"])

        world.run()

        self.assertEqual(["swarm-worker-1", "swarm-worker-2"], world.hostnames()[3:])

    def test_promoted(self):
        """A worker that a user promoted is demoted before it is drained and removed."""
        world = World(workers=2)
        world.change("swarm-worker-0", role="manager", in_raft=True, reachable=True)
        world.request("worker", 1, ["swarm-worker-0"])

        step = world.step()

        self.assertEqual("Demoting swarm-worker-0 (it is no manager's server).", step.reason)
        world.advance()
        self.assertEqual(Outcome.COMPLETE, world.run().outcome)
        self.assertEqual([("worker", 1, ("0",))], world.updates)

    def test_promoted_stays(self):
        """A repair makes a worker that a user promoted a worker again, and replaces it not."""
        world = World(workers=2)
        world.change("swarm-worker-0", role="manager", in_raft=True, reachable=True)
        world.request("worker", 2)

        step = world.step()

        self.assertEqual("Demoting swarm-worker-0 (a user promoted it).", step.reason)
        world.advance()
        self.assertEqual(Outcome.COMPLETE, world.run().outcome)
        self.assertEqual([], world.updates)
        self.assertEqual("worker", world.node("swarm-worker-0").role)

    def test_unknown_name(self):
        """A name that fits no node is said at the end."""
        world = World(workers=2)
        world.request("worker", 1, ["stranger"])

        self.assertEqual("Node stranger was not in node group worker.", world.run().reason)

    def test_drain_in_lots(self):
        """Nodes with tasks are drained a few at a time, and no task comes to those that wait."""
        world = World(workers=8, tasks=1)
        world.request("worker", 4)
        most = 0
        for _ in range(200):
            step = world.step()
            drained = [n for n in world.nodes.values() if n.availability == "drain" and n.tasks]
            most = max(most, len(drained))
            if step.outcome is Outcome.COMPLETE:
                break
            world.advance()
        self.assertEqual(1, most)
        self.assertEqual([("worker", 4)], [call[:2] for call in world.updates])

    def test_slow_drain(self):
        """Tasks that do not go in time are said and do not hold the operation up."""
        world = World(workers=2, tasks=3)
        world.moves = False
        world.drain_timeout = 60
        world.request("worker", 1)

        step = world.run()

        self.assertIn("3 tasks were still on it after 60 seconds", step.reason)
        cases.shown(self, "change-slow-drain", step.reason, answer="UPDATE_COMPLETE")

    def test_draining_is_told(self):
        """What is under way stands in the reason."""
        world = World(workers=2, tasks=3)
        world.moves = False
        world.request("worker", 1)
        reasons = []
        for _ in range(4):
            reasons.append(world.step().reason)
            world.advance()
        self.assertEqual(
            [
                "No further task is put on swarm-worker-1.",
                "Draining swarm-worker-1.",
                "Draining: 3 tasks are still on swarm-worker-1.",
            ],
            reasons[:3],
        )

    def test_second_request_waits(self):
        """What is asked for while Heat is at work is served after that, and cuts nothing off."""
        world = World(workers=2)
        world.request("worker", 5)
        world.step()
        world.request("worker", 1)

        self.assertEqual("Heat makes it 3 managers, 5 workers.", world.step().reason)
        world.run()

        self.assertEqual([5, 1], [call[1] for call in world.updates])
        self.assertEqual(4, len(world.nodes))

    def test_second_request_while_draining(self):
        """Nodes that need not leave any more stay, and get tasks again."""
        world = World(workers=4, tasks=2)
        world.request("worker", 2)
        world.step()
        world.step()
        world.request("worker", 4)

        self.assertEqual(Outcome.COMPLETE, world.run().outcome)

        self.assertEqual([], world.updates)
        self.assertEqual({"active"}, {node.availability for node in world.nodes.values()})

    def test_quota(self):
        """What Heat cannot make fails the operation with its reason; the same number repairs it."""
        world = World(workers=2)
        world.limit = 6
        world.request("worker", 4)

        step = world.run()

        self.assertEqual(Outcome.FAILED, step.outcome)
        self.assertIn("Quota exceeded", step.reason)
        world.limit = 100
        world.mute.clear()
        world.request("worker", 4)
        self.assertEqual(Outcome.COMPLETE, world.run().outcome)
        self.assertEqual(7, len(world.nodes))

    def test_rollback(self):
        """Where that was asked for a failure leads back to the number before."""
        world = World(workers=2)
        world.limit = 5
        world.request("worker", 4, rollback=True)

        step = world.run()

        self.assertEqual(Outcome.COMPLETE, step.outcome)
        cases.shown(self, "change-rolled-back", step.reason, answer="UPDATE_COMPLETE")
        self.assertEqual(2, world.rows["worker"].wanted)
        self.assertEqual(5, len(world.nodes))

    def test_every_stack_status(self):
        """No status of Heat's is taken for another: what is under way is waited for, what failed
        before is asked for again, and a stack that goes ends the operation."""
        for action in (
            *("CREATE", "UPDATE", "ROLLBACK", "SUSPEND", "RESUME"),
            *("ADOPT", "SNAPSHOT", "CHECK", "RESTORE", "INIT"),
        ):
            for outcome, asked in (("IN_PROGRESS", 0), ("COMPLETE", 1), ("FAILED", 1)):
                world = World(workers=2)
                world.request("worker", 3)
                world.stack_status = f"{action}_{outcome}"
                self.assertEqual(Outcome.GOES_ON, world.step().outcome)
                self.assertEqual(asked, len(world.updates), world.stack_status)
        for outcome in ("IN_PROGRESS", "COMPLETE", "FAILED"):
            world = World(workers=2)
            world.request("worker", 3)
            world.stack_status = f"DELETE_{outcome}"
            step = world.step()
            self.assertEqual((Outcome.FAILED, []), (step.outcome, world.updates))
            cases.shown(self, "change-stack-deleted", step.reason, answer="UPDATE_FAILED")

    def test_never_joins(self):
        """A node that does not join fails the operation after its time; then it is replaced."""
        world = World(workers=2)
        world.mute = {"swarm-worker-2"}
        world.request("worker", 3)
        step = world.run()
        self.assertEqual(Outcome.FAILED, step.outcome)
        cases.shown(self, "change-never-joins", step.reason, answer="UPDATE_FAILED")

        world.request("worker", 3)
        self.assertEqual("Replaced swarm-worker-2.", world.run().reason)

        self.assertEqual(("worker", 3, ("2",)), world.updates[-1])
        self.assertIn("swarm-worker-3", world.hostnames())

    def _reported(self, words):
        """Return the step after a new node, which is waited for, reported a failure."""
        world = World(workers=2)
        world.mute = {"swarm-worker-2"}
        world.request("worker", 3)
        world.step()
        world.advance()
        return change.decide(world.seen(reports={"server-swarm-worker-2": words}))

    def test_report(self):
        """What a new node says of its failure ends the waiting at once."""
        step = self._reported("swarm-worker-2: no disk")

        self.assertEqual((Outcome.FAILED, "swarm-worker-2: no disk"), (step.outcome, step.reason))

    def test_report_without_name(self):
        """A report that does not begin with the name of its server gets that name."""
        step = self._reported("swarm-worker-1: no disk")

        self.assertEqual("swarm-worker-2: swarm-worker-1: no disk", step.reason)

    def test_away_before(self):
        """A node that was away before does not hold a resize up, nor is it replaced by it."""
        world = World(workers=3)
        world.kill("swarm-worker-0")
        world.request("worker", 4)

        self.assertEqual(Outcome.COMPLETE, world.run().outcome)

        self.assertEqual([("worker", 4, ())], world.updates)

    def test_away_leaves_first(self):
        """Of all nodes those leave first that are away."""
        world = World(workers=3)
        world.kill("swarm-worker-0")
        world.request("worker", 2)

        world.run()

        self.assertEqual([("worker", 2, ("0",))], world.updates)
        self.assertNotIn("swarm-worker-0", world.hostnames())

    def test_repair(self):
        """The same number again replaces nodes that stay away, and those only."""
        world = World(workers=3)
        world.kill("swarm-worker-0")
        world.request("worker", 3)

        self.assertEqual("Replaced swarm-worker-0.", world.run().reason)

        self.assertEqual([("worker", 3, ("0",))], world.updates)

    def test_repair_waits(self):
        """A node that comes back within a minute is not replaced."""
        world = World(workers=3)
        world.kill("swarm-worker-0")
        world.request("worker", 3)
        world.step()
        world.advance(30)
        world.change("swarm-worker-0", state="ready")

        self.assertEqual(Outcome.COMPLETE, world.run().outcome)

        self.assertEqual([], world.updates)

    def test_nothing_to_do(self):
        """The same number of a cluster that is well is complete at once."""
        world = World()
        world.request("worker", 3)

        self.assertEqual(Outcome.COMPLETE, world.step().outcome)

    def test_failure_frees(self):
        """Nodes that were to leave work again after a failure."""
        world = World(workers=3, tasks=2)
        world.request("worker", 1)
        world.step()
        world.step()
        world.stack_status, world.updated, world.failure = "UPDATE_FAILED", "other", "no"
        world.plan.sent = {"cluster": model.Sent(1, "t0")}

        step = world.step()

        said = "The change of worker failed: no"
        self.assertEqual((Outcome.FAILED, said), (step.outcome, step.reason))
        self.assertEqual({"active"}, {node.availability for node in world.nodes.values()})
        self.assertTrue(world.plan.is_over)

    def test_labels(self):
        """A group's labels are set on its nodes, changed and taken off; others stay."""
        world = World(workers=2)
        world.rows["worker"].labels = {"disk": "ssd", "zone": "a"}
        world.change("swarm-worker-0", labels={"own": "1"})
        world.request(resized=False, group="worker", wanted="same")
        world.run()
        self.assertEqual(
            {"own": "1", "disk": "ssd", "zone": "a"}, world.node("swarm-worker-0").labels
        )
        world.rows["worker"].labels = {"disk": "hdd"}
        world.request(resized=False, group="worker", wanted="same")

        world.run()

        self.assertEqual({"own": "1", "disk": "hdd"}, world.node("swarm-worker-0").labels)
        self.assertEqual([], world.updates)


class ManagersTest(base.BaseTestCase):
    def test_up_and_down(self):
        """1, 3, 5, 7 and back, the leader among those that go; the quorum is never lost."""
        world = World(managers=1)
        for count in (3, 5, 7, 5, 3, 1):
            world.request("masters", count)
            step = world.run()
            self.assertEqual((Outcome.COMPLETE, None), (step.outcome, step.reason))
            raft = [node for node in world.nodes.values() if node.in_raft]
            self.assertEqual(count, len(raft))
        self.assertEqual(6, len(world.updates))

    def test_leader_last(self):
        """The leader is demoted when it is named, after the others."""
        world = World(managers=3)
        world.request("masters", 1, ["swarm-manager-0", "swarm-manager-1"])
        reasons = []
        for _ in range(40):
            step = world.step()
            reasons.append(step.reason)
            if step.outcome is Outcome.COMPLETE:
                break
            world.advance()
        demotions = [reason for reason in reasons if reason and reason.startswith("Demoting")]
        self.assertEqual(
            [
                "Demoting swarm-manager-1 (1 of 3 managers stay).",
                "Demoting swarm-manager-0, the leader, (1 of 3 managers stay).",
            ],
            demotions,
        )
        self.assertEqual([("masters", 1, ("0", "1"))], world.updates)

    def wait_for_list(self, world, hostname):
        """Take a node from the swarm's list and see that it is waited for; return the node."""
        new = world.node(hostname)
        del world.nodes[new.id]
        for _ in range(3):
            step = change.decide(world.seen())
            world.plan = step.plan
            self.assertEqual((), step.actions)
            self.assertEqual(f"Waiting until the swarm lists {hostname}.", step.reason)
            world.now += 10
        return new

    def test_list_is_old(self):
        """No server of a manager is removed that the swarm does not list yet: it may have joined.

        One that stays absent from the list is removed after a while.
        """
        for joined in (True, False):
            world = World(managers=3)
            world.request("masters", 1)
            new = self.wait_for_list(world, "swarm-manager-2")
            if joined:
                world.nodes[new.id] = new
            else:
                world.now += steps.LIST_SECONDS

            self.assertEqual(Outcome.COMPLETE, world.run().outcome)
            self.assertEqual([0], world.rows["masters"].indices)

    def test_list_is_old_of_workers(self):
        """No worker's server is removed that the swarm does not list yet: it may have tasks.

        One that stays absent from the list is removed after a while.
        """
        for joined in (True, False):
            world = World(workers=2)
            world.request("worker", 1)
            new = self.wait_for_list(world, "swarm-worker-1")
            if joined:
                world.nodes[new.id] = new
                self.assertEqual(
                    (model.SetNode(new.id, availability="pause"),), world.step().actions
                )
            else:
                world.now += steps.LIST_SECONDS

            self.assertEqual(Outcome.COMPLETE, world.run().outcome)
            self.assertEqual([0], world.rows["worker"].indices)

    def test_named_among_more(self):
        """Where a manager is to leave and more are to be than there are, others come first."""
        world = World(managers=3)
        world.request("masters", 5, ["swarm-manager-0"])

        self.assertEqual(
            "Heat is asked to make the managers of masters from 3 to 5.", world.step().reason
        )
        world.advance()
        self.assertEqual(Outcome.COMPLETE, world.run().outcome)
        self.assertEqual([("masters", 5, ()), ("masters", 5, ("0",))], world.updates)
        self.assertEqual([1, 2, 3, 4, 5], world.rows["masters"].indices)

    def test_two_named(self):
        """Two managers that are named are replaced one after the other."""
        world = World(managers=3)
        world.request("masters", 3, ["swarm-manager-0", "swarm-manager-1"])
        least = 3
        for _ in range(60):
            if world.step().outcome is Outcome.COMPLETE:
                break
            world.advance()
            raft = [node for node in world.nodes.values() if node.in_raft and node.reachable]
            least = min(least, len(raft))

        self.assertEqual(2, least)
        self.assertEqual([("masters", 3, ("1",)), ("masters", 3, ("0",))], world.updates)
        self.assertEqual(
            ["swarm-manager-2", "swarm-manager-3", "swarm-manager-4"], world.hostnames()[:3]
        )

    def test_next_never_leaves(self):
        """Where the manager that takes the place of the first never joins, the second one stays."""
        world = World(managers=3)
        world.mute = {"swarm-manager-3"}
        world.request("masters", 3, ["swarm-manager-0", "swarm-manager-1"])
        for _ in range(400):
            step = world.step()
            if step.outcome is Outcome.FAILED:
                break
            world.advance(60)

        self.assertIn(
            "swarm-manager-3 joined the swarm, before another manager leaves", step.reason
        )
        self.assertEqual(["1"], [index for _, _, gone in world.updates for index in gone])
        self.assertEqual("manager", world.node("swarm-manager-0").role)

    def test_lost_refused(self):
        """Fewer managers are refused while one is lost that is not named; nothing is begun."""
        world = World(managers=3)
        world.kill("swarm-manager-2")
        world.request("masters", 1)

        step = world.run()

        self.assertEqual(Outcome.FAILED, step.outcome)
        self.assertIn(
            "2 of 3 managers are reachable (swarm-manager-2 is not), and removing 2 that work "
            "would leave 0 reachable of 1, where 1 are needed for a quorum.",
            step.reason,
        )
        cases.shown(self, "change-lost-manager", step.reason, answer="UPDATE_FAILED")
        self.assertEqual(3, world.rows["masters"].wanted)
        self.assertEqual([], world.updates)

    def test_lost_named(self):
        """A lost manager that is named goes first."""
        world = World(managers=5)
        world.kill("swarm-manager-0")
        world.request("masters", 3, ["swarm-manager-0"])

        self.assertEqual(Outcome.COMPLETE, world.run().outcome)

        self.assertEqual([("masters", 3, ("0", "4"))], world.updates)

    def test_lost_replaced(self):
        """The same number of managers replaces a lost one."""
        world = World(managers=3)
        world.kill("swarm-manager-0")
        world.request("masters", 3)

        self.assertEqual("Replaced swarm-manager-0.", world.run().reason)

        self.assertEqual(3, sum(node.in_raft for node in world.nodes.values()))

    def test_growing_with_lost(self):
        """No manager is added while one is lost, as none could join."""
        world = World(managers=3)
        world.kill("swarm-manager-1")
        world.request("masters", 5)

        step = world.run()

        self.assertEqual(Outcome.FAILED, step.outcome)
        cases.shown(self, "change-grow-lost-manager", step.reason, answer="UPDATE_FAILED")

    def test_no_quorum(self):
        """Without a quorum nothing is begun, and the operation fails after a while."""
        seen = World(managers=3).seen()
        world = World(managers=3)
        world.request("masters", 1)
        silent = {**vars(seen), "nodes": None, "silence": "no leader", "plan": world.plan}

        step = change.decide(model.Seen(**silent))

        self.assertEqual("Waiting for the swarm: no leader", step.reason)
        late = change.decide(
            model.Seen(**{**silent, "plan": step.plan, "now": seen.now + steps.PATIENCE + 1})
        )
        self.assertEqual(Outcome.FAILED, late.outcome)
        cases.shown(self, "change-no-quorum", str(late.reason), answer="UPDATE_FAILED")

    def test_only_manager(self):
        """The only manager is not removed."""
        world = World(managers=1)
        world.request("masters", 1, ["0"])

        step = world.run()

        cases.shown(self, "change-only-manager", step.reason, answer="UPDATE_FAILED")


class AnythingTest(base.BaseTestCase):
    @settings(max_examples=150)
    @given(st.integers(min_value=0, max_value=2**32))
    @example(376)  # a second request, while two of five managers are demoted for the first
    def test_converges(self, seed):
        """Whatever is asked for, whoever dies and whatever is lost: no quorum is lost by a step,
        and the last request is served or refused.
        """
        dice = random.Random(seed)
        world = World(managers=dice.choice((1, 3, 5)), workers=dice.randrange(6), tasks=2)
        for _ in range(dice.randrange(1, 5)):
            if dice.random() < 0.3:
                self._lose(world, dice)
            group = dice.choice(("masters", "worker"))
            count = dice.choice((1, 3, 5, 7)) if group == "masters" else dice.randrange(8)
            names = [member.hostname for member in world.members(world.rows[group])]
            named = dice.sample(names, min(len(names), dice.randrange(2)))
            world.request(group, count, named)
            for _ in range(dice.randrange(12)):
                step = world.step(act=dice.random() < 0.9)
                if step.outcome is not Outcome.GOES_ON:
                    break
                world.advance()
        step = world.run()
        if step.outcome is Outcome.COMPLETE:
            for row in world.rows.values():
                self.assertEqual(row.wanted, len(row.indices))
            members = {row.hostname(i) for row in world.rows.values() for i in row.indices}
            self.assertEqual(set(), {n.hostname for n in world.nodes.values()} - members)
        else:
            self.assertRegex(step.reason, "refused|Waiting until .* joined")
        self.assertEqual({"active"}, {node.availability for node in world.nodes.values()})

    @staticmethod
    def _lose(world, dice):
        raft = [node for node in world.nodes.values() if node.in_raft]
        reachable = sum(node.reachable for node in raft)
        candidates = [
            node.hostname
            for node in world.nodes.values()
            if node.state == "ready"
            and (not node.in_raft or reachable - 1 >= roles.quorum(len(raft)))
        ]
        if candidates:
            world.kill(dice.choice(candidates))


class PlanTest(base.BaseTestCase):
    def test_json(self):
        """A plan survives being written down, with what a newer release adds."""
        world = World(workers=3)
        world.request("worker", 1)
        world.step()

        self.assertEqual(world.plan, stored.load(Plan, stored.dump(world.plan)))
        self.assertEqual(
            {**stored.dump(world.plan), "later": 1},
            stored.dump(stored.load(Plan, {**stored.dump(world.plan), "later": 1})),
        )


class ForeignNodesTest(base.BaseTestCase):
    def test_resize(self):
        """Nodes that a user joined to the swarm stay in it although they are down."""
        world = World(managers=3, workers=2)
        own = Node(id="own", hostname="own-server", state="down", is_ours=False)
        manager = dataclasses.replace(own, id="own-manager", hostname="own-manager")
        world.nodes |= {
            "own": own,
            "own-manager": dataclasses.replace(manager, role="manager", in_raft=True),
        }
        before = dict(world.nodes)
        world.request("worker", 3)

        self.assertEqual(Outcome.COMPLETE, world.run().outcome)

        self.assertEqual(before["own"], world.nodes["own"])
        self.assertEqual(before["own-manager"], world.nodes["own-manager"])
