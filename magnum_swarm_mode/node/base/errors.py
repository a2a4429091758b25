# SPDX-License-Identifier: Apache-2.0
"""Errors of the node program, and the redaction that every one of them passes through.

NodeError          final: trying the same again would fail the same way
└── Temporary      may pass by itself; wait.until() tries again
"""

import re
from typing import Set

from .codes import Code

SECRETS: Set[str] = set()  # values that redact() replaces
_PATTERNS = re.compile(r"SWMTKN-[\w-]+|-----BEGIN [A-Z ]*PRIVATE KEY-----[^-]*")


# In the words of the kernel, of apt, and of whatever tells what they said.
_FULL = re.compile("(?i)no space left on device|enough free space in /")


def redact(text: str) -> str:
    """Return text without known secrets, swarm join tokens and private keys."""
    for secret in sorted(SECRETS, key=len, reverse=True):
        if len(secret) > 3:
            text = text.replace(secret, "***")
    return _PATTERNS.sub("***", text)


def line(text: str) -> str:
    """Return text on one line, without known secrets and without what a terminal would obey."""
    shown = "".join(c if c.isprintable() or c.isspace() else "\ufffd" for c in redact(text))
    return " ".join(shown.split())


class NodeError(Exception):
    """Something that stops the node; str() is a sentence for the user, without secrets."""

    def __init__(self, cause: str, status: int = 0, code: Code = Code.OTHER) -> None:
        super().__init__(redact(cause))
        self.status = status  # of the HTTP answer that caused it, else 0
        # A full disk is the reason, whatever failed of it.
        self.code = Code.DISK_FULL if _FULL.search(cause) else code


class Temporary(NodeError):  # noqa: N818 (a state seen, not always an error)
    """Something that may pass by itself; the text says which state was seen."""
