# SPDX-License-Identifier: Apache-2.0
"""What the sentences for users have in common."""

_LENGTH = 64


def shown(value: object) -> str:
    """Return what somebody gave as it can stand in a sentence: one line, not too long."""
    text = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in str(value))
    return text if len(text) <= _LENGTH else text[:_LENGTH] + "…"
