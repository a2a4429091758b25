# SPDX-License-Identifier: Apache-2.0
"""Text of others, as it can be kept in Magnum's columns.

What Heat, a node or a manager says is not trusted to be short, nor to be storable: MySQL's
``utf8mb3``, which Magnum's tables have, knows no character beyond the basic multilingual plane.
"""

import unicodedata

# A text column of MySQL holds 64 KiB; these characters need three bytes each at most.
LONGEST = 4000
_LAST_OF_PLANE = 0xFFFF
_UNSTORABLE = ("Cc", "Cs")  # control characters and surrogates
_LAYOUT = "\n\t"


def storable(value: str, longest: int = LONGEST) -> str:
    """Return a text with at most so many characters, each of which a column can hold.

    Every other character becomes U+FFFD.
    """
    cut = value if len(value) <= longest else f"{value[: longest - 1]}…"
    return "".join(one if _is_storable(one) else "\N{REPLACEMENT CHARACTER}" for one in cut)


def _is_storable(one: str) -> bool:
    if one in _LAYOUT:
        return True
    return ord(one) <= _LAST_OF_PLANE and unicodedata.category(one) not in _UNSTORABLE
