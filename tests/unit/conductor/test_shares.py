# SPDX-License-Identifier: Apache-2.0
"""Each cluster has one conductor, and a slow one delays no other."""

import threading
import time
import uuid
from types import SimpleNamespace
from unittest import mock

from magnum import objects
from magnum.common import exception as magnum_exception
from oslo_service import loopingcall
from oslotest import base

from magnum_swarm_mode import conf
from magnum_swarm_mode.cloud import sessions
from magnum_swarm_mode.conductor import lease
from magnum_swarm_mode.conductor.due import loop, pace, shares

UUIDS = [str(uuid.UUID(int=number * 7919)) for number in range(3000)]
HOSTS = ["one", "two", "three"]
SECONDS = 10.0


class ChosenTest(base.BaseTestCase):
    def test_even(self):
        """Every conductor has about the same number of clusters."""
        found = [shares.chosen(one, HOSTS) for one in UUIDS]
        for host in HOSTS:
            self.assertAlmostEqual(1000, found.count(host), delta=100)

    def test_order(self):
        """All conductors find the same, in whatever order they list each other."""
        for one in UUIDS[:100]:
            self.assertEqual(shares.chosen(one, HOSTS), shares.chosen(one, HOSTS[::-1]))

    def test_one_less(self):
        """Only the clusters of a conductor that ends get another one."""
        for one in UUIDS:
            before = shares.chosen(one, HOSTS)
            if before != "two":
                self.assertEqual(before, shares.chosen(one, ["one", "three"]))


def cluster(name, status="UPDATE_IN_PROGRESS", coe="swarm-mode"):
    """Return what is known of a row."""
    template = SimpleNamespace(coe=coe)
    known = {"status": status, "status_reason": None}
    return SimpleNamespace(uuid=name, cluster_template=template, **known)


class Job:
    """As Magnum's for one cluster."""

    def __init__(self, test, name, coe="swarm-mode"):
        self.cluster = cluster(name, coe=coe)
        self.test, self.free = test, threading.Event()
        self.error = loopingcall.LoopingCallDone()
        self.begun, self.ended, self.times = threading.Event(), threading.Event(), 0

    def update_status(self):
        self.times += 1
        self.begun.set()
        self.free.wait(6 * SECONDS)
        self.ended.set()
        raise self.error

    def update_health_status(self):
        self.update_status()


