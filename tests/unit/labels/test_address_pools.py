# SPDX-License-Identifier: Apache-2.0
import ipaddress

from hypothesis import given
from hypothesis import strategies as st
from oslo_config import cfg
from oslotest import base

from magnum_swarm_mode import conf as swarm_conf
from magnum_swarm_mode import exceptions
from magnum_swarm_mode.labels import address_pools
from magnum_swarm_mode.labels import parsing as label_parsing
from tests.unit.admission.properties import PROPERTY

NETWORKS = st.builds(
    lambda address, prefix: str(ipaddress.IPv4Network((address, prefix), strict=False)),
    st.integers(0, 2**32 - 1),
    st.integers(8, 32),
)


class Subnet:
    cidr = "10.20.0.0/24"


class PoolForTest(base.BaseTestCase):
    POOLS = ("10.0.0.0/16", "10.20.0.0/16", "10.30.0.0/16", "172.17.0.0/16", "10.40.0.0/16")

    def pool(self, asked="", **facts):
        known = {"subnet": Subnet, "dns": None, "endpoints": (), **facts}
        return address_pools.pool_for(asked, self.POOLS, 24, **known)

    def test_what_is_taken(self):
        """Subnet, name servers, endpoints and the engine's bridges are kept free of a choice."""
        self.assertEqual("10.0.0.0/16", self.pool())
        self.assertEqual("10.20.0.0/16", self.pool(subnet=None))
        self.assertEqual(
            "10.40.0.0/16", self.pool(dns="10.0.0.53, 8.8.8.8 ,9.9.9.9", endpoints=["10.30.1.1"])
        )

    def test_asked_for(self):
        """What was asked for is taken as it is, or refused."""
        self.assertEqual("10.50.0.0/16", self.pool("10.50.0.0/16"))
        for taken in ("10.20.0.0/16", "172.17.0.0/24", "8.8.0.0/16"):
            self.assertRaises(exceptions.Refused, self.pool, taken, dns="8.8.8.8 9.9.9.9")


class SpecialTest(base.BaseTestCase):
    SPECIAL = ("127.0.0.0/16", "224.0.0.0/8", "240.0.0.0/8", "0.0.0.0/8", "169.254.0.0/16")

    def test_asked_for(self):
        """A range in which no container could have an address is refused, and why."""
        for pool in (*self.SPECIAL, "168.0.0.0/7", "255.0.0.0/16", "0.0.0.0/0"):
            with self.subTest(pool=pool):
                error = self.assertRaises(
                    exceptions.Refused, label_parsing.parse, {"swarm_address_pool": pool}
                )
                self.assertIn(f"swarm_address_pool={pool} cannot carry traffic", str(error))
        for pool in ("10.0.0.0/8", "100.64.0.0/10", "169.0.0.0/16", "223.0.0.0/8"):
            self.assertEqual(
                pool, label_parsing.parse({"swarm_address_pool": pool}).swarm_address_pool
            )

    def test_configured(self):
        """An operator cannot configure such a range."""
        for pool in self.SPECIAL:
            with self.subTest(pool=pool):
                conf = cfg.ConfigOpts()
                swarm_conf.register_opts(conf)
                conf([])
                self.assertRaises(
                    ValueError, conf.set_override, "address_pools", [pool], group="swarm_mode"
                )


class ChooseTest(base.BaseTestCase):
    def test_first_free(self):
        """The first pool that overlaps nothing is taken."""
        self.assertEqual(
            "172.30.0.0/16",
            address_pools.choose_address_pool(
                ["10.0.0.0/8", "172.16.0.0/12", "172.30.0.0/16", "192.168.0.0/16"],
                ["10.0.0.0/24", *address_pools.DOCKER_BRIDGES],
            ),
        )

    def test_single_address_and_ipv6(self):
        """A server's address counts as a network, and other IP versions never overlap."""
        self.assertEqual(
            "10.2.0.0/16",
            address_pools.choose_address_pool(
                ["10.1.0.0/16", "10.2.0.0/16"], ["10.1.2.3", "fd00::1", "::/0"]
            ),
        )

    def test_none_free(self):
        """When nothing is free the user learns which label helps, and the operator which option."""
        refusal = self.assertRaises(
            exceptions.Refused, address_pools.choose_address_pool, ["10.0.0.0/8"], ["10.0.0.0/24"]
        )
        self.assertIn("swarm_address_pool", refusal.user_message)
        self.assertIn("[swarm_mode] address_pools", refusal.operator_message)

    def test_too_small(self):
        """A pool that could not hold several overlay networks is passed over."""
        pools = ["10.1.0.0/24", "10.2.0.0/16"]
        self.assertEqual("10.2.0.0/16", address_pools.choose_address_pool(pools, [], 24))
        refusal = self.assertRaises(
            exceptions.Refused, address_pools.choose_address_pool, pools, [], 16
        )
        self.assertIn("swarm_address_pool_mask", str(refusal))

    @PROPERTY
    @given(st.lists(NETWORKS), st.lists(NETWORKS))
    def test_choice_is_free_and_first(self, pools, taken):
        """The choice overlaps nothing, and every pool before it does."""
        try:
            choice = address_pools.choose_address_pool(pools, taken)
        except exceptions.Refused:
            choice = None
        before = pools if choice is None else pools[: pools.index(choice)]
        for pool in before:
            self.assertNotEqual([], address_pools.overlapping(pool, taken))
        if choice is not None:
            self.assertEqual([], address_pools.overlapping(choice, taken))


class RefuseOverlapTest(base.BaseTestCase):
    def test_overlap_is_named(self):
        """A pool that was asked for is refused with everything that it hides."""
        refusal = self.assertRaises(
            exceptions.Refused,
            address_pools.refuse_overlap,
            "10.0.0.0/8",
            ["10.0.0.0/24", "192.0.2.1", "10.9.9.9"],
        )
        self.assertIn("10.0.0.0/8 overlaps 10.0.0.0/24, 10.9.9.9", str(refusal))

    def test_free_pool(self):
        """A pool that overlaps nothing passes."""
        address_pools.refuse_overlap("10.1.0.0/16", ["10.0.0.0/24"])
