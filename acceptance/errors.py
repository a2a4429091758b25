# SPDX-License-Identifier: Apache-2.0
"""Errors of this program.

Broken          a promise does not hold; str() is the reason, for the table
"""


class Broken(Exception):  # noqa: N818 (what was seen, not always an error)
    """A promise does not hold, or cannot be tried; the text says what was seen."""
