# SPDX-License-Identifier: Apache-2.0
import re

from hypothesis import given
from hypothesis import strategies as st
from oslotest import base

from magnum_swarm_mode.decisions import health as decisions_health
from tests import documented
from tests.fakes.docker import node


def managers(*reachability):
    return [
        node(f"manager-{i}", manager=value, leader=i == 0) for i, value in enumerate(reachability)
    ]


def workers(*states):
    return [node(f"worker-{i}", state=state) for i, state in enumerate(states)]


class JudgeTest(base.BaseTestCase):
    def test_healthy(self):
        """A swarm with all its nodes ready and managers reachable is healthy."""
        health = decisions_health.judge(managers("reachable") + workers("ready"), 1, 1)

        self.assertEqual(
            decisions_health.Health(
                "HEALTHY",
                {
                    "api": "ok",
                    "managers": "1 of 1 reachable; quorum holds, 0 more may fail",
                    "workers": "1 of 1 ready",
                    "manager-0": "ready, active, leader, engine 20.10.24",
                    "worker-0": "ready, active, engine 20.10.24",
                },
            ),
            health,
        )

    def test_worker_down(self):
        """One worker that is down makes the cluster unhealthy, and says which."""
        nodes = [
            *managers("reachable"),
            node("worker-0", state="down", message="heartbeat failure"),
        ]

        health = decisions_health.judge(nodes, 1, 1)

        self.assertEqual("UNHEALTHY", health.status)
        self.assertEqual("0 of 1 ready", health.reason["workers"])
        self.assertEqual(
            "down (heartbeat failure), active, engine 20.10.24", health.reason["worker-0"]
        )

    def test_manager_lost(self):
        """The arithmetic of the quorum is said."""
        health = decisions_health.judge(managers("reachable", "reachable", "unreachable"), 3, 0)

        self.assertEqual("UNHEALTHY", health.status)
        self.assertEqual(
            "2 of 3 reachable; quorum holds, 0 more may fail", health.reason["managers"]
        )

    def test_five_managers(self):
        """Five managers survive the loss of two."""
        health = decisions_health.judge(managers(*["reachable"] * 5), 5, 0)

        self.assertEqual(
            "5 of 5 reachable; quorum holds, 2 more may fail", health.reason["managers"]
        )

    def test_missing(self):
        """A node that never joined makes the cluster unhealthy."""
        health = decisions_health.judge(managers("reachable") + workers("ready"), 1, 2)

        self.assertEqual("UNHEALTHY", health.status)
        self.assertEqual("1 of 2 ready", health.reason["workers"])

    def test_ghost(self):
        """An entry too many makes the cluster unhealthy; equal names are told apart."""
        nodes = [
            *managers("reachable"),
            node("worker-0", number=1),
            node("worker-0", number=2, state="down"),
        ]

        health = decisions_health.judge(nodes, 1, 1)

        self.assertEqual("UNHEALTHY", health.status)
        self.assertEqual(
            {"worker-0 (id-of-worker-0-1)", "worker-0 (id-of-worker-0-2)"},
            {name for name in health.reason if name.startswith("worker-0")},
        )

    def test_drained(self):
        """A node that is drained on purpose is healthy."""
        nodes = [*managers("reachable"), node("worker-0", availability="drain")]

        health = decisions_health.judge(nodes, 1, 1)

        self.assertEqual("HEALTHY", health.status)
        self.assertEqual("ready, drain, engine 20.10.24", health.reason["worker-0"])

    def test_demoted(self):
        """A manager that is being demoted is not counted among the workers."""
        leaving = node("manager-1", manager="reachable")
        leaving["Spec"]["Role"] = "worker"
        nodes = [*managers("reachable"), leaving, *workers("ready")]

        health = decisions_health.judge(nodes)

        self.assertEqual("1 of 1 ready", health.reason["workers"])
        self.assertEqual("RoleChanging", health.reason["reason:manager-1"])

    def test_new_leader(self):
        """Nodes of which a new leader has not heard yet are unknown, not ill."""
        nodes = [*managers("reachable"), *workers("unknown", "unknown")]

        health = decisions_health.judge(nodes, 1, 2)

        self.assertEqual("UNKNOWN", health.status)
        self.assertEqual(
            "0 of 2 ready; 2 have not reported to the leader yet", health.reason["workers"]
        )
        self.assertEqual("NodeStateUnknown", health.reason["reason:worker-0"])
        self.assertEqual("UNHEALTHY", decisions_health.judge(nodes, 1, 3).status)
        nodes.append(node("worker-9", state="down"))
        self.assertEqual("UNHEALTHY", decisions_health.judge(nodes, 1, 3).status)

    def test_codes(self):
        """Each node that is not well has a code that programs can read; a well one has none."""
        mute = managers("reachable", "unreachable")
        nodes = [*mute, *workers("ready", "down")]

        reason = decisions_health.judge(nodes, 2, 2).reason

        self.assertEqual(
            {"reason:manager-1": "ManagerUnreachable", "reason:worker-1": "NodeDown"},
            {name: text for name, text in reason.items() if name.startswith("reason:")},
        )

    def test_notes(self):
        """A node of which something is noted is not well, and the note is said."""
        health = decisions_health.judge(
            managers("reachable"), 1, 0, notes={"id-of-manager-0-0": "Odd: it is."}
        )

        self.assertEqual("UNHEALTHY", health.status)
        self.assertEqual("Odd: it is.", health.reason["reason:manager-0"])

    def test_foreign(self):
        """A node that Magnum did not make takes no place of one that is missing."""
        nodes = [*managers("reachable"), *workers("ready"), node("my-own")]

        health = decisions_health.judge(nodes, 1, 2, own=re.compile("(manager|worker)-[0-9]"))

        self.assertEqual("UNHEALTHY", health.status)
        self.assertEqual("1 of 2 ready", health.reason["workers"])
        self.assertEqual("NodeForeign", health.reason["reason:my-own"])
        self.assertNotIn("reason:worker-0", health.reason)

    @given(st.permutations(["manager-0", "worker-0", "worker-1", "managers"]), st.data())
    def test_names_do_not_matter(self, names, data):
        """What is known of nodes decides on the health, and not what they call themselves."""
        states = st.sampled_from(["ready", "down", "unknown"])
        nodes = [*managers("reachable"), *workers(*data.draw(st.tuples(states, states)))]
        known = {one["ID"]: one["Description"]["Hostname"] for one in nodes}
        own = re.compile("(manager|worker)-[0-9]")
        lies = [
            {**one, "Description": {**one["Description"], "Hostname": name}}
            for one, name in zip(nodes, names, strict=False)
        ]
        self.assertEqual(
            decisions_health.judge(nodes, 1, 2, own=own, names=known),
            decisions_health.judge(lies, 1, 2, own=own, names=known),
        )

    def test_two_engines_on_one_server(self):
        """Two nodes on one server are one worker, and both lines say so."""
        nodes = [*managers("reachable"), *workers("ready", "ready")]
        known = {"id-of-worker-0-0": "worker-0", "id-of-worker-1-0": "worker-0"}
        health = decisions_health.judge(nodes, 1, 2, names=known)
        self.assertEqual("UNHEALTHY", health.status)
        self.assertEqual("1 of 2 ready", health.reason["workers"])
        self.assertEqual(
            {
                "reason:worker-0 (id-of-worker-0-0)": "NodeDuplicate",
                "reason:worker-0 (id-of-worker-1-0)": "NodeDuplicate",
            },
            {name: text for name, text in health.reason.items() if name.startswith("reason:")},
        )

    def test_own(self):
        """No node is foreign that bears a name of the cluster or of one of its node groups."""
        nodes = [*managers("reachable"), *workers("ready"), node("gpu-0")]

        health = decisions_health.judge(nodes, 1, 2, own=re.compile(".*-[0-9]"))

        self.assertEqual("HEALTHY", health.status)

    def test_other_names(self):
        """Where no manager bears a name that is expected, nothing is said of names."""
        health = decisions_health.judge(
            [*managers("reachable"), *workers("ready")], 1, 1, own=re.compile("worker-[0-9]")
        )

        self.assertEqual("HEALTHY", health.status)

    def test_a_name_with_the_id_of_another_node(self):
        """A node whose name looks like another node's name with its id takes no line of it."""
        twins = [{**node("m0", manager="reachable"), "ID": one} for one in ("1", "2")]
        thief = {**node("m0 (1)"), "ID": "3"}
        reason = decisions_health.judge([*twins, thief], 2, 1).reason
        self.assertEqual(
            ["api", "managers", "workers", "m0 (1)", "m0 (2)", "m0 (1) (3)"], list(reason)
        )

    def test_rubbish(self):
        """Nodes that say nothing of themselves are unhealthy, not an error."""
        self.assertEqual("UNHEALTHY", decisions_health.judge([{}], 1, 0).status)

    def test_size(self):
        """The reasons of five thousand nodes fit into Magnum's column."""
        nodes = [
            *managers("reachable"),
            *(node(f"a-rather-long-name-of-a-worker-{i}", state="down") for i in range(5000)),
        ]

        health = decisions_health.judge(nodes, 1, 5000)

        self.assertLess(len(str(dict(health.reason))), 65535)
        self.assertIn("more", health.reason)

    def test_unknown(self):
        """What cannot be asked is unknown, with the cause."""
        self.assertEqual(
            decisions_health.Health("UNKNOWN", {"api": "refused"}),
            decisions_health.unknown("refused"),
        )

    def test_leaderless(self):
        """Lost quorum is unhealthy: that much is known."""
        self.assertEqual("UNHEALTHY", decisions_health.leaderless("no leader", "swarm").status)

    def test_expired(self):
        """A swarm whose certificates have expired is unhealthy, and the reason says what helps."""
        health = decisions_health.expired("certificate has expired")

        self.assertEqual("UNHEALTHY", health.status)
        self.assertIn("A cluster that was switched off", health.reason["managers"])
        page = (documented.SOURCE / "user/rotation.rst").read_text(encoding="utf-8")
        self.assertIn("\nA cluster that was switched off\n===", page)


