# SPDX-License-Identifier: Apache-2.0
"""What the command tells its user when something is wrong."""


class CommandError(Exception):
    """The command cannot be carried out; its text is one sentence for the user."""


def one_line(error: BaseException) -> str:
    """Return the error's message on one line, or its type where it has no message."""
    return " ".join(str(error).split()) or type(error).__name__
