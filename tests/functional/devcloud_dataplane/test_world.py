# SPDX-License-Identifier: Apache-2.0
"""The real kernel does with the data plane's rules and commands what a cloud's network does."""

import json
import subprocess
import sys
from typing import Any, ClassVar

from oslotest import base

WORLD = "tests.functional.devcloud_dataplane.world"
UNSHARE = ("unshare", "--net", "--mount", "--propagation", "private")
TIMEOUT = 120.0  # seconds


class WorldTest(base.BaseTestCase):
    """What machines see; the network is made once, see :mod:`.world`. It needs root."""

    seen: ClassVar[dict[str, Any]]

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        done = subprocess.run(
            [*UNSHARE, sys.executable, "-m", WORLD],
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
            check=False,
        )
        if done.returncode:
            raise AssertionError(f"the network could not be made: {done.stderr[-2000:]}")
        cls.seen = json.loads(done.stdout)

    def test_closed_before_the_filter_knows_the_port(self) -> None:
        """A machine that is there before its rules reaches nobody."""
        self.assertEqual("silence", self.seen["before the filter"])

    def test_rule_for_a_group(self) -> None:
        """A member of the remote group gets in where the rule says, and nowhere else."""
        self.assertEqual("10.0.0.6", self.seen["member of the group"])
        self.assertEqual("silence", self.seen["another port"])

    def test_machines_of_one_network_are_filtered(self) -> None:
        """A stranger on the same bridge does not get in."""
        self.assertEqual("silence", self.seen["no member of the group"])

    def test_egress(self) -> None:
        """A machine whose groups let nothing out reaches nobody."""
        self.assertEqual("silence", self.seen["no egress rule"])

    def test_foreign_source_address(self) -> None:
        """A machine's root cannot use an address that is not the port's."""
        self.assertEqual("silence", self.seen["foreign source address"])

    def test_mtu(self) -> None:
        """A machine has the MTU of its network."""
        self.assertEqual("1400", self.seen["mtu"])

    def test_router_settles(self) -> None:
        """A router that was made is seen as it is wanted, so nothing is done again."""
        self.assertTrue(self.seen["router is as wanted"])

    def test_floating_ip_from_the_host(self) -> None:
        """The host reaches a floating IP under its own address, through the rules."""
        self.assertEqual("172.24.4.1", self.seen["host to floating IP"])
        self.assertEqual("silence", self.seen["host to closed port of floating IP"])

    def test_floating_ip_from_a_neighbour(self) -> None:
        """A neighbour reaches a floating IP of its own network, coming from the router."""
        self.assertEqual("172.24.4.20", self.seen["neighbour to floating IP"])

    def test_floating_ip_that_was_taken_away(self) -> None:
        """It leads nowhere any more."""
        self.assertEqual("silence", self.seen["floating IP that was taken away"])

    def test_source_addresses_outside(self) -> None:
        """Outside a machine is its floating IP, or the router."""
        self.assertEqual("172.24.4.20", self.seen["machine to host"])
        self.assertEqual("172.24.4.30", self.seen["machine with floating IP to host"])

    def test_what_cannot_be_reached(self) -> None:
        """Beyond the external network a machine hears at once that there is nothing."""
        self.assertEqual("Network is unreachable", self.seen["public name server"])

    def test_connection_whose_rule_is_gone(self) -> None:
        """It goes on until it is looked at, which happens, and is silent from then on."""
        self.assertEqual("answer", self.seen["established"])
        self.assertEqual("answer", self.seen["established, rule gone, not looked at"])
        self.assertTrue(self.seen["worth a look"])
        self.assertGreaterEqual(self.seen["ended"], 1)
        self.assertEqual("silence", self.seen["established, rule gone"])