class MeasureTest(base.BaseTestCase):
    def task(self, service, state="running", cpus=0, memory=0):
        return {
            "ServiceID": service,
            "Status": {"State": state},
            "Spec": {"Resources": {"Reservations": {"NanoCPUs": cpus, "MemoryBytes": memory}}},
        }

    def test_reservations(self):
        """Reserved processors and memory are percentages of what ready nodes have."""
        nodes = [*managers("reachable"), *workers("ready", "down")]
        tasks = [self.task("a", cpus=10**9, memory=2**30), self.task("a", cpus=10**9)]

        use = decisions_health.measure(nodes, [], tasks)

        self.assertEqual((50.0, 12.5, 2), (use.cpu, use.memory, use.nodes_ready))

    def test_tasks(self):
        """Wanted are the replicas, and of global services what they were given."""
        services = [
            {"ID": "a", "Spec": {"Mode": {"Replicated": {"Replicas": 3}}}},
            {"ID": "b", "Spec": {"Mode": {"Global": {}}}},
        ]
        tasks = [self.task("a"), self.task("a", "preparing"), self.task("b"), self.task("b")]

        use = decisions_health.measure([], services, tasks)

        self.assertEqual((5, 3), (use.tasks_wanted, use.tasks_running))

    def test_nothing(self):
        """An empty swarm uses nothing."""
        self.assertEqual(
            decisions_health.Use(0.0, 0.0, 0, 0, 0), decisions_health.measure([], [], [])
        )
