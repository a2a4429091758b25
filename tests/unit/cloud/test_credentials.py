# SPDX-License-Identifier: Apache-2.0
import uuid

from oslotest import base

from magnum_swarm_mode.cloud import credentials

UUID = "067d30c0-abc7-46d2-8709-c616e77742a4"


class AccessRulesTest(base.BaseTestCase):
    def test_exactly_three(self):
        """The managers may sign, read certificates and read their own cluster."""
        self.assertEqual(
            [
                {"service": "container-infra", "method": "POST", "path": "/v1/certificates"},
                {"service": "container-infra", "method": "GET", "path": "/v1/certificates/*"},
                {"service": "container-infra", "method": "GET", "path": f"/v1/clusters/{UUID}"},
            ],
            credentials.access_rules(UUID, "https://cloud:9511/v1"),
        )

    def test_prefix(self):
        """Below a prefix the same calls are allowed with it and without."""
        rules = credentials.access_rules(UUID, "https://cloud/container-infra/v1")

        self.assertEqual(
            ["/v1/certificates", "/container-infra/v1/certificates"],
            [rule["path"] for rule in rules if rule["method"] == "POST"],
        )


class RolesTest(base.BaseTestCase):
    def test_node(self):
        """Nodes get the member's role alone where there is one."""
        self.assertEqual(["member"], credentials.node_roles(["admin", "member", "reader"]))

    def test_node_without_member(self):
        """In clouds with other roles nodes get those, but no powerful one."""
        self.assertEqual(["_member_"], credentials.node_roles(["_member_", "admin"]))

    def test_conductor(self):
        """The conductor gets what changing the stack may need, but no powerful role."""
        self.assertEqual(
            ["load-balancer_member", "member"],
            credentials.conductor_roles(["member", "admin", "load-balancer_member"]),
        )

    def test_only_powerful(self):
        """Who has nothing but powerful roles hands those on, for there is no other way."""
        self.assertEqual(["admin"], credentials.conductor_roles(["admin"]))
        self.assertEqual(["admin"], credentials.node_roles(["admin"]))


class TrustExpiryTest(base.BaseTestCase):
    def test_derived(self):
        """The date derives from the uuid alone and is a whole second."""
        self.assertEqual(credentials.trust_expiry(UUID), credentials.trust_expiry(UUID))
        self.assertEqual(0, credentials.trust_expiry(UUID).microsecond)

    def test_rotated(self):
        """Each rotation's trust has a date of its own."""
        dates = {credentials.trust_expiry(UUID, number) for number in range(3)}

        self.assertEqual(3, len(dates))

    def test_apart(self):
        """Clusters' trusts are told apart."""
        dates = {credentials.trust_expiry(str(uuid.uuid4())) for _ in range(1000)}

        self.assertEqual(1000, len(dates))

    def test_range(self):
        """The date is far away for every uuid, and within what databases can hold."""
        for text in ("0" * 8, "f" * 8):
            date = credentials.trust_expiry(
                f"{text}-{text[:4]}-{text[:4]}-{text[:4]}-{text[:8]}{text[:4]}"
            )

            self.assertIn(date.year, range(2150, 2287))


class OnlyNewTest(base.BaseTestCase):
    def test_only_new(self):
        """A trust is known to be Heat's where it alone was made between two looks."""
        self.assertEqual("b", credentials.only_new({"a"}, {"a", "b"}))
        for before, after in (
            ({"a"}, {"a"}),
            ({"a"}, {"a", "b", "c"}),
            (None, {"a"}),
            ({"a"}, None),
        ):
            self.assertEqual("", credentials.only_new(before, after))
