# SPDX-License-Identifier: Apache-2.0
"""Telling Heat that this node is ready, or why it is not.

The `signal` attribute of OS::Heat::WaitConditionHandle with HEAT_SIGNAL is a JSON map of
auth_url, username, user_id, password, project_id, domain_id, region_name and alarm_url
(heat/engine/resources/signal_responder.py): a user that may do nothing but this, and where to POST.
"""

from typing import Any, Dict

from . import keystone, system, wait, web
from .config import Config
from .errors import redact
from .identity import Identity
from .paths import Paths

TIMEOUT = 600  # seconds
LONGEST_REASON = 600  # characters


def last(paths: Paths) -> str:
    """Return what was signalled last: SUCCESS, FAILURE or nothing."""
    return system.read(paths.signalled).strip()


def should_send(before: str, status: str) -> bool:
    """Say whether a status is news to Heat: a success after a failure is, nothing else is."""
    return before != status and before != "SUCCESS"


def message(identity: Identity, status: str, reason: str, data: str = "") -> Dict[str, Any]:
    """Return the body of a signal; the id is the server's uuid."""
    return {
        "status": status,
        "id": identity.server_uuid,
        "reason": redact(reason)[:LONGEST_REASON],
        "data": data,
    }


def send(
    config: Config, identity: Identity, paths: Paths, status: str, reason: str, data: str = ""
) -> bool:
    """Send one signal unless it was sent before; return whether it was sent now.

    :raises NodeError: when Heat refuses it or cannot be reached for ten minutes
    """
    if not should_send(last(paths), status):
        return False
    signal = config.signal
    context = web.tls(config.openstack_ca) if config.openstack_ca else None
    auth = keystone.password(signal["user_id"], signal["password"], signal["project_id"])
    body = message(identity, status, reason, data)

    def attempt() -> None:
        token = keystone.token(signal["auth_url"], auth, context)
        web.request("POST", signal["alarm_url"], body, {"X-Auth-Token": token}, context=context)

    wait.until("signal to Heat", attempt, TIMEOUT, interval=3)
    system.write(paths.signalled, status, 0o600)
    return True
