# SPDX-License-Identifier: Apache-2.0
"""What ends last of what test_11_failures.py has begun: other tests run while it waits."""

from tests.endtoend import base, snapshots
from tests.endtoend.failing import LATE, world


class TestLate(base.EndToEndTestCase):
    """A cluster whose worker waits for long, and the end of all that fail."""

    def test_manager_late(self) -> None:
        """A worker whose manager appears minutes late joins with the default patience."""
        outcome = world().outcome("late")
        self.assertEqual("CREATE_COMPLETE", outcome.status)
        self.assertGreater(outcome.took, LATE)
        self.assertLess(outcome.seconds, 60)
        self.assertIn("workers 0/1", outcome.reason)

    def test_nothing_remains(self) -> None:
        """Of all these clusters nothing is left when they are deleted."""
        world().close()
        left = snapshots.leftovers(world().before)
        self.assertEqual({}, left, snapshots.describe(left))
