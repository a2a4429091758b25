# SPDX-License-Identifier: Apache-2.0
from oslotest import base

from magnum_swarm_mode.decisions import roles
from tests.fakes.docker import node


def with_role(role, described):
    described["Spec"]["Role"] = role
    return described


class FindTest(base.BaseTestCase):
    def find(self, *nodes):
        return [
            (one.node["Description"]["Hostname"], one.role, one.now)
            for one in roles.find(nodes, "swarm", ["swarm-gpu"])
        ]

    def test_as_made(self):
        """Managers and workers as they were made, and foreign nodes, are left alone."""
        foreign = node("laptop", manager="reachable")
        well = [node("swarm-manager-0", manager="reachable"), node("swarm-worker-g1")]
        self.assertEqual([], self.find(*well, foreign, node("swarm-gpu-0"), {}))

    def test_promoted(self):
        """A worker of any group that was promoted shall be a worker again."""
        well = node("swarm-manager-0", manager="reachable")
        for name in ("swarm-worker-1", "swarm-worker-g1", "swarm-gpu-0"):
            stuck = with_role("manager", node(name))
            self.assertEqual([(name, "worker", True)], self.find(well, stuck))

    def test_quorum(self):
        """One that is a manager by now stays so while the others have no quorum without it."""
        nodes = [
            node("swarm-manager-0", manager="reachable"),
            node("swarm-manager-1", manager="unreachable"),
            node("swarm-worker-0", manager="reachable"),
        ]
        self.assertEqual([("swarm-worker-0", "worker", False)], self.find(*nodes))

    def test_demoted(self):
        """A manager that was demoted shall be one again, when all others are reached."""
        demoted = node("swarm-manager-1")
        first = node("swarm-manager-0", manager="reachable")
        lost = node("swarm-manager-2", manager="unreachable")
        self.assertEqual([("swarm-manager-1", "manager", True)], self.find(first, demoted))
        self.assertEqual([("swarm-manager-1", "manager", False)], self.find(first, lost, demoted))

    def test_down(self):
        """A manager that is down is not promoted."""
        first = node("swarm-manager-0", manager="reachable")
        self.assertEqual([], self.find(first, node("swarm-manager-1", state="down")))

    def test_only_the_name_of_a_manager(self):
        """A node that calls itself like a manager is promoted at a manager's address only."""
        first = node("swarm-manager-0", manager="reachable")
        for address, promoted in (
            ("10.0.0.12", True),
            ("10.0.0.21", False),
            ("fd00::1", False),
            # A leader that was demoted; no other node is seen at such an address.
            ("127.0.0.1", True),
            ("0.0.0.0", True),
            ("", True),
        ):
            named = node("swarm-manager-1")
            named["Status"]["Addr"] = address
            found = roles.find([first, named], "swarm", [])
            left = roles.at_their_addresses(found, ["10.0.0.11", "10.0.0.12"])
            self.assertEqual(promoted, bool(left), address)

    def test_what_is_known_of_a_node(self):
        """A node whose server is known is judged by that, and not by its host name."""
        first = node("swarm-worker-0", manager="reachable")
        liar = node("swarm-manager-0")
        names = {first["ID"]: "swarm-manager-0", liar["ID"]: "swarm-worker-0"}
        self.assertEqual([], roles.find([first, liar], "swarm", [], names))
        promoted = with_role("manager", liar)
        (found,) = roles.find([first, promoted], "swarm", [], names)
        self.assertEqual(("worker", "swarm-worker-0"), (found.role, found.name))
