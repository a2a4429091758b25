# SPDX-License-Identifier: Apache-2.0
"""Security groups become rules that let through what they say and nothing else."""

import shutil
import subprocess
from collections.abc import Mapping

from oslotest import base

from devcloud.dataplane import filter_rules
from devcloud.dataplane.filter_rules import Filter
from devcloud.dataplane.network_model import Port, Rule

NETWORK = "55ea95fd-0b1c-4b6a-9f0e-000000000001"
BRIDGE = "dcb55ea95fd-0b"
GROUP = "27b36318-1a38-4d0a-abf3-ca220150137d"
OTHER_GROUP = "7fd523ef-b96b-4030-9226-7f6ff45c8f46"
PORT = Port(
    id="43c0550e-ee12-4f3c-8f5e-000000000001",
    network=NETWORK,
    mac="fa:16:3e:00:00:01",
    addresses=("10.0.0.5",),
    groups=(GROUP,),
)
OTHER_PORT = Port(
    id="54766372-0412-4f3c-8f5e-000000000002",
    network=NETWORK,
    mac="fa:16:3e:00:00:02",
    addresses=("10.0.0.6", "fd00::6"),
    groups=(OTHER_GROUP,),
)


def ingress(**values: object) -> Rule:
    return Rule(**{"direction": "ingress", "ethertype": "IPv4", **values})  # type: ignore[arg-type]


def section(text: str, heading: str) -> list[str]:
    """The statements of one chain or set."""
    lines = text.splitlines()
    start = lines.index(heading + " {")
    return lines[start + 1 : lines.index("}", start)]


class CompileRuleTest(base.BaseTestCase):
    """One rule of a group is one statement."""

    def test_rule_without_limits_accepts_its_ethertype(self) -> None:
        """A rule that names nothing but a direction lets its IP version through."""
        self.assertEqual(
            ["meta nfproto ipv4 accept"],
            filter_rules.compile_rule(Rule("egress", "IPv4")),
        )

    def test_port_range(self) -> None:
        """A range of ports is matched as the destination."""
        self.assertEqual(
            ["meta nfproto ipv4 meta l4proto 6 th dport 2376-2377 accept"],
            filter_rules.compile_rule(ingress(protocol="tcp", port_min=2376, port_max=2377)),
        )

    def test_single_port_and_cidr(self) -> None:
        """The far side of an incoming packet is its source."""
        self.assertEqual(
            ["meta nfproto ipv4 ip saddr 172.24.4.0/24 meta l4proto 17 th dport 4789 accept"],
            filter_rules.compile_rule(
                ingress(protocol="udp", port_min=4789, port_max=4789, remote_cidr="172.24.4.0/24")
            ),
        )

    def test_outgoing_cidr(self) -> None:
        """The far side of an outgoing packet is its destination."""
        self.assertEqual(
            ["meta nfproto ipv4 ip daddr 10.9.0.0/16 accept"],
            filter_rules.compile_rule(Rule("egress", "IPv4", remote_cidr="10.9.0.0/16")),
        )

    def test_protocol_by_number(self) -> None:
        """ESP may be given as 50 and has no ports."""
        self.assertEqual(
            [f"meta nfproto ipv4 ip saddr @members4-{GROUP} meta l4proto 50 accept"],
            filter_rules.compile_rule(ingress(protocol="50", remote_group=GROUP)),
        )
        self.assertEqual(50, filter_rules.protocol_number(ingress(protocol="esp")))

    def test_icmp_type_and_code(self) -> None:
        """What are ports for TCP are type and code for ICMP."""
        self.assertEqual(
            ["meta nfproto ipv4 meta l4proto 1 icmp type 8 icmp code 0 accept"],
            filter_rules.compile_rule(ingress(protocol="icmp", port_min=8, port_max=0)),
        )

    def test_icmp_in_ipv6(self) -> None:
        """The name icmp in a rule for IPv6 is ICMPv6."""
        self.assertEqual(
            ["meta nfproto ipv6 meta l4proto 58 accept"],
            filter_rules.compile_rule(Rule("ingress", "IPv6", protocol="icmp")),
        )

    def test_everywhere_is_no_limit(self) -> None:
        """0.0.0.0/0 needs no comparison."""
        self.assertEqual(
            ["meta nfproto ipv4 accept"],
            filter_rules.compile_rule(ingress(remote_cidr="0.0.0.0/0")),
        )

    def test_remote_that_cannot_be_followed_allows_nothing(self) -> None:
        """A rule for an address group is no rule, rather than one for everybody."""
        self.assertEqual([], filter_rules.compile_rule(ingress(remote_unknown=True)))

    def test_unknown_protocol(self) -> None:
        """A protocol name that is not in the table is an error that names it."""
        error = self.assertRaises(
            ValueError, filter_rules.protocol_number, ingress(protocol="quic")
        )
        self.assertIn("quic", str(error))


