# SPDX-License-Identifier: Apache-2.0
"""Text of others, as it can stand in Magnum's columns, in a log and on a terminal.

What Heat, Nova, Docker or a node says is not trusted to be short, to be storable, or to be harmless
where it is shown: a terminal obeys control characters, and bidirectional ones let a reader see
something else than what is written. MySQL's ``utf8mb3``, which Magnum's tables have, knows no
character beyond the basic multilingual plane.

All costs are linear in the length of the text that is kept.
"""

import json
import unicodedata
from collections.abc import Callable
from typing import Any

# A text column of MySQL holds 64 KiB; these characters need three bytes each at most.
LONGEST = 4000
# Of a text that stands in a sentence.
LONGEST_LINE = 1000
REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
_LAST_OF_PLANE = 0xFFFF
# Control and format characters (the bidirectional ones are among these), surrogates, characters of
# private meaning or of none, separators of lines and paragraphs.
_HARMFUL = ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")
_LAYOUT = "\n\t"
# How many lists and objects may be around a value of JSON: what walks them needs frames for each.
_DEEPEST = 100
# What 64 bits hold.
_MOST_DIGITS = 18


def storable(value: str, longest: int = LONGEST) -> str:
    """Return a text with at most so many characters, each of which can be stored and shown.

    Lines and tabulators stay. Every other character becomes U+FFFD.
    """
    return _kept(value, longest, _is_harmless)


def shown(value: str, longest: int = LONGEST) -> str:
    """Return what :func:`storable` does, with the characters beyond the plane as they are."""
    return _kept(value, longest, _is_shown)


def line(value: object, longest: int = LONGEST_LINE) -> str:
    """Return a text on one line, with at most so many characters that can be stored and shown."""
    whole = value if isinstance(value, str) else str(value)
    # White space is folded: what is folded away must not cost more than what is kept.
    folded = " ".join(whole[: 4 * longest].split())
    return storable(folded if len(whole) <= 4 * longest else f"{folded}…", longest)


def number(value: object) -> int | None:
    """Return the number that a text of decimal digits says; None for any other value.

    ``str.isdigit()`` also accepts digits that ``int()`` does not, and more of them than it takes.
    """
    if (
        isinstance(value, str)
        and value.isascii()
        and value.isdigit()
        and len(value) <= _MOST_DIGITS
    ):
        return int(value)
    return None


def parsed(value: str | bytes) -> Any:
    """Return what a JSON text says.

    :raises ValueError: when it is none, or is nested more deeply than anything that is read.
    """
    try:
        found = json.loads(value)
    except RecursionError as error:
        raise ValueError("the JSON text is nested too deeply") from error
    _check_depth(found)
    return found


def _check_depth(value: Any) -> None:
    level = [value]
    for _ in range(_DEEPEST + 1):
        level = [
            inner
            for one in level
            if isinstance(one, dict | list)
            for inner in (one.values() if isinstance(one, dict) else one)
        ]
        if not level:
            return
    raise ValueError("the JSON text is nested too deeply")


def _kept(value: str, longest: int, is_kept: Callable[[str], bool]) -> str:
    cut = value if len(value) <= longest else f"{value[: longest - 1]}…"
    if cut.isascii() and cut.isprintable():
        return cut
    return "".join(one if one in _LAYOUT or is_kept(one) else REPLACEMENT for one in cut)


def _is_harmless(one: str) -> bool:
    return ord(one) <= _LAST_OF_PLANE and _is_shown(one)


def _is_shown(one: str) -> bool:
    return unicodedata.category(one) not in _HARMFUL
