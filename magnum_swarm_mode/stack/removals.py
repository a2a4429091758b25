# SPDX-License-Identifier: Apache-2.0
"""Which indices of a ResourceGroup stay empty; pure.

Heat gives the members of a group the lowest indices that are not in its list of removals. An index
that was removed stays in the list, so that no other server gets its name at once. A list without an
end would fill Heat's column of 64 KiB. So a list that is long loses what it need not have: indices
above all that are in use, and then the lowest ones, whose names new servers then get.
"""

from collections.abc import Iterable, Sequence

# A list that is not longer is left as it is.
SHORT = 200
# A list has no more, whatever is removed now aside.
MOST = 2000


def after(
    removed: Sequence[str], present: Iterable[str], leaving: Sequence[str], new: int = 0
) -> list[str]:
    """Return the list of removals with which a group loses members.

    :param removed: the list of the last update.
    :param present: indices of all members, whether they leave or not.
    :param leaving: indices of those that leave.
    :param new: how many members come.
    """
    gone = set(leaving)
    staying = set(present) - gone
    # One that is there after all was to go when an update failed, and nobody asks for that now.
    every = list(dict.fromkeys([*(one for one in removed if one not in staying), *leaving]))
    if len(every) <= SHORT:
        return every
    highest = max(map(int, staying), default=-1)
    kept = [index for index in every if index in gone or int(index) < highest]
    over = max(0, len(kept) - len(gone) - MOST)
    # Not more are given up than are filled at once.
    given_up = set(sorted((one for one in kept if one not in gone), key=int)[: min(over, new)])
    return [index for index in kept if index not in given_up]
