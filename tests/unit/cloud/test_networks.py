# SPDX-License-Identifier: Apache-2.0
"""Existing networks and subnets, against a Neutron faked at the wire."""

from typing import Any

from keystoneauth1 import session, token_endpoint
from oslotest import base
from requests_mock.contrib import fixture

from magnum_swarm_mode import exceptions
from magnum_swarm_mode.cloud import networks
from magnum_swarm_mode.fixed_network import FixedNetwork

URL = "http://neutron.test:9696"
NETWORK: dict[str, Any] = {
    "id": "11111111-2222-3333-4444-555555555555",
    "name": "private",
    "mtu": 1442,
}
SUBNET: dict[str, Any] = {
    "id": "66666666-7777-8888-9999-000000000000",
    "name": "private-subnet",
    "network_id": NETWORK["id"],
    "cidr": "10.0.0.0/24",
    "ip_version": 4,
}
SIX = SUBNET | {"id": "six", "name": "six", "ip_version": 6, "cidr": "2001:db8::/64"}


class TestResolve(base.BaseTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.wire: Any = self.useFixture(fixture.Fixture())
        self.networks: list[dict[str, Any]] = [NETWORK]
        self.subnets: list[dict[str, Any]] = [SUBNET]
        for kind in ("networks", "subnets"):
            self.wire.get(f"{URL}/v2.0/{kind}", json=self._answer)

    def _answer(self, request: Any, _context: Any) -> Any:
        """Filter as Neutron does."""
        kind = request.path.rsplit("/", 1)[1]
        return {
            kind: [
                item
                for item in getattr(self, kind)
                if all(str(item.get(key)).lower() in value for key, value in request.qs.items())
            ]
        }

    def _resolve(self, network: str | None, subnet: str | None, url: str = URL) -> Any:
        cloud = session.Session(token_endpoint.Token(url, "token"))
        return networks.resolve(cloud, "RegionOne", "public", network, subnet)

    def test_nothing_named(self):
        """Without names the cluster makes its own network, and Neutron is not asked."""
        self.assertIsNone(self._resolve(None, ""))
        self.assertEqual(0, self.wire.call_count)

    def test_by_name(self):
        """A network with one IPv4 subnet is enough."""
        self.subnets.append(SIX)
        expected = FixedNetwork(NETWORK["id"], SUBNET["id"], "10.0.0.0/24", 1442)
        self.assertEqual(expected, self._resolve("private", None))
        self.assertEqual(expected, self._resolve("private", "private-subnet"))

    def test_by_id(self):
        """Ids work where names do."""
        expected = FixedNetwork(NETWORK["id"], SUBNET["id"], "10.0.0.0/24", 1442)
        self.assertEqual(expected, self._resolve(NETWORK["id"], SUBNET["id"]))

    def test_by_subnet_alone(self):
        """A subnet tells its network."""
        self.assertEqual(NETWORK["id"], self._resolve(None, "private-subnet").network_id)

    def test_an_endpoint_with_version(self):
        """Catalogues name Neutron with or without its version."""
        self.assertEqual(1442, self._resolve("private", None, f"{URL}/v2.0/").mtu)

    def _refusal(self, network: str | None, subnet: str | None) -> str:
        return str(self.assertRaises(exceptions.Refused, self._resolve, network, subnet))

    def test_unknown_names(self):
        """What does not exist is named, with the field it was given in."""
        self.assertEqual(
            "Network nowhere (fixed_network) was not found.", self._refusal("nowhere", None)
        )
        self.assertEqual(
            "Subnet none (fixed_subnet) was not found on the network given as fixed_network.",
            self._refusal("private", "none"),
        )

    def test_ambiguous_names(self):
        """Of several that bear the name none is guessed."""
        self.networks.append(NETWORK | {"id": "another"})
        self.assertEqual(
            "2 networks are named private (fixed_network); give the id.",
            self._refusal("private", None),
        )

    def test_several_subnets(self):
        """Of several subnets none is guessed."""
        self.subnets.append(SUBNET | {"id": "another", "name": "another"})
        self.assertEqual(
            "Network private (fixed_network) has 2 IPv4 subnets; say which one to use with "
            "fixed_subnet.",
            self._refusal("private", None),
        )

    def test_no_ipv4(self):
        """Nodes need IPv4."""
        self.subnets[:] = [SIX]
        self.assertIn("has no IPv4 subnet", self._refusal("private", None))
        self.assertIn("is not an IPv4 subnet", self._refusal("private", "six"))

    def test_neutron_is_away(self):
        """An error of Neutron's own may pass."""
        self.wire.get(f"{URL}/v2.0/networks", status_code=503)
        self.assertRaises(exceptions.Unavailable, self._resolve, "private", None)
        self.wire.get(f"{URL}/v2.0/networks", text="<html>")
        self.assertRaises(exceptions.Unavailable, self._resolve, "private", None)
