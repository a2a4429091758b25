# SPDX-License-Identifier: Apache-2.0
import re

from hypothesis import given
from hypothesis import strategies as st
from oslotest import base

from magnum_swarm_mode.conductor.change import observe
from magnum_swarm_mode.decisions.model import Group, Member, Plan, Seen
from magnum_swarm_mode.swarm import identity
from magnum_swarm_mode.swarm.identity import Identity
from tests.fakes.docker import node

OWN = re.compile("swarm-(manager|worker)-[0-9]+")
ADDRESSES = {
    "swarm-manager-0": "10.0.0.11",
    "swarm-manager-1": "10.0.0.12",
    "swarm-worker-0": "10.0.0.21",
    "swarm-worker-1": "10.0.0.22",
}


def entry(name, address, **more):
    """Return an entry of the swarm's list that the managers see at an address."""
    raw = node(name, **more)
    raw["Status"]["Addr"] = address
    if raw.get("ManagerStatus"):
        raw["ManagerStatus"]["Addr"] = f"{address}:2377"
    return raw


class IdentifyTest(base.BaseTestCase):
    def who(self, raw, ids=None, addresses=ADDRESSES, own=OWN, beside=()):
        return identity.identify([raw, *beside], ids or {}, addresses, own)[raw["ID"]]

    def seen(self, name, address, **more):
        found = self.who(entry(name, address), **more)
        return found.name, found.is_ours

    def test_by_address(self):
        """An entry is the server at its address; its name does not count."""
        for name in ("swarm-worker-1", "swarm-manager-0", "managers", "", "laptop"):
            self.assertEqual(
                Identity("swarm-worker-0", is_sure=True), self.who(entry(name, "10.0.0.21"))
            )
            self.assertEqual(
                Identity("swarm-manager-1", is_sure=True),
                self.who(entry(name, "10.0.0.12", manager="reachable")),
            )

    def test_by_id(self):
        """An entry is the server that its node id was seen to be, also at another address."""
        raw = entry("swarm-worker-1", "10.0.0.22")
        for address in ("10.0.0.22", "10.0.0.99", "0.0.0.0", ""):
            raw["Status"]["Addr"] = address
            self.assertEqual(
                Identity("swarm-worker-0", is_sure=True),
                self.who(raw, ids={raw["ID"]: "swarm-worker-0"}),
            )

    def test_an_address_that_had_another_server(self):
        """An entry of a server that is gone is not the server that got its address."""
        old = entry("swarm-worker-9", "10.0.0.21", state="down")
        self.assertEqual("swarm-worker-9", self.who(old, {old["ID"]: "swarm-worker-9"}).name)

    def test_a_worker_that_bears_the_name_of_a_manager(self):
        """An engine at another address than the managers' stands for no manager."""
        self.assertEqual(
            ("swarm-manager-0 at 10.0.0.31", False), self.seen("swarm-manager-0", "10.0.0.31")
        )

    def test_the_manager_is_well_beside_it(self):
        """A manager is well beside an engine that bears its name, which is down or ready."""
        for state in ("ready", "down"):
            for address in ("10.0.0.21", "10.0.0.31", ""):
                named = entry("swarm-manager-0", address, number=1, state=state)
                true = entry("swarm-manager-0", "10.0.0.11", manager="reachable")
                nodes = observe.to_nodes([named, true], Plan(addresses=ADDRESSES), OWN)
                member = Member("0", "swarm-manager-0", "server")
                group = Group("u", "default-master", True, 1, 1, (member,))
                seen = Seen((group,), nodes, Plan(), 0)
                self.assertEqual([nodes[1]], seen.entries(member))
                self.assertTrue(seen.is_well(group, member))

    def test_without_an_address(self):
        """An entry at no address is the server of its name, unless another entry is that one."""
        for address in ("0.0.0.0", "127.0.0.1", ""):
            raw = entry("swarm-manager-0", address)
            self.assertEqual(Identity("swarm-manager-0"), self.who(raw))
            true = entry("other", "10.0.0.11", number=1, manager="reachable")
            found = self.who(raw, beside=[true])
            self.assertNotIn(found.name, ADDRESSES)
            self.assertFalse(found.is_ours)

    def test_a_server_without_an_address(self):
        """While the address of a server is not known, the entry of its name is that server."""
        self.assertEqual(
            ("swarm-manager-0", True), self.seen("swarm-manager-0", "10.0.0.21", addresses={})
        )
        self.assertEqual(("swarm-worker-7", True), self.seen("swarm-worker-7", "10.0.0.27"))

    def test_foreign(self):
        """An entry at no server's address that has no name of the cluster is none of it."""
        self.assertEqual(("laptop", False), self.seen("laptop", "10.0.0.90"))
        self.assertEqual(("", False), self.seen("", "10.0.0.90"))

    def test_nameless(self):
        """Sentences have a name for an entry that gives itself none."""
        raw = entry("", "10.0.0.90")
        (found,) = observe.to_nodes([raw], Plan(addresses=ADDRESSES), OWN)
        self.assertEqual((f"node {raw['ID']}", False), (found.hostname, found.is_ours))

    def test_left_over(self):
        """What is down and was a server of the cluster's names can be removed from the list."""
        raw = entry("swarm-worker-0", "10.0.0.90", state="down")
        self.assertEqual(Identity("swarm-worker-0 at 10.0.0.90", is_ours=True), self.who(raw))
        raw["Description"]["Hostname"] = "laptop"
        self.assertFalse(self.who(raw).is_ours)

    def test_spellings(self):
        """An address is the same however it is written, also one of version 6."""
        for address in ("fd00::1", "fd00:0:0::0:1", "[fd00::1]"):
            found = self.who(entry("x", address), addresses={"swarm-worker-0": "fd00::1"})
            self.assertEqual("swarm-worker-0", found.name)
        self.assertEqual("swarm-worker-0", self.who(entry("x", "::ffff:10.0.0.21")).name)

    def test_rubbish(self):
        """Entries that say nothing of themselves are no server."""
        (found,) = identity.identify([{}], {}, ADDRESSES, OWN).values()
        self.assertEqual((False, False), (found.is_ours, found.is_sure))