class CompileFilterTest(base.BaseTestCase):
    """The whole filter."""

    def compile(self, *ports: Port, rules: Mapping[str, tuple[Rule, ...]] | None = None) -> str:
        return filter_rules.compile_filter(Filter(ports, rules or {}, {NETWORK: BRIDGE}))

    def test_unknown_machine_port_passes_nothing(self) -> None:
        """A machine whose port is not known yet can neither send nor receive."""
        text = self.compile()
        self.assertIn('iifname "dct*" drop', section(text, "chain arriving"))
        self.assertIn('oifname "dct*" drop', section(text, "chain forwarding"))

    def test_source_addresses_are_bound_to_the_port(self) -> None:
        """Nothing but the port's own addresses may be a source."""
        self.assertEqual(
            [
                "ether saddr != { fa:16:3e:00:00:01 } drop",
                "ether type arp arp saddr ip { 0.0.0.0/32, 10.0.0.5/32 } accept",
                "ether type ip ip saddr { 10.0.0.5/32 } accept",
                "ether type ip6 ip6 saddr { ::/128, fe80::/10 } accept",
                "drop",
            ],
            section(self.compile(PORT), "chain from-dct43c0550e-ee"),
        )

    def test_allowed_address_pairs_are_sources_too(self) -> None:
        """An allowed address pair adds an address and its hardware address."""
        port = Port(
            id=PORT.id,
            network=NETWORK,
            mac=PORT.mac,
            addresses=PORT.addresses,
            allowed_pairs=(("fa:16:3e:00:00:99", "10.0.0.0/28"),),
        )
        text = section(self.compile(port), "chain from-dct43c0550e-ee")
        self.assertEqual("ether saddr != { fa:16:3e:00:00:01, fa:16:3e:00:00:99 } drop", text[0])
        self.assertIn("ether type ip ip saddr { 10.0.0.0/28 } accept", text)

    def test_port_without_port_security_is_open(self) -> None:
        """A port without port security is neither bound nor marked, but known."""
        port = Port(id=PORT.id, network=NETWORK, mac=PORT.mac, port_security=False)
        text = self.compile(port)
        self.assertIn('iifname vmap { "dct43c0550e-ee" : accept }', text)
        self.assertIn('oifname { "dct43c0550e-ee" } accept', text)
        self.assertNotIn("mark set iifname", text)

    def test_port_without_groups_is_closed(self) -> None:
        """Port security without any group drops everything that is new."""
        port = Port(id=PORT.id, network=NETWORK, mac=PORT.mac)
        self.assertEqual(["drop"], section(self.compile(port), "chain ingress-dct43c0550e-ee"))

    def test_remote_group_has_the_addresses_of_its_ports(self) -> None:
        """A remote group stands for the addresses of its ports, by IP version."""
        rules = {GROUP: (ingress(protocol="tcp", remote_group=OTHER_GROUP),)}
        text = self.compile(PORT, OTHER_PORT, rules=rules)
        self.assertIn("elements = { 10.0.0.6/32 }", section(text, f"set members4-{OTHER_GROUP}"))
        self.assertIn("elements = { fd00::6/128 }", section(text, f"set members6-{OTHER_GROUP}"))

    def test_ports_with_the_same_group_share_its_chain(self) -> None:
        """A group is compiled once, however many ports have it."""
        twin = Port(id=OTHER_PORT.id, network=NETWORK, mac=OTHER_PORT.mac, groups=(GROUP,))
        text = self.compile(PORT, twin, rules={GROUP: (ingress(),)})
        self.assertEqual(1, text.count(f"chain ingress-{GROUP} {{"))
        self.assertEqual(2, text.count(f"jump ingress-{GROUP}"))

    def test_the_host_is_reached_at_one_address_only(self) -> None:
        """Towards the host only its address on the external network passes."""
        self.assertIn(
            'oifname "dc-host" ether type ip ip daddr != 172.24.4.1 drop',
            section(self.compile(), "chain forwarding"),
        )

    def test_text_is_accepted_by_nft(self) -> None:
        """The real nft finds no fault with the text (checked, not applied)."""
        rules = {
            GROUP: (
                ingress(protocol="tcp", port_min=1, port_max=65535),
                ingress(protocol="icmp", port_min=8),
                ingress(protocol="esp", remote_group=OTHER_GROUP),
                Rule("egress", "IPv6", protocol="icmp", port_min=128, port_max=0),
                Rule("egress", "IPv4", protocol="udp", port_min=53, port_max=53),
            ),
            OTHER_GROUP: (Rule("ingress", "IPv6", remote_cidr="fd00::/8"),),
        }
        nft = shutil.which("nft", path="/usr/sbin:/sbin:/usr/bin")
        self.assertIsNotNone(nft, "nftables is one of the packages that devcloud installs")
        # In a network namespace of its own, which any user may have in a user namespace.
        done = subprocess.run(
            ["unshare", "--net", "--map-root-user", str(nft), "--check", "-f", "-"],
            input=self.compile(PORT, OTHER_PORT, rules=rules),
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        self.assertEqual((0, ""), (done.returncode, done.stderr))


class NumbersTest(base.BaseTestCase):
    """Marks and zones."""

    def test_mark_does_not_depend_on_other_ports(self) -> None:
        """A packet on its way is never judged by the rules of another port."""
        self.assertEqual(
            filter_rules.marks([PORT])[PORT.id],
            filter_rules.marks([OTHER_PORT, PORT])[PORT.id],
        )

    def test_marks_differ_also_when_ids_begin_alike(self) -> None:
        """Two ports never share a mark, and none is 0, the mark of unfiltered packets."""
        twin = Port(id="43c0550e-ee12-4f3c-8f5e-000000000002", network=NETWORK, mac="")
        numbers = filter_rules.marks([PORT, twin])
        self.assertEqual(2, len(set(numbers.values())))
        self.assertNotIn(0, numbers.values())

    def test_zones_differ_also_when_ids_begin_alike(self) -> None:
        """Each bridge has a zone of its own within 16 bits; the external one has number 1."""
        bridges = {f"ffff0000-{number:04x}": f"dcb{number}" for number in range(50)}
        zones = filter_rules.zones(bridges)
        self.assertEqual(51, len(set(zones.values())))
        self.assertEqual(1, zones["dc-ext"])
        self.assertTrue(all(0 < zone <= 0xFFFF for zone in zones.values()))
