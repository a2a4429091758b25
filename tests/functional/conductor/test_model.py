# SPDX-License-Identifier: Apache-2.0
import dataclasses
import os
import random
import sys
from unittest import mock

from oslotest import base
from testtools import content

from magnum_swarm_mode.db.store import Store
from tests.model import machine, swarm
from tests.model.conductors import Fate
from tests.model.counts import COUNTS

# How many sequences each of the 16 tests plays, with a new seed where a number is given.
_GIVEN = os.environ.get("MODEL_SEQUENCES")
_SEQUENCES = int(_GIVEN or 125)


class LifeTest(base.BaseTestCase):
    """Single sequences, written down."""

    def begin(self, kind=machine.Counting, fate=None, healing=False):
        life = kind()
        self.addCleanup(life.simulation.close)
        life.create(which=0, managers=3, workers=2, healing=healing, fate=fate)
        return life

    def lose_worker(self, life):
        """Let the last worker fall silent; return its server."""
        ready = life.world.swarm.ready()
        life.node(what="lost", which=len(ready) - 1)
        (lost,) = set(ready) - set(life.world.swarm.ready())
        self.assertIn("-worker-", lost)
        return life.world.stacks.servers()[lost].id

    def test_resize_and_delete(self):
        """Without faults a cluster is created, grows, shrinks and leaves nothing behind."""
        life = self.begin()
        self.assertEqual("CREATE_COMPLETE", life.simulation.status())
        for count in (4, 1):
            life.resize(which=0, group=1, count=count, fate=None)
            life.settle()
            self.assertEqual([], list(life.judge.at_rest()))
            self.assertEqual("UPDATE_COMPLETE", life.simulation.status())
            self.assertEqual(3 + count, len(life.world.stacks.servers()))
        life.delete(which=0, surely=True, fate=None)
        life.settle()
        self.assertEqual([], list(life.judge.at_rest()))
        self.assertIsNone(life.simulation.row())

    def test_nodes_lie(self):
        """A cluster whose nodes bear each other's names is changed like any other."""
        for kind in (machine.Counting, machine.Upgrading):
            life = self.begin(kind)
            life.world.swarm.lies = swarm.lie
            before = life.world.stacks.servers()
            life.resize(which=0, group=1, count=4, fate=None)
            life.settle()
            life.resize(which=0, group=1, count=1, fate=None)
            life.settle()
            self.assertEqual([], list(life.judge.at_rest()))
            self.assertEqual("UPDATE_COMPLETE", life.simulation.status())
            if kind is machine.Upgrading:
                life.upgrade(which=0, template="second", group=None, batch=1, fate=None)
                life.settle()
                self.assertEqual([], list(life.judge.at_rest()))
                after = life.world.stacks.servers()
                self.assertEqual(3, len([one for one in after if "-manager-" in one]))
                self.assertEqual({"debian-next"}, {one.look[0] for one in after.values()})
                self.assertNotEqual(before, after)
            self.doCleanups()

    def test_failure_names_request(self):
        """A request that fails because a service is away says so with its own name."""

        def create(life):
            life.create(which=0, managers=1, workers=0, healing=False, fate=None)

        def create_without_rights(life):
            life.trouble("keystone silent")
            create(life)

        begin = "The replacement of certificates failed: "
        for kind, before, service, action, arguments, said in (
            ("life", None, "keystone", "create", {}, "The creation of the cluster failed: "),
            ("life", create_without_rights, "heat", "delete", {"surely": True}, "The deletion of"),
            ("rotating", create, "keystone", "rotate_ca", {}, f"{begin}Failed to create"),
            ("rotating", create, "heat", "rotate_ca", {}, f"{begin}heat does not answer. N"),
            ("counting", create, "heat", "create_group", {"count": 1}, "Node group group-3: heat"),
        ):
            life = machine.EMPHASES[kind]()
            self.addCleanup(life.simulation.close)
            if before:
                before(life)
            life.trouble(f"{service} silent")
            if action == "create":
                create(life)
            else:
                getattr(life, action)(which=0, fate=None, **arguments)
            row = life.simulation.facts()
            self.assertEqual(said, (row.status_reason or "")[: len(said)])
            self.assertEqual([], list(life.judge.told(0)))
            self.doCleanups()

    def test_lost_request(self):
        """A resize that is complete in Magnum and was never carried out is a lost request."""
        life = self.begin()
        with mock.patch.object(Store, "write", lambda _, record, __: record):
            life.resize(which=0, group=1, count=4, fate=None)
        row = life.simulation.row()
        row.status = "UPDATE_COMPLETE"
        row.save()
        life.ledger.each[-1].value = 3

        life.settle()

        self.assertIn("a request is lost", [one.split(":")[0] for one in life.judge.at_rest()])

    def test_node_never_joins(self):
        """A change is not called complete while a node of another group has never joined."""
        life = self.begin()
        life.trouble("a mute")
        life.create_group(which=0, count=2, fate=None)
        life.settle()
        self.assertEqual([], list(life.judge.at_rest()))
        life.resize(which=0, group=1, count=1, fate=None)
        life.settle()
        self.assertEqual([], list(life.judge.at_rest()))
        row = life.simulation.facts()
        self.assertEqual("UPDATE_FAILED", row.status)
        self.assertIn(
            "What was requested is done, but node group group-3 has 1 of 2 nodes; not in the "
            "swarm: swarm-group-3-0.",
            row.status_reason,
        )

        life._resize_again(life.simulation.groups()[2:])

        self.assertEqual([], list(life.judge.at_rest()))
        self.assertEqual("UPDATE_COMPLETE", life.simulation.status())

    def test_node_never_joined(self):
        """A change of labels is not complete while a node of the group has never joined."""
        life = self.begin()
        life.trouble("heat failed")
        life.trouble("a mute")
        life.resize(which=0, group=1, count=4, fate=None)
        life.settle()
        self.assertEqual("UPDATE_FAILED", life.simulation.status())

        life.label(which=0, group=1, value="b", fate=None)
        life.settle()

        self.assertEqual([], list(life.judge.at_rest()))
        row = life.simulation.facts()
        self.assertEqual("UPDATE_FAILED", row.status)
        self.assertIn("default-worker has 3 of 4 nodes; not in the swarm: ", row.status_reason)

    def test_list_is_old(self):
        """Workers that the swarm does not list yet are drained before they are removed."""
        life = self.begin()
        life.trouble("swarm stale")
        life.resize(which=0, group=1, count=4, fate=None)
        life.look(which=0, what="poll", seconds=0, fate=None)
        life.resize(which=0, group=1, count=2, fate=None)
        for _ in range(3):
            # Heat is done within the second, so that the list is older than the nodes.
            life.look(which=0, what="poll", seconds=10, fate=None)
        life.trouble("no trouble")
        life.settle()
        self.assertEqual([], list(life.judge.at_rest()))
        self.assertEqual("UPDATE_COMPLETE", life.simulation.status())

    def test_named_among_more(self):
        """A manager leaves whose removal is requested with more managers than there are."""
        life = self.begin()
        life.replace(which=0, group=0, nodes=[0], fewer=False, fate=None)
        life.resize(which=0, group=0, count=3, fate=None)
        life.settle()
        self.assertEqual([], list(life.judge.at_rest()))
        self.assertEqual("UPDATE_COMPLETE", life.simulation.status())

    def test_node_is_lost(self):
        """A cluster is healthy while all its nodes are ready, and only then."""
        life = self.begin()
        self.assertEqual("HEALTHY", life.simulation.facts().health_status)
        self.lose_worker(life)
        life._turn()
        self.assertEqual("UNHEALTHY", life.simulation.facts().health_status)
        life.node(what="back", which=0)
        life._turn()
        self.assertEqual("HEALTHY", life.simulation.facts().health_status)

    def test_patience(self):
        """A node that is down is replaced after the time that its cluster's label says."""
        life = self.begin(healing=True)
        lost = self.lose_worker(life)
        for _ in range(4):
            life._turn()
            self.assertEqual(0, life.world.stacks.updates)
        life.settle()
        self.assertEqual([], list(life.judge.at_rest()))
        self.assertNotIn(lost, {one.id for one in life.world.stacks.servers().values()})
        self.assertEqual(5, len(life.world.swarm.ready()))

    def test_old_failure(self):
        """What Heat failed at before ends no other request."""
        life = self.begin()
        life.trouble("heat failed")
        life.resize(which=0, group=1, count=4, fate=None)
        life.settle()
        self.assertEqual("UPDATE_FAILED", life.simulation.status())
        life.resize(which=0, group=1, count=3, fate=None)
        life.settle()
        self.assertEqual("UPDATE_COMPLETE", life.simulation.status())

    def test_taken_over(self):
        """A conductor that goes on with a creation that another one has finished harms nothing."""
        finished = 0
        for number in range(28):
            life = self.begin(machine.Life, Fate(number, "stalls"))
            for _ in range(6):
                life.time_passes(which=1, turns=1)
            if life.simulation.status() == "CREATE_COMPLETE":
                finished += life.simulation.conductors.each[0].is_stalled
                life.go_on(fate=None, seconds=0)
                life.settle()
                self.assertEqual([], list(life.judge.at_rest()), f"{number}")
                self.assertEqual("CREATE_COMPLETE", life.simulation.status())
            self.doCleanups()
        self.assertLess(0, finished)

    def test_lease(self):
        """While a conductor stands still under its lease no other one takes a step."""
        life = self.begin()
        life.resize(which=0, group=1, count=4, fate=None)
        life.look(which=0, what="poll", seconds=10, fate=Fate(2, "stalls"))
        life.look(which=1, what="poll", seconds=10, fate=None)
        self.assertEqual([], list(life.judge.always()))
        life.settle()
        self.assertEqual([], list(life.judge.at_rest()))

    def test_two_managers(self):
        """Two managers that are to be replaced leave one after the other."""
        life = self.begin()
        life.replace(which=0, group=0, nodes=[0, 1], fewer=False, fate=None)
        life.settle()
        self.assertEqual([], list(life.judge.at_rest()))
        self.assertEqual("UPDATE_COMPLETE", life.simulation.status())

    def test_heat_never_ends(self):
        """A change that Heat begins and never ends fails when its deadline has passed."""
        life = self.begin()
        life.world.stacks.lag = 1 << 30
        life.resize(which=0, group=1, count=4, fate=None)
        for _ in range(8):
            life._turn(0, 1500)
            self.assertEqual([], list(life.judge.in_time(life.world.now - 1500)))
        row = life.simulation.facts()
        self.assertEqual("UPDATE_FAILED", row.status)
        self.assertIn("did not end before its deadline", row.status_reason)

    def test_swarm_silent_meanwhile(self):
        """A change that fails while nodes are drained gives these nodes their tasks again."""
        life = self.begin()
        life.resize(which=0, group=1, count=1, fate=None)
        nodes = life.world.swarm.nodes.values()
        while all(node["Spec"]["Availability"] != "drain" for node in nodes):
            life._turn(0, 1)
        life.trouble("swarm silent")
        for _ in range(6):
            life._turn(0)
        self.assertEqual("UPDATE_FAILED", life.simulation.status())

        life.trouble("no trouble")
        life.settle()

        self.assertEqual([], list(life.judge.at_rest()))

    def test_delete_dies(self):
        """A delete whose conductor dies before the status is saved ends all the same."""
        for kind, status in (
            (machine.Life, "CREATE_IN_PROGRESS"),
            (machine.Counting, "CREATE_COMPLETE"),
        ):
            life = self.begin(kind)
            life.delete(which=0, surely=True, fate=Fate(4, "dies"))
            self.assertEqual(status, life.simulation.status())

            life.settle()

            self.assertEqual([], list(life.judge.at_rest()))
            self.assertIsNone(life.simulation.row())
            self.doCleanups()

    def test_creation_dies(self):
        """Whenever a conductor dies during a creation, the cluster's deletion leaves nothing."""
        most = 0
        for number in range(28):
            for how in ("dies", "dies after"):
                life = self.begin(machine.Life, Fate(number, how))
                self.assertEqual(1, life.simulation.conductors.deaths)
                most = max(most, len(life.world.certificates))

                if life.simulation.status():
                    life.delete(which=0, surely=True, fate=None)
                    life.settle()

                self.assertEqual([], list(life.judge.at_rest()), f"{number}, {how}")
                self.doCleanups()
        self.assertEqual(4, most)

    def delete_unmade_group(self, life, number):
        """Have a conductor stand still while it makes a group, and another one delete that.

        :param number: of the request or write at which it stands still.
        :returns: whether it stood still with the group's row written.
        """
        life.create_group(which=0, count=1, fate=Fate(number, "stalls"))
        if not (life.simulation.conductors.each[0].is_stalled and life.simulation.groups()[2:]):
            return False
        life.delete_group(which=1, group=0, fate=None)
        for _ in range(6):
            life.time_passes(which=1, turns=1)
        return True

    def test_late_group(self):
        """A group is deleted while its conductor stands still, which makes it then and dies."""
        late = 0
        for number in range(3, 10):
            for fate in (None, Fate(0, "dies after"), Fate(1, "dies")):
                life = self.begin(machine.Counting)
                if self.delete_unmade_group(life, number) and not life.simulation.groups()[2:]:
                    late += 1
                    life.go_on(fate=fate, seconds=0)
                    life.nothing_is_broken()
                    life.settle()
                    self.assertEqual([], list(life.judge.at_rest()), f"{number}, {fate}")
                    stacks = [one.name for one in life.world.stacks.living()]
                    self.assertEqual(1, len(stacks), f"{number}, {fate}: {stacks}")
                    self.assertEqual(5, len(life.world.swarm.nodes))
                self.doCleanups()
        self.assertLess(9, late)

    def test_late_group_of_deleted_cluster(self):
        """The deletion of a cluster deletes the stack of a group that was made too late."""
        for number in range(4, 10):
            life = self.begin(machine.Counting)
            if self.delete_unmade_group(life, number):
                life.go_on(fate=Fate(0, "dies after"), seconds=0)
                life.delete(which=1, surely=True, fate=None)
                life.settle()
                self.assertEqual([], list(life.judge.at_rest()), f"{number}")
                self.assertEqual([], life.world.stacks.living())
            self.doCleanups()

    def test_stands_still(self):
        """A conductor that stands still until the cluster is gone leaves nothing behind.

        Neither do certificates stay when it dies after it has gone on.
        """
        ended = 0
        for kind, action in ((machine.Life, "create"), (machine.Rotating, "rotate_ca")):
            for number in range(20):
                for fate in (None, Fate(0, "dies after"), Fate(1, "dies")):
                    stalls, whole = Fate(number, "stalls"), None
                    life = self.begin(kind, stalls if action == "create" else whole)
                    if action == "rotate_ca":
                        life.rotate_ca(which=0, fate=stalls)
                    if life.simulation.status() and life.simulation.conductors.each[0].is_stalled:
                        life.delete(which=1, surely=True, fate=None)
                        for _ in range(12):
                            life.time_passes(which=1, turns=1)
                        ended += life.simulation.row() is None
                        life.go_on(fate=fate, seconds=0)
                        life.nothing_is_broken()
                        life.settle()
                        self.assertEqual([], list(life.judge.at_rest()), f"{number}, {fate}")
                    self.doCleanups()
        self.assertLess(80, ended)


