# SPDX-License-Identifier: Apache-2.0
"""Tokens of Keystone v3."""

import ssl
from typing import Any, Dict, Optional

from . import web
from .errors import NodeError


def application_credential(identifier: str, secret: str) -> Dict[str, Any]:
    """Return the request that authenticates with an application credential."""
    return {
        "auth": {
            "identity": {
                "methods": ["application_credential"],
                "application_credential": {"id": identifier, "secret": secret},
            }
        }
    }


def password(user_id: str, secret: str, project_id: str) -> Dict[str, Any]:
    """Return the request that authenticates a user by id, scoped to a project."""
    return {
        "auth": {
            "identity": {
                "methods": ["password"],
                "password": {"user": {"id": user_id, "password": secret}},
            },
            "scope": {"project": {"id": project_id}},
        }
    }


def token(auth_url: str, auth: Dict[str, Any], context: Optional[ssl.SSLContext]) -> str:
    """Return a new token.

    :param auth_url: Keystone's address, with or without /v3 at its end
    :raises NodeError: Keystone refuses, or answers without a token
    """
    base = auth_url.rstrip("/")
    if not base.endswith("/v3"):
        base += "/v3"
    answer = web.request("POST", base + "/auth/tokens", auth, context=context)
    found = answer.headers.get("x-subject-token", "")
    if not found:
        raise NodeError(f"{base} answers, but not as Keystone does: no token in it")
    return found
