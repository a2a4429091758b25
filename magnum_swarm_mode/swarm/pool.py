# SPDX-License-Identifier: Apache-2.0
"""Connections to the managers of many clusters, kept within bounds."""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from magnum_swarm_mode.swarm.client import Swarm


class Pool:
    """Keeps the connections of clusters that are asked again and again.

    :param size: returns of how many clusters at most, one connection each.
    :param age: seconds after which certificates are read anew, for Magnum may have renewed them.
    """

    def __init__(self, size: Callable[[], int] = lambda: 2000, age: float = 3600.0) -> None:
        self._size, self._age = size, age
        self._swarms: OrderedDict[tuple[Any, ...], tuple[float, Swarm]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: tuple[Any, ...], make: Callable[[], Swarm]) -> Swarm:
        """Return the swarm under ``key``, which names all that it depends on, or make it."""
        now = time.monotonic()
        with self._lock:
            born, swarm = self._swarms.get(key, (0.0, None))
            if swarm is not None and now - born < self._age:
                self._swarms.move_to_end(key)
                return swarm
        made = make()
        dropped = []
        with self._lock:
            if key in self._swarms:
                dropped.append(self._swarms.pop(key)[1])
            self._swarms[key] = (now, made)
            while len(self._swarms) > max(1, self._size()):
                dropped.append(self._swarms.popitem(last=False)[1][1])
        for old in dropped:
            old.close()
        return made

    def forget(self, cluster_uuid: str) -> None:
        """Drop all connections of a cluster."""
        with self._lock:
            keys = [key for key in self._swarms if key and key[0] == cluster_uuid]
            dropped = [self._swarms.pop(key)[1] for key in keys]
        for old in dropped:
            old.close()
