# SPDX-License-Identifier: Apache-2.0
"""Clusters to which something happens are looked at more often than Magnum does."""

import queue
import threading
import time
from types import SimpleNamespace
from unittest import mock

from oslotest import base

from magnum_swarm_mode import conf
from magnum_swarm_mode.conductor.due import pace, shares

SECONDS = 10.0


class PauseTest(base.BaseTestCase):
    def test_change(self):
        """What has just changed is looked at again after two seconds."""
        self.assertEqual(2.0, pace.pause(0.0, 0.1))

    def test_unchanged(self):
        """The longer nothing changes, the later it is looked at again."""
        self.assertEqual(5.0, pace.pause(20.0, 0.1))
        self.assertIsNone(pace.pause(40.0, 0.1))

    def test_slow(self):
        """A slow look is followed later, or left to Magnum's task."""
        self.assertEqual(6.0, pace.pause(0.0, 0.6))
        self.assertIsNone(pace.pause(0.0, 1.0))


class Job:
    """As Magnum's for one cluster."""

    def __init__(self, ctx, cluster):
        self.ctx, self.cluster = ctx, cluster


def cluster(name, status="CREATE_IN_PROGRESS", reason=None):
    """Return what is known of a row."""
    return SimpleNamespace(uuid=name, status=status, status_reason=reason)


class PaceTest(base.BaseTestCase):
    def setUp(self):
        super().setUp()
        self.errors, self.unreadable = 0, set()
        self.enterContext(mock.patch.object(pace, "_LEAST_SECONDS", 0.01))
        self.enterContext(mock.patch.object(pace, "_TICK_SECONDS", 0.01))
        # Without a look before that to be compared with, nothing counts as unchanged for long.
        self.enterContext(mock.patch.object(pace, "_OF_UNCHANGED", 0.0))
        self.mine = self.enterContext(mock.patch.object(shares.SHARES, "is_mine"))
        store = self.enterContext(mock.patch.object(pace, "Store")).return_value
        store.get.side_effect = self.record
        conf.register_opts(pace.CONF)
        self.taken: queue.Queue[Job] = queue.Queue()
        self.pace = pace.Pace(self.taken.put)

    def record(self, uuid):
        if uuid in self.unreadable:
            raise OSError("The database is away")
        return SimpleNamespace(state=SimpleNamespace(errors=self.errors))

    def see(self, found, took=0.0):
        self.pace.seen(Job("context", found), took)

    def assert_idle(self):
        """Nothing is left to be looked at, and the thread has ended."""
        for _ in range(1000):
            if not self.pace._runs:
                break
            time.sleep(0.01)
        self.assertFalse(self.pace._runs)
        self.assertTrue(self.taken.empty())

    def test_again(self):
        """A cluster in progress is looked at again."""
        self.see(cluster("a"))
        again = self.taken.get(timeout=SECONDS)
        self.assertEqual(("context", "a"), (again.ctx, again.cluster.uuid))
        self.assert_idle()

    def test_ended(self):
        """A cluster that is at rest is left alone."""
        self.see(cluster("a", "CREATE_FAILED"))
        self.assert_idle()

    def test_unreadable(self):
        """A cluster whose record cannot be read keeps no other from its turn."""
        self.unreadable.add("a")
        self.see(cluster("a"))
        self.see(cluster("b"))
        self.assertEqual("b", self.taken.get(timeout=SECONDS).cluster.uuid)
        self.assert_idle()

    def test_failing(self):
        """A cluster whose looks fail keeps Magnum's interval, after so many of which it ends."""
        self.errors = 1
        self.see(cluster("a"))
        self.assert_idle()

    def test_not_mine(self):
        """A conductor that stood in for another one does not go on as soon as that one is back."""
        self.mine.return_value = False
        self.see(cluster("a"))
        self.assert_idle()

    def test_no_thread(self):
        """A process that can start no thread now is quicker again when it can."""
        with mock.patch.object(threading.Thread, "start", side_effect=RuntimeError("no thread")):
            self.see(cluster("a"))
        self.see(cluster("a"))
        self.assertEqual("a", self.taken.get(timeout=SECONDS).cluster.uuid)
        self.assert_idle()

    def test_slow(self):
        """A cluster whose look took long is left to Magnum's task."""
        self.see(cluster("a"), took=1.0)
        self.assert_idle()

    def test_bound(self):
        """No more clusters are looked at more often than the option says."""
        pace.CONF.set_override("clusters_at_once", 2, group="swarm_mode")
        self.addCleanup(pace.CONF.clear_override, "clusters_at_once", group="swarm_mode")
        with mock.patch.object(pace, "_LEAST_SECONDS", 5.0):
            for name in ("a", "b", "c"):
                self.see(cluster(name))
            self.assertEqual({"a", "b"}, set(self.pace._next))
            for name in ("a", "b"):
                self.see(cluster(name, "CREATE_COMPLETE"))
        self.assert_idle()

    def test_since(self):
        """A change of the status or its reason restarts the time that counts as unchanged."""
        clock = self.enterContext(mock.patch.object(time, "monotonic", return_value=100.0))
        pauses = self.enterContext(mock.patch.object(pace, "pause", return_value=None))
        for seconds, reason in ((100.0, "a"), (107.0, "a"), (108.0, "b"), (110.0, "b")):
            clock.return_value = seconds
            self.see(cluster("a", reason=reason))
        self.assertEqual([0.0, 7.0, 0.0, 2.0], [call.args[0] for call in pauses.mock_calls])
