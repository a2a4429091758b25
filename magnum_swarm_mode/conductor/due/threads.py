# SPDX-License-Identifier: Apache-2.0
"""Bounds the threads in which Magnum's periodic tasks look at clusters.

For each cluster and each look Magnum makes a looping call that ends after one round. Since Magnum
23 that is a thread of the system: of two thousand clusters two thousand at a time. Here a look at a
cluster of this driver waits for one of a few threads, and is left out while the one before it is
not done.
"""

import threading
import types
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from oslo_log import log as logging

from magnum_swarm_mode import constants
from magnum_swarm_mode.conf import CONF

LOG = logging.getLogger(__name__)

Job = Callable[[], Any]


class Threads:
    """Does jobs in a bounded number of threads, which end when there is nothing to do.

    :param most: returns how many threads at most.
    :param done: the exception with which a job says that it is done.
    """

    def __init__(self, most: Callable[[], int], done: type[Exception]) -> None:
        self._most, self._done = most, done
        self._lock = threading.Lock()
        self._waiting: OrderedDict[str, Job] = OrderedDict()
        self._at_work: set[str] = set()
        self._threads = 0

    def submit(self, key: str, job: Job) -> None:
        """Have a job done, unless one under the same key waits or is at work."""
        with self._lock:
            if key in self._waiting or key in self._at_work:
                return
            self._waiting[key] = job
            if self._threads >= self._most():
                return
            self._threads += 1
        threading.Thread(target=self._work, name="swarm-mode look", daemon=True).start()

    def _work(self) -> None:
        while True:
            with self._lock:
                if not self._waiting:
                    self._threads -= 1
                    return
                key, job = self._waiting.popitem(last=False)
                self._at_work.add(key)
            try:
                job()
            except self._done:
                pass
            except Exception:
                LOG.exception("Looking at cluster %s failed", key)
            finally:
                with self._lock:
                    self._at_work.discard(key)


def bounded(loopingcall: Any) -> Any:
    """Return what stands for the module of looping calls in Magnum's periodic tasks."""
    kinds: dict[str, Threads] = {}

    class Call:
        def __init__(self, f: Any) -> None:
            self._job = f

        def start(self, interval: float, **kwargs: Any) -> None:
            cluster = self._job.__self__.cluster
            if cluster.cluster_template.coe != constants.COE:
                loopingcall.FixedIntervalLoopingCall(f=self._job).start(interval, **kwargs)
                return
            # Clusters in progress do not wait for the health of others.
            kind = kinds.setdefault(
                self._job.__name__,
                Threads(lambda: int(CONF.swarm_mode.poll_threads), loopingcall.LoopingCallDone),
            )
            kind.submit(cluster.uuid, self._job)

    return types.SimpleNamespace(
        FixedIntervalLoopingCall=Call, LoopingCallDone=loopingcall.LoopingCallDone
    )
