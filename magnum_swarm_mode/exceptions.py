# SPDX-License-Identifier: Apache-2.0
"""The errors that this package raises by itself.

::

    SwarmModeError
    ├── Refused        what was asked for cannot be done as asked; asking again changes nothing
    ├── Unavailable    something that is needed does not answer now; trying again may help
    └── Inconsistent   Magnum, Heat or Docker behave in a way that this release does not know

Each carries one sentence for the user, which may end up in an API answer or in ``status_reason``,
and one for the operator, which goes to the log. Neither may hold a secret. What others said may
stand in both, so they are bounded here, and hold no character that does harm where it is shown.
"""

from __future__ import annotations

from magnum_swarm_mode import text

# A refusal can name many fields.
_LONGEST = 10_000


class SwarmModeError(Exception):
    """Base of all errors that this package raises by itself.

    :param user_message: a sentence for the person who asked; also the value of ``str()``.
    :param operator_message: what the log should say; the user's sentence when not given.
    """

    def __init__(self, user_message: str, operator_message: str | None = None) -> None:
        self.user_message = text.storable(user_message, _LONGEST)
        super().__init__(self.user_message)
        # On one line: the second one of a log's entry could look like an entry of its own.
        told = user_message if operator_message is None else operator_message
        self.operator_message = text.line(told, _LONGEST)

    def __str__(self) -> str:
        return self.user_message


class Refused(SwarmModeError):  # noqa: N818 (the word says it)
    """The input is bad, or the operation is not offered; HTTP 400 where an API answers."""


class Unavailable(SwarmModeError):  # noqa: N818 (the word says it)
    """A service or node does not answer now; the caller may try again."""


class Inconsistent(SwarmModeError):  # noqa: N818 (the word says it)
    """The inside of another project is not what this release was written for."""
