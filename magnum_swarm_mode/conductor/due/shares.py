# SPDX-License-Identifier: Apache-2.0
"""Which conductor looks at which cluster.

Magnum lets every conductor look at every cluster. Here each cluster has one of the living
conductors, found by a hash, so that all of them find the same without asking each other, and so
that only the clusters of one that starts or stops move. Whoever is alive is in Magnum's table of
services, with a heartbeat. A cluster whose conductor does not look at it, for it has just died or
is too busy, is looked at by any other after a while; the record's lease lets one of them act.
"""

import calendar
import hashlib
import threading
import time
from collections.abc import Sequence

from magnum import objects

from magnum_swarm_mode import log
from magnum_swarm_mode.cloud import sessions as cloud_sessions

CONF = cloud_sessions.CONF
LOG = log.of(__name__)

# How long a cluster waits for its conductor before any other looks at it, in seconds.
GRACE_SECONDS = 30
_BINARY = "magnum-conductor"
# How long a list of the living is used, in seconds.
_LIST_SECONDS = 10


def chosen(cluster_uuid: str, hosts: Sequence[str]) -> str:
    """Return the host whose conductor looks at a cluster.

    :param hosts: of all living conductors; at least one.
    """
    return max(hosts, key=lambda host: hashlib.sha256(f"{cluster_uuid} {host}".encode()).digest())


class Shares:
    """Knows the living conductors, and which clusters are this one's."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._hosts: list[str] = []
        self._until = 0.0

    def is_mine(self, cluster_uuid: str) -> bool:
        """Return whether a cluster is this conductor's."""
        return bool(chosen(cluster_uuid, self.hosts()) == CONF.host)

    def hosts(self) -> list[str]:
        """Return the hosts of living conductors, this one's among them."""
        with self._lock:
            if time.monotonic() >= self._until:
                self._hosts = sorted({*_living(), CONF.host})
                self._until = time.monotonic() + _LIST_SECONDS
            return self._hosts


def _living() -> list[str]:
    try:
        services = objects.MagnumService.list(cloud_sessions.admin_context())
    except Exception as error:
        # Then everybody looks at everything, as Magnum has it.
        LOG.warning("Magnum's services cannot be listed: %s: %s", type(error).__name__, error)
        return []
    return [one.host for one in services if one.binary == _BINARY and _is_up(one)]


def _is_up(service: objects.MagnumService) -> bool:
    """Return whether a service is alive, as Magnum's API tells it."""
    if service.forced_down or service.disabled:
        return False
    last = service.last_seen_up or service.updated_at or service.created_at
    # The clock of another host may be ahead.
    elapsed = abs(time.time() - calendar.timegm(last.utctimetuple()))
    return bool(elapsed <= CONF.service_down_time)


SHARES = Shares()
