# SPDX-License-Identifier: Apache-2.0
"""What the command tells its user when something is wrong."""

from magnumclient import exceptions as magnum_errors


class CommandError(Exception):
    """The command cannot be carried out; its text is one sentence for the user."""


def one_line(error: BaseException) -> str:
    """Return the error's message on one line, or its type where it has no message."""
    text = str(error)
    if isinstance(error, magnum_errors.HttpError):
        # Magnum cuts its sentence at the first full stop; the rest is in the details.
        details = error.details or ""
        if details.startswith(error.message):
            text = text.replace(error.message, details, 1)
    return " ".join(text.split()) or type(error).__name__
