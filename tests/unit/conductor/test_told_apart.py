# SPDX-License-Identifier: Apache-2.0
from oslotest import base

from magnum_swarm_mode.conductor.change import observe
from magnum_swarm_mode.decisions.model import Group, Member, Plan, Seen
from tests.fakes.docker import node

NAMES = {"swarm-manager-0", "swarm-manager-1"}
ADDRESSES = {"10.0.0.11", "10.0.0.12"}


class ToldApartTest(base.BaseTestCase):
    def seen(self, name, address, managers=ADDRESSES, **more):
        raw = node(name, **more)
        raw["Status"]["Addr"] = address
        found = observe.told_apart(observe.to_node(raw, {}), raw, NAMES, managers)
        return found.hostname, found.is_ours

    def test_a_worker_that_bears_the_name_of_a_manager(self):
        """An engine at another address than the managers' stands for no manager."""
        self.assertEqual(
            ("swarm-manager-0 at 10.0.0.21", False), self.seen("swarm-manager-0", "10.0.0.21")
        )

    def test_the_manager_is_well_beside_it(self):
        """A manager is well beside an engine that bears its name, which is down or ready."""
        for state in ("ready", "down"):
            named = node("swarm-manager-0", number=1, state=state)
            named["Status"]["Addr"] = "10.0.0.21"
            raw = [named, node("swarm-manager-0", manager="reachable")]
            nodes = tuple(
                observe.told_apart(observe.to_node(one, {}), one, NAMES, ADDRESSES) for one in raw
            )
            member = Member("0", "swarm-manager-0", "server")
            group = Group("u", "default-master", True, 1, 1, (member,))
            seen = Seen((group,), nodes, Plan(), 0)
            self.assertEqual([nodes[1]], seen.entries(member))
            self.assertTrue(seen.is_well(group, member))

    def test_managers(self):
        """Managers, also demoted ones and those whose address says nothing, stay what they are."""
        well = ("swarm-manager-0", True)
        self.assertEqual(well, self.seen("swarm-manager-0", "10.0.0.11"))
        self.assertEqual(well, self.seen("swarm-manager-0", "0.0.0.0"))
        self.assertEqual(well, self.seen("swarm-manager-0", ""))
        self.assertEqual(well, self.seen("swarm-manager-0", "10.9.9.9", manager="reachable"))

    def test_others(self):
        """Workers are left alone, and all nodes while Heat knows no address."""
        self.assertEqual(("swarm-worker-0", True), self.seen("swarm-worker-0", "10.0.0.21"))
        self.assertEqual(
            ("swarm-manager-0", True), self.seen("swarm-manager-0", "10.0.0.21", managers=())
        )
