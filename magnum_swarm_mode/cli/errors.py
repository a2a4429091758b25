# SPDX-License-Identifier: Apache-2.0
"""What the command tells its user when something is wrong."""

from magnumclient import exceptions as magnum_errors

from magnum_swarm_mode import text

_LONGEST = 10_000


class CommandError(Exception):
    """The command cannot be carried out; its text is one sentence for the user."""


def one_line(error: BaseException) -> str:
    """Return the error's message on one line, or its type where it has no message."""
    told = str(error)
    if isinstance(error, magnum_errors.HttpError):
        # Magnum cuts its sentence at the first full stop; the rest is in the details.
        details = error.details or ""
        if details.startswith(error.message):
            told = told.replace(error.message, details, 1)
    return text.line(told, _LONGEST) or type(error).__name__
