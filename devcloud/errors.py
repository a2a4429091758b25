# SPDX-License-Identifier: Apache-2.0
"""What devcloud raises: ``DevcloudError`` carries one sentence for the person at the terminal.

DevcloudError
    CommandFailedError   a command that devcloud ran ended badly (command, code, last lines)
"""


class DevcloudError(Exception):
    """The text is one sentence that says what is wrong and, where known, what to do."""


class CommandFailedError(DevcloudError):
    """A command ended with a code other than 0, or did not end in time."""
