# SPDX-License-Identifier: Apache-2.0
"""Answers of the Networking API become values."""

from typing import Any

from oslotest import base

from devcloud.dataplane import network_model
from devcloud.dataplane.network_model import Port, Router, RouterPort, Rule

PUBLIC = {"id": "aaaaaaaa-public", "provider:physical_network": "public", "mtu": 1500}
PRIVATE = {"id": "55ea95fd-0b1c", "provider:physical_network": None, "mtu": 1450}
SUBNETS = [
    {"id": "sub-public", "cidr": "172.24.4.0/24", "gateway_ip": "172.24.4.1"},
    {"id": "sub-private", "cidr": "10.0.0.0/24"},
]
ROUTER = {
    "id": "router",
    "routes": [{"destination": "10.8.0.0/24", "nexthop": "10.0.0.9"}],
    "external_gateway_info": {"enable_snat": False},
}


def port(identity: str, owner: str, device: str, subnet: str, address: str) -> dict[str, Any]:
    return {
        "id": identity,
        "network_id": PUBLIC["id"] if subnet == "sub-public" else PRIVATE["id"],
        "mac_address": "fa:16:3e:00:00:01",
        "fixed_ips": [{"subnet_id": subnet, "ip_address": address}],
        "device_owner": owner,
        "device_id": device,
        "status": "DOWN",
        "security_groups": ["g2", "g1"],
        "port_security_enabled": True,
        "allowed_address_pairs": [{"ip_address": "10.0.0.99"}],
    }


GATEWAY = port("gw", "network:router_gateway", "router", "sub-public", "172.24.4.65")
INNER = port("in", "network:router_interface", "router", "sub-private", "10.0.0.1")
MACHINE = port("vm", "compute:nova", "server", "sub-private", "10.0.0.5")
FLOATING_PORT = port("fip", "network:floatingip", "", "sub-public", "172.24.4.30")


def lists(**values: Any) -> dict[str, Any]:
    return {
        "networks": [PUBLIC, PRIVATE],
        "subnets": SUBNETS,
        "ports": [GATEWAY, INNER, MACHINE, FLOATING_PORT],
        "security-groups": values.pop("groups", []),
        "routers": [ROUTER],
        "floatingips": values.pop("floating_ips", []),
        **values,
    }


def read(**values: Any) -> network_model.Network:
    return network_model.read(lists(**values))


class ReadTest(base.BaseTestCase):
    """What Neutron wants."""

    def test_bridges(self) -> None:
        """The external network has the external bridge, others one by their id."""
        self.assertEqual({PUBLIC["id"]: "dc-ext", PRIVATE["id"]: "dcb55ea95fd-0b"}, read().bridges)

    def test_machine_ports(self) -> None:
        """Ports of routers and floating IPs are no machine's ports."""
        self.assertEqual(
            (
                Port(
                    id="vm",
                    network="55ea95fd-0b1c",
                    mac="fa:16:3e:00:00:01",
                    addresses=("10.0.0.5",),
                    groups=("g1", "g2"),
                    allowed_pairs=(("fa:16:3e:00:00:01", "10.0.0.99"),),
                ),
            ),
            read().ports,
        )

    def test_router(self) -> None:
        """A router has its ports, routes, also the default one, and whether it translates."""
        self.assertEqual(
            (
                Router(
                    id="router",
                    ports=(
                        RouterPort(
                            *("gw", "dc-ext", "fa:16:3e:00:00:01", ("172.24.4.65/24",), 1500, True)
                        ),
                        RouterPort(
                            *("in", "dcb55ea95fd-0b", "fa:16:3e:00:00:01", ("10.0.0.1/24",)),
                            *(1450, False),
                        ),
                    ),
                    source_nat=False,
                    routes=(("10.8.0.0/24", "10.0.0.9"), ("default", "172.24.4.1")),
                ),
            ),
            read().routers,
        )

    def test_statuses(self) -> None:
        """Router ports and floating IPs that lead somewhere are active, others down."""
        floating = [
            {
                "id": "used",
                "floating_ip_address": "172.24.4.30",
                "fixed_ip_address": "10.0.0.5",
                "router_id": "router",
                "status": "DOWN",
            },
            {
                "id": "unused",
                "floating_ip_address": "172.24.4.31",
                "fixed_ip_address": None,
                "router_id": None,
                "status": "ACTIVE",
            },
        ]
        network = read(floating_ips=floating)
        self.assertEqual(
            {
                ("port", "gw"): "ACTIVE",
                ("port", "in"): "ACTIVE",
                ("floatingip", "used"): "ACTIVE",
                ("floatingip", "unused"): "DOWN",
            },
            network.wanted_statuses,
        )
        self.assertEqual("DOWN", network.statuses["floatingip", "used"])
        self.assertEqual((("172.24.4.30", "10.0.0.5"),), network.routers[0].floating)

    def test_rules_are_the_same_in_any_order(self) -> None:
        """The API answers in no order; that alone is no change."""
        rules = [
            {"direction": "ingress", "ethertype": "IPv4", "protocol": "TCP", "port_range_min": 80},
            {"direction": "egress", "ethertype": "IPv4", "remote_ip_prefix": "10.0.0.0/8"},
        ]
        one = read(groups=[{"id": "g", "security_group_rules": rules}])
        two = read(groups=[{"id": "g", "security_group_rules": rules[::-1]}])
        self.assertEqual(one.rules, two.rules)
        self.assertIn(Rule("ingress", "IPv4", protocol="tcp", port_min=80), one.rules["g"])

    def test_rule_for_an_address_group(self) -> None:
        """A remote address group is not followed, so the rule allows nothing."""
        rule = {
            "direction": "ingress",
            "ethertype": "IPv4",
            "remote_address_group_id": "somewhere",
        }
        network = read(groups=[{"id": "g", "security_group_rules": [rule]}])
        self.assertTrue(network.rules["g"][0].remote_unknown)


class ListsTest(base.BaseTestCase):
    """What is read again after a change."""

    def test_a_port_needs_ports_only(self) -> None:
        """After the commonest change one list is read, not six."""
        self.assertEqual({"ports"}, network_model.lists_of(["port", "port"]))

    def test_unknown_kind_needs_everything(self) -> None:
        """What we do not know may have changed anything."""
        self.assertEqual(set(network_model.LISTS), network_model.lists_of(["port", "trunk"]))

    def test_lists_that_fit_together(self) -> None:
        """Ports on known networks and subnets are all there is to know."""
        self.assertFalse(network_model.incomplete(lists()))

    def test_port_of_an_unknown_network_or_subnet(self) -> None:
        """A port that was read later than its network was made shows it."""
        self.assertTrue(network_model.incomplete(lists(networks=[PUBLIC])))
        self.assertTrue(network_model.incomplete(lists(subnets=SUBNETS[:1])))

    def test_router_port_on_an_unknown_network_waits(self) -> None:
        """A router's port is left out while its network is unknown."""
        router = read(networks=[PUBLIC], subnets=SUBNETS[:1]).routers[0]
        self.assertEqual(["gw"], [port.id for port in router.ports])


class NamesTest(base.BaseTestCase):
    """Names of interfaces."""

    def test_names_fit(self) -> None:
        """An interface's name has at most 15 characters (IFNAMSIZ)."""
        identity = "55ea95fd-0b1c-4b6a-9f0e-000000000001"
        for name in (
            network_model.tap_name(identity),
            network_model.router_tap_name(identity),
            network_model.bridge_name(identity),
        ):
            self.assertLessEqual(len(name), 15)
