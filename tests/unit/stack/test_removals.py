# SPDX-License-Identifier: Apache-2.0
import itertools
import random

from oslotest import base

from magnum_swarm_mode.stack import removals


def members(count: int, removed: list[str]) -> list[str]:
    """Return the indices that Heat gives so many members."""
    gone = set(removed)
    free = (str(number) for number in itertools.count() if str(number) not in gone)
    return list(itertools.islice(free, count))


class RemovalsTest(base.BaseTestCase):
    def test_short(self):
        """Until there are many, nothing that was ever removed comes back."""
        self.assertEqual(["3", "9", "1"], removals.after(["3", "9"], ["0", "1", "2"], ["1"]))
        self.assertEqual(["3"], removals.after(["3"], ["0"], []))

    def test_above_all(self):
        """A long list loses indices above all that stay, but for those that leave."""
        removed = [str(number) for number in range(5, 300)]
        present = ["0", "1", "2", "3", "4", "310"]
        self.assertEqual(["310"], removals.after(removed, present, ["310"]))

    def test_failed_update(self):
        """A member that was to leave and is there after all does not leave with the next ones."""
        self.assertEqual(["7", "2"], removals.after(["7", "1"], ["0", "1", "2"], ["2"]))
        self.assertEqual([], removals.after(["1"], ["0", "1"], []))

    def test_for_ever(self):
        """However many members are replaced, the list has an end and exactly those leave."""
        chance = random.Random(4)
        removed: list[str] = []
        present = members(20, removed)
        for _ in range(3000):
            leaving = chance.sample(present, 3)
            removed = removals.after(removed, present, leaving, 3)
            now = members(20, removed)
            self.assertEqual(set(), set(leaving) & set(now))
            self.assertEqual(17, len(set(present) & set(now)))
            present = now
        self.assertLessEqual(len(removed), removals.MOST + 3)

    def test_up_and_down(self):
        """A group that grows and shrinks needs no longer list for that."""
        removed: list[str] = []
        for _ in range(50):
            present = members(120, removed)
            removed = removals.after(removed, present, present[-100:])
            removed = removals.after(removed, members(20, removed), [], 100)
        self.assertLessEqual(len(removed), removals.SHORT)