class SequencesCase(base.BaseTestCase):
    """A part of the sequences of one emphasis for each test, which can run beside each other."""

    emphasis = ""

    def _play(self, part):
        number = random.SystemRandom().randrange(1 << 32) if _GIVEN else part
        again = (
            f"python -m tests.model --emphasis {self.emphasis} --sequences {_SEQUENCES} "
            f"--seed {number}"
        )
        before = dataclasses.replace(COUNTS)
        try:
            machine.play(self.emphasis, _SEQUENCES, number)
        except BaseException as error:
            # The shortest sequences that break something, one for each way to break it.
            notes = [*getattr(error, "__notes__", ()), "It is played again with:", again]
            for one in getattr(error, "exceptions", ()):
                notes += [str(one), *getattr(one, "__notes__", ())]
            self.addDetail("sequence", content.text_content("\n".join(notes)))
            raise
        finally:
            counts = COUNTS.since(before)
            sys.stderr.write(f"{self.emphasis}, seed {number}: {counts.text()}\n")
        self.assertLessEqual(_SEQUENCES, counts.sequences)
        self.assertLess(0, counts.deaths)

    def test_part_1(self):
        """What holds of such sequences holds."""
        self._play(1)

    def test_part_2(self):
        """What holds of such sequences holds of others."""
        self._play(2)

    def test_part_3(self):
        """What holds of such sequences holds of others."""
        self._play(3)

    def test_part_4(self):
        """What holds of such sequences holds of others."""
        self._play(4)


class LifeSequencesTest(SequencesCase):
    """Creation and deletion end, and leave nothing behind, with all troubles meanwhile."""

    emphasis = "life"


class CountingSequencesTest(SequencesCase):
    """Nodes and node groups end as many as they were to be, with all troubles meanwhile."""

    emphasis = "counting"


class UpgradingSequencesTest(SequencesCase):
    """Upgrades and the way back end with nodes of one kind, with all troubles meanwhile."""

    emphasis = "upgrading"


class RotatingSequencesTest(SequencesCase):
    """One set of certificates and rights is in use in the end, with all troubles meanwhile."""

    emphasis = "rotating"


# It has no sequences of its own.
del SequencesCase
