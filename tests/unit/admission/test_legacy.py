# SPDX-License-Identifier: Apache-2.0
"""Which rows are of the Swarm drivers that Magnum had up to release 17."""

import subprocess
import sys

from oslotest import base

from magnum_swarm_mode import constants
from magnum_swarm_mode.admission import legacy as legacy_rules


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
        for coe in (legacy_rules.COE, constants.COE):
            self.assertIn((coe, "fedora-atomic", "vm"), kinds)
            self.assertIn((coe, "fedora-atomic", "bm"), kinds)

    def test_what_is_offered(self):
        """A distribution that is offered is never one of theirs, whatever they had."""
        self.assertEqual(set(), {*legacy_rules.DISTROS} & {*constants.OS_DISTROS})
        # The module is read anew where one of theirs is offered again.
        code = (
            "from magnum_swarm_mode import constants\n"
            "constants.OS_DISTROS = ('ubuntu', 'debian', 'fedora')\n"
            "from magnum_swarm_mode.admission import legacy as rules\n"
            "assert not rules.concerns('swarm-mode', 'fedora', 'vm')\n"
            "assert rules.concerns('swarm-mode', 'fedora-atomic', 'vm')\n"
            "kinds = {(one['coe'], one['os'], one['server_type']) for one in rules.provides()}\n"
            "assert ('swarm-mode', 'fedora', 'vm') not in kinds\n"
            "assert ('swarm', 'fedora', 'vm') in kinds\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60
        )
        self.assertEqual((0, ""), (done.returncode, done.stderr[-1000:]))

    def test_sorts_last(self):
        """Magnum takes the first driver by name where it has no other reason."""
        self.assertGreater(legacy_rules.ENTRY_POINT, constants.ENTRY_POINT)