class CallsTest(base.BaseTestCase):
    def setUp(self):
        super().setUp()
        self.calls = loop.Calls(loopingcall)
        self.turn = self.enterContext(mock.patch.object(loop, "is_turn", return_value=True))
        self.enterContext(mock.patch.object(loop, "Store"))
        self.enterContext(mock.patch.object(sessions, "admin_context"))
        self.enterContext(mock.patch.object(objects.Cluster, "get_by_uuid", side_effect=self.row))
        # No look of a test is followed by another.
        self.enterContext(mock.patch.object(pace, "_LEAST_SECONDS", 60.0))
        conf.register_opts(loop.CONF)
        loop.CONF.set_override("clusters_at_once", 2, group="swarm_mode")
        self.addCleanup(loop.CONF.clear_override, "clusters_at_once", group="swarm_mode")
        self.jobs: list[Job] = []
        self.rows = {}
        self.addCleanup(self.free)

    def row(self, _, name):
        if name not in self.rows:
            raise magnum_exception.ClusterNotFound(cluster=name)
        return self.rows[name]

    def free(self):
        for job in self.jobs:
            job.free.set()

    def start(self, name, method="update_status", **more):
        job = Job(self, name, **more)
        self.jobs.append(job)
        self.rows.setdefault(name, job.cluster)
        self.calls.FixedIntervalLoopingCall(f=getattr(job, method)).start(1, stop_on_exception=True)
        return job

    def test_slow(self):
        """A cluster that takes long keeps no other from its turn."""
        slow, other = self.start("slow"), self.start("other")
        self.assertTrue(other.begun.wait(SECONDS))
        other.free.set()
        third = self.start("third")
        self.assertTrue(third.begun.wait(SECONDS))
        self.assertFalse(slow.ended.is_set())

    def test_apart(self):
        """Clusters that took long have threads of their own the next time, others keep theirs."""
        self.enterContext(mock.patch.object(loop, "_SLOW_SECONDS", 0.0))
        liars = [self.start(name) for name in ("a", "b")]
        for job in liars:
            self.assertTrue(job.begun.wait(SECONDS))
            job.free.set()
            self.assertTrue(job.ended.wait(SECONDS))
        until = time.monotonic() + SECONDS
        while self.calls._queued and time.monotonic() < until:
            time.sleep(0.01)
        for name in ("a", "b"):
            self.assertTrue(self.start(name).begun.wait(SECONDS))
        self.assertTrue(self.start("other").begun.wait(SECONDS))

    def test_bound(self):
        """No more clusters are looked at at the same time than the option says."""
        first, second, third = (self.start(str(number)) for number in range(3))
        self.assertTrue(first.begun.wait(SECONDS))
        self.assertTrue(second.begun.wait(SECONDS))
        self.assertFalse(third.begun.wait(0.1))
        first.free.set()
        self.assertTrue(third.begun.wait(SECONDS))

    def test_health(self):
        """Operations that take long keep nobody from looking at the health of others."""
        for number in range(3):
            self.start(str(number))
        self.assertTrue(self.start("4", "update_health_status").begun.wait(SECONDS))

    def test_waiting(self):
        """A cluster that still waits for its turn is not queued again, and later it is."""
        first = self.start("same")
        again = self.start("same")
        first.free.set()
        self.assertTrue(first.ended.wait(SECONDS))
        self.assertFalse(again.begun.wait(0.1))
        for _ in range(200):
            later = self.start("same")
            if later.begun.wait(0.1):
                break
        self.assertTrue(later.begun.is_set())

    def test_followed(self):
        """A look at an operation tells when the next is due, one at the health does not."""
        seen = self.enterContext(mock.patch.object(self.calls, "_pace")).seen
        for method, times in (("update_health_status", 0), ("update_status", 1)):
            job = self.start(method, method)
            job.free.set()
            until = time.monotonic() + SECONDS
            while self.calls._queued and time.monotonic() < until:
                time.sleep(0.01)
            for _ in range(100 * times):
                if seen.called:
                    break
                time.sleep(0.01)
            self.assertEqual([mock.call(job, mock.ANY)] * times, seen.mock_calls)

    def test_failing(self):
        """After a look that fails its thread takes the next."""
        loop.CONF.set_override("clusters_at_once", 1, group="swarm_mode")
        failing, following = self.start("failing"), self.start("following")
        failing.error = ValueError("unexpected")
        failing.free.set()
        self.assertTrue(following.begun.wait(SECONDS))

    def test_hung(self):
        """A thread that hangs is replaced, and its cluster is looked at again."""
        hung = [self.start(str(number)) for number in range(2)]
        for job in hung:
            self.assertTrue(job.begun.wait(SECONDS))
        self.assertFalse(self.start("third").begun.wait(0.1))
        self.enterContext(mock.patch.object(lease, "MOST_SECONDS", 0.05))
        time.sleep(0.1)
        for _ in range(2):
            again = self.start("0")
            self.start("fourth").free.set()
        self.jobs[2].free.set()

        self.assertTrue(self.jobs[2].ended.wait(SECONDS))
        self.assertTrue(self.jobs[3].begun.wait(SECONDS))
        self.assertFalse(again.begun.wait(0.1))

    def test_changed_while_waiting(self):
        """What waits for a thread is looked at as it is then, and not if it is over or gone."""
        loop.CONF.set_override("clusters_at_once", 1, group="swarm_mode")
        first = self.start("first")
        self.assertTrue(first.begun.wait(SECONDS))
        gone, over, busy = (self.start(name) for name in ("gone", "over", "busy"))
        del self.rows["gone"]
        self.rows["over"] = cluster("over", "UPDATE_COMPLETE")
        self.rows["busy"] = cluster("busy", "DELETE_IN_PROGRESS")
        first.free.set()
        self.assertTrue(busy.begun.wait(SECONDS))
        self.assertIs(self.rows["busy"], busy.cluster)
        self.assertEqual((0, 0), (gone.times, over.times))

    def test_no_thread(self):
        """A process that can start no thread now looks at clusters when it can."""
        refused = mock.patch.object(threading.Thread, "start", side_effect=RuntimeError("no"))
        with refused:
            for _ in range(3):
                self.assertRaises(RuntimeError, self.start, "first")
        first = self.start("first")
        self.assertTrue(first.begun.wait(SECONDS))
        with refused:
            second = self.start("second")
        first.free.set()
        self.assertTrue(second.begun.wait(SECONDS))
        third = self.start("third")
        self.assertTrue(third.begun.wait(SECONDS))

    def test_not_mine(self):
        """A cluster of another conductor is left to it."""
        self.turn.return_value = False
        self.assertFalse(self.start("theirs").begun.wait(0.1))

    def test_other_engines(self):
        """Clusters of other engines are looked at as Magnum has it."""
        with mock.patch.object(loopingcall, "FixedIntervalLoopingCall") as magnums:
            self.start("kubernetes", coe="kubernetes")
        magnums.assert_called_once()