class LearnedTest(base.BaseTestCase):
    def test_learned(self):
        """Node ids of entries at servers' addresses are remembered while they are listed."""
        first = entry("managers", "10.0.0.11", manager="reachable")
        second = entry("laptop", "10.0.0.90", number=1)
        third = entry("swarm-worker-0", "", number=2)
        ids = identity.learned([first, second, third], {"gone": "swarm-worker-1"}, ADDRESSES)
        self.assertEqual({first["ID"]: "swarm-manager-0"}, ids)

    def test_down(self):
        """An entry that is down teaches nothing: its address may be another server's by now."""
        raw = entry("x", "10.0.0.21", state="down")
        self.assertEqual({}, identity.learned([raw], {}, ADDRESSES))
        known = {raw["ID"]: "swarm-worker-1"}
        self.assertEqual(known, identity.learned([raw], known, ADDRESSES))

    def test_known(self):
        """Addresses that Heat does not show now are known from before, of present servers."""
        self.assertEqual(
            {"a": "1", "b": "3"},
            identity.known({"a": "1"}, {"a": "2", "b": "3", "c": "4"}, ["a", "b", "d"]),
        )


@st.composite
def liars(draw):
    """Return entries of all servers, some down or twice, and the same with other host names."""
    entries = []
    for server, address in ADDRESSES.items():
        is_manager = "manager" in server
        for number in range(draw(st.integers(1, 2))):
            state = draw(st.sampled_from(("ready", "down", "unknown")))
            reach = draw(st.sampled_from(("reachable", "unreachable"))) if is_manager else None
            entries.append(entry(server, address, manager=reach, state=state, number=number))
    names = st.sampled_from((*ADDRESSES, "managers", "", "laptop", "swarm-worker-9"))
    lies = []
    for raw in entries:
        lies.append({**raw, "Description": {**raw["Description"], "Hostname": draw(names)}})
    return entries, lies


class LiarsTest(base.BaseTestCase):
    @given(liars())
    def test_names_do_not_matter(self, both):
        """What an entry is, and what is remembered, does not depend on what nodes say they are."""
        honest, lies = both
        self.assertEqual(
            identity.identify(honest, {}, ADDRESSES, OWN),
            identity.identify(lies, {}, ADDRESSES, OWN),
        )
        self.assertEqual(
            identity.learned(honest, {}, ADDRESSES), identity.learned(lies, {}, ADDRESSES)
        )
        plan = Plan(addresses=ADDRESSES)
        self.assertEqual(observe.to_nodes(honest, plan, OWN), observe.to_nodes(lies, plan, OWN))
