# SPDX-License-Identifier: Apache-2.0
"""Routers are made of the difference between what is there and what Neutron wants."""

from oslotest import base

from devcloud.dataplane import routers
from devcloud.dataplane.network_model import Router, RouterPort
from devcloud.dataplane.routers import Device, Observed

OUTSIDE = RouterPort(
    "469c7ed2-a1a7-4959", "dc-ext", "fa:16:3e:00:00:01", ("172.24.4.65/24",), 1500, True
)
INSIDE = RouterPort(
    "60ad707d-13e4-4531", "dcb55ea95fd-0b", "fa:16:3e:00:00:02", ("10.0.0.1/24",), 1450, False
)
QG, QR = "qg469c7ed2-a1", "qr60ad707d-13"
ROUTER = Router("15a1a2b6-5c99", (OUTSIDE, INSIDE))
THERE = Observed(
    {
        QG: Device(QG, OUTSIDE.mac, 1500, frozenset(("172.24.4.65/24",))),
        QR: Device(QR, INSIDE.mac, 1450, frozenset(("10.0.0.1/24",))),
    }
)


class PlanTest(base.BaseTestCase):
    """The steps for a router."""

    def test_nothing_to_do(self) -> None:
        """A router that is as wanted is left alone."""
        self.assertTrue(routers.plan(THERE, ROUTER).empty)

    def test_new_router(self) -> None:
        """An empty namespace gets all ports with addresses and MTU."""
        plan = routers.plan(Observed(), ROUTER)
        self.assertEqual((OUTSIDE, INSIDE), plan.add_ports)
        self.assertEqual(
            (
                ("address", "add", "172.24.4.65/24", "dev", QG),
                ("link", "set", QG, "mtu", "1500"),
                ("link", "set", QG, "up"),
                ("address", "add", "10.0.0.1/24", "dev", QR),
                ("link", "set", QR, "mtu", "1450"),
                ("link", "set", QR, "up"),
            ),
            plan.commands,
        )

    def test_new_floating_ip(self) -> None:
        """A floating IP is one more address outside, and neighbours are told to forget it."""
        router = Router(ROUTER.id, ROUTER.ports, floating=(("172.24.4.30", "10.0.0.5"),))
        plan = routers.plan(THERE, router)
        self.assertEqual((("address", "add", "172.24.4.30/32", "dev", QG),), plan.commands)
        self.assertEqual(("172.24.4.30",), plan.new_addresses)

    def test_floating_ip_that_is_gone(self) -> None:
        """A floating IP that was taken away is no address any more."""
        addresses = frozenset(("172.24.4.65/24", "172.24.4.30/32"))
        there = Observed({**THERE.devices, QG: Device(QG, OUTSIDE.mac, 1500, addresses)})
        self.assertEqual(
            (("address", "delete", "172.24.4.30/32", "dev", QG),),
            routers.plan(there, ROUTER).commands,
        )

    def test_port_that_is_gone(self) -> None:
        """A device without a port is removed."""
        self.assertEqual((QR,), routers.plan(THERE, Router(ROUTER.id, (OUTSIDE,))).remove_devices)

    def test_port_with_another_hardware_address(self) -> None:
        """A device that is not the port's is made anew."""
        there = Observed({**THERE.devices, QR: Device(QR, "fa:16:3e:00:00:99", 1450)})
        plan = routers.plan(there, ROUTER)
        self.assertEqual((QR,), plan.remove_devices)
        self.assertEqual((INSIDE,), plan.add_ports)

    def test_changed_mtu(self) -> None:
        """A network's new MTU reaches the device."""
        there = Observed(
            {**THERE.devices, QR: Device(QR, INSIDE.mac, 1500, frozenset(("10.0.0.1/24",)))}
        )
        self.assertEqual(
            (("link", "set", QR, "mtu", "1450"),), routers.plan(there, ROUTER).commands
        )

    def test_routes(self) -> None:
        """Static routes come and go."""
        router = Router(ROUTER.id, ROUTER.ports, routes=(("10.8.0.0/24", "10.0.0.9"),))
        there = Observed(THERE.devices, frozenset((("10.7.0.0/24", "10.0.0.9"),)))
        self.assertEqual(
            (
                ("route", "delete", "10.7.0.0/24"),
                ("route", "replace", "10.8.0.0/24", "via", "10.0.0.9", "protocol", "static"),
            ),
            routers.plan(there, router).commands,
        )


class NatTest(base.BaseTestCase):
    """Address translation."""

    def test_router_without_outside(self) -> None:
        """A router between inner networks translates nothing."""
        self.assertEqual(
            "table ip dc-router {}\ndelete table ip dc-router\n",
            routers.nat_rules(Router("r", (INSIDE,))),
        )

    def test_source_address_of_machines(self) -> None:
        """Machines without a floating IP appear outside as the router."""
        self.assertIn(
            f'oifname "{QG}" ip saddr != 172.24.4.65 snat to 172.24.4.65',
            routers.nat_rules(ROUTER).splitlines(),
        )

    def test_what_the_host_does_not_forward_is_refused_at_once(self) -> None:
        """Beyond the external network and static routes there is nothing, and machines hear it."""
        router = Router(
            "r", ROUTER.ports, routes=(("10.8.0.0/24", "172.24.4.9"), ("default", "172.24.4.1"))
        )
        self.assertIn(
            f'oifname "{QG}" ip daddr != {{ 10.8.0.0/24, 172.24.4.0/24 }} '
            "reject with icmp type net-unreachable",
            routers.nat_rules(router).splitlines(),
        )

    def test_source_nat_can_be_off(self) -> None:
        """A router whose gateway has no SNAT translates floating IPs only."""
        text = routers.nat_rules(Router("r", ROUTER.ports, source_nat=False))
        self.assertNotIn("snat", text)

    def test_floating_ip_both_ways_and_from_inside(self) -> None:
        """A floating IP is translated coming in, going out, and for neighbours inside."""
        router = Router("r", ROUTER.ports, floating=(("172.24.4.30", "10.0.0.5"),))
        lines = routers.nat_rules(router).splitlines()
        self.assertIn("dnat to ip daddr map { 172.24.4.30 : 10.0.0.5 }", lines)
        self.assertIn(f'oifname "{QG}" snat to ip saddr map {{ 10.0.0.5 : 172.24.4.30 }}', lines)
        self.assertIn(
            f'oifname != "{QG}" ct status dnat ip saddr {{ 10.0.0.0/24 }} snat to 172.24.4.65',
            lines,
        )
