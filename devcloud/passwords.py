# SPDX-License-Identifier: Apache-2.0
"""Random passwords, made once and kept where only root reads them.

The users demo and admin have the passwords that the documentation names: the endpoints are
reachable from this machine and its servers only.
"""

import json
import secrets
from pathlib import Path

from devcloud import files, settings

_RANDOM = (
    "database",
    "rabbit",
    "erlang_cookie",
    "service",
    "heat_domain",
    "magnum_domain",
    "metadata",
)
_BYTES = 16


def complete(known: dict[str, str]) -> dict[str, str]:
    """``known`` with a new random value for every name that is missing."""
    passwords = dict(known)
    for name in _RANDOM:
        passwords.setdefault(name, secrets.token_hex(_BYTES))
    # Heat wants exactly 32 characters (auth_encryption_key).
    passwords.setdefault("heat_encryption", secrets.token_hex(16))
    passwords.setdefault("admin", "admin")
    passwords.setdefault("demo", "demo")
    return passwords


def read(path: Path = settings.SECRETS_FILE) -> dict[str, str]:
    """The passwords of this cloud; empty before the first ``up``."""
    try:
        found: dict[str, str] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    return found


def make(path: Path = settings.SECRETS_FILE) -> dict[str, str]:
    """Read the passwords, generating and saving those that do not exist yet."""
    passwords = complete(read(path))
    files.write(path, json.dumps(passwords, indent=1) + "\n", 0o600)
    return passwords
