# SPDX-License-Identifier: Apache-2.0
"""Connections end when the rules that let them in are gone."""

from oslotest import base

from devcloud.dataplane import connections, filter_rules, tracking
from devcloud.dataplane.connections import Connection
from devcloud.dataplane.filter_rules import Filter
from devcloud.dataplane.network_model import Port, Rule

NETWORK = "55ea95fd-0b1c-4b6a-9f0e-000000000001"
BRIDGES = {NETWORK: "dcb55ea95fd-0b"}
ZONE = filter_rules.zones(BRIDGES)["dcb55ea95fd-0b"]
WEB = Rule("ingress", "IPv4", protocol="tcp", port_min=80, port_max=80)
OUT = Rule("egress", "IPv4")


def port(number: int, *groups: str, port_security: bool = True) -> Port:
    return Port(
        id=f"0000000{number}-0000",
        network=NETWORK,
        mac=f"fa:16:3e:00:00:0{number}",
        addresses=(f"10.0.0.{number}",),
        groups=groups,
        port_security=port_security,
    )


def filter_of(*ports: Port, **rules: tuple[Rule, ...]) -> Filter:
    return Filter(ports, rules, BRIDGES)


def tcp(source: int, destination: int, destination_port: int = 80) -> Connection:
    return Connection(ZONE, 6, f"10.0.0.{source}", f"10.0.0.{destination}", 40000, destination_port)


class ForbiddenTest(base.BaseTestCase):
    """Which connections are not allowed any more."""

    def test_connection_that_both_sides_allow_stays(self) -> None:
        """A connection that may begin now is left alone."""
        wanted = filter_of(port(1, "a"), port(2, "b"), a=(OUT,), b=(WEB,))
        self.assertEqual([], connections.forbidden([tcp(1, 2)], wanted))

    def test_receiver_without_the_rule(self) -> None:
        """Without a rule at the receiver the connection goes."""
        wanted = filter_of(port(1, "a"), port(2, "b"), a=(OUT,), b=())
        self.assertEqual([tcp(1, 2)], connections.forbidden([tcp(1, 2)], wanted))

    def test_sender_without_the_rule(self) -> None:
        """Without a rule at the sender the connection goes."""
        wanted = filter_of(port(1, "a"), port(2, "b"), a=(), b=(WEB,))
        self.assertEqual([tcp(1, 2)], connections.forbidden([tcp(1, 2)], wanted))

    def test_other_port(self) -> None:
        """A rule for port 80 does not keep a connection to port 81."""
        wanted = filter_of(port(1, "a"), port(2, "b"), a=(OUT,), b=(WEB,))
        self.assertEqual([tcp(1, 2, 81)], connections.forbidden([tcp(1, 2, 81)], wanted))

    def test_member_that_left_the_remote_group(self) -> None:
        """A rule for a group's members covers those that it has now."""
        rule = Rule("ingress", "IPv4", remote_group="peers")
        inside = filter_of(port(1, "a", "peers"), port(2, "b"), a=(OUT,), b=(rule,))
        outside = filter_of(port(1, "a"), port(2, "b"), a=(OUT,), b=(rule,))
        self.assertEqual([], connections.forbidden([tcp(1, 2)], inside))
        self.assertEqual([tcp(1, 2)], connections.forbidden([tcp(1, 2)], outside))

    def test_same_addresses_on_another_network(self) -> None:
        """A connection of another network's zone is not judged by this network's ports."""
        other = Connection(ZONE + 1, 6, "10.0.0.1", "10.0.0.2", 40000, 80)
        self.assertEqual([], connections.forbidden([other], filter_of(port(2, "b"), b=())))

    def test_port_without_port_security(self) -> None:
        """Nothing is asked of a port that has no port security."""
        wanted = filter_of(port(1, "a"), port(2, port_security=False), a=(OUT,))
        self.assertEqual([], connections.forbidden([tcp(1, 2)], wanted))

    def test_icmp(self) -> None:
        """ICMP is judged by type and code."""
        ping = Connection(ZONE, 1, "10.0.0.9", "10.0.0.2", icmp_type=8, icmp_code=0, icmp_id=7)
        for rule, expected in (
            (Rule("ingress", "IPv4", protocol="icmp", port_min=8), []),
            (Rule("ingress", "IPv4", protocol="icmp", port_min=13), [ping]),
        ):
            wanted = filter_of(port(2, "b"), b=(rule,))
            self.assertEqual(expected, connections.forbidden([ping], wanted))


class NarrowerTest(base.BaseTestCase):
    """When it is worth while to look."""

    def test_more_rules_and_ports_forbid_nothing(self) -> None:
        """Growth never ends a connection."""
        before = filter_of(port(1, "a"), a=(OUT,))
        after = filter_of(port(1, "a", "b"), port(2, "b"), a=(OUT, WEB), b=())
        self.assertFalse(connections.narrower(before, after))

    def test_less_of_anything_may_forbid(self) -> None:
        """A rule, a port's group or a member that went may have held a connection."""
        before = filter_of(port(1, "a", "b"), port(2, "a"), a=(OUT, WEB), b=())
        for after in (
            filter_of(port(1, "a", "b"), port(2, "a"), a=(OUT,), b=()),
            filter_of(port(1, "a"), port(2, "a"), a=(OUT, WEB), b=()),
            filter_of(port(1, "a", "b"), a=(OUT, WEB), b=()),
        ):
            self.assertTrue(connections.narrower(before, after))

    def test_a_removed_cluster_forbids_nothing_of_others(self) -> None:
        """Groups that went together with all their ports leave nothing to look for."""
        before = filter_of(port(1, "a"), port(2, "b"), a=(OUT,), b=(WEB,))
        after = filter_of(port(2, "b"), b=(WEB,))
        self.assertFalse(connections.narrower(before, after))


class ParseTest(base.BaseTestCase):
    """Lines of the kernel's table."""

    def test_tcp(self) -> None:
        """The original packet's fields count, not the reply's."""
        line = (
            "ipv4     2 tcp      6 431998 ESTABLISHED src=10.0.0.135 dst=172.24.4.1 sport=50656 "
            "dport=5000 src=172.24.4.1 dst=10.0.0.135 sport=5000 dport=50656 [ASSURED] mark=0 "
            "zone=21994 use=2"
        )
        self.assertEqual(
            Connection(21994, 6, "10.0.0.135", "172.24.4.1", 50656, 5000), tracking.parse(line)
        )

    def test_icmp(self) -> None:
        """A ping has type, code and id instead of ports."""
        line = (
            "ipv4     2 icmp     1 29 src=10.0.0.1 dst=10.0.0.2 type=8 code=0 id=1234 "
            "src=10.0.0.2 dst=10.0.0.1 type=0 code=0 id=1234 mark=0 zone=5 use=2"
        )
        self.assertEqual(
            Connection(5, 1, "10.0.0.1", "10.0.0.2", icmp_type=8, icmp_code=0, icmp_id=1234),
            tracking.parse(line),
        )

    def test_protocol_without_ports(self) -> None:
        """ESP has neither."""
        line = (
            "ipv4     2 unknown  50 509 src=10.0.0.1 dst=10.0.0.2 src=10.0.0.2 dst=10.0.0.1 use=2"
        )
        self.assertEqual(Connection(0, 50, "10.0.0.1", "10.0.0.2"), tracking.parse(line))

    def test_odd_line(self) -> None:
        """What is no connection is no connection."""
        self.assertIsNone(tracking.parse("something else"))
