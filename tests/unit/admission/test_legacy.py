# SPDX-License-Identifier: Apache-2.0
"""Which rows are of the Swarm drivers that Magnum had up to release 17."""

from oslotest import base

from magnum_swarm_mode.admission import cluster_request
from magnum_swarm_mode.legacy import rules as legacy_rules


class LegacyTest(base.BaseTestCase):
    def test_concerns(self):
        """All of swarm is old; of swarm-mode, what no cluster could be made of today."""
        for kind in (
            ("swarm", "fedora-atomic", "vm"),
            ("swarm", None, None),
            ("swarm-mode", "fedora-atomic", "vm"),
            ("swarm-mode", "ubuntu", "bm"),
        ):
            self.assertTrue(legacy_rules.concerns(*kind), kind)
        for other in (
            ("swarm-mode", "ubuntu", "vm"),
            ("swarm-mode", "debian", "vm"),
            ("swarm-mode", None, None),
            ("kubernetes", "fedora-atomic", "vm"),
            ("mesos", "ubuntu", "vm"),
            (None, None, None),
        ):
            self.assertFalse(legacy_rules.concerns(*other), other)

    def test_provides(self):
        """The driver that deletes is found for what is old, and never for what is not."""
        kinds = [(one["coe"], one["os"], one["server_type"]) for one in legacy_rules.provides()]
        self.assertEqual(len(kinds), len(set(kinds)))
        for kind in kinds:
            self.assertTrue(legacy_rules.concerns(*kind), kind)
        for coe in (legacy_rules.COE, cluster_request.COE):
            self.assertIn((coe, "fedora-atomic", "vm"), kinds)
            self.assertIn((coe, "fedora-atomic", "bm"), kinds)

    def test_sorts_last(self):
        """Magnum takes the first driver by name where it has no other reason."""
        self.assertGreater(legacy_rules.ENTRY_POINT, cluster_request.ENTRY_POINT)
