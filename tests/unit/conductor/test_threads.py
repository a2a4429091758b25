# SPDX-License-Identifier: Apache-2.0
import threading
import types
from typing import Any

from oslotest import base

from magnum_swarm_mode.conductor.due import threads

_SECONDS = 30


class Done(Exception):  # noqa: N818 - as oslo.service calls it
    """A job is done."""


class ThreadsTest(base.BaseTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.begun: list[str] = []
        self.go_on = threading.Event()
        self.addCleanup(self.go_on.set)
        self.three = threading.Semaphore(0)
        self.ended = threading.Semaphore(0)

    def job(self, name: str, error: Exception | None = None) -> threads.Job:
        def work() -> None:
            self.begun.append(name)
            self.three.release()
            self.go_on.wait(_SECONDS)
            self.ended.release()
            raise error or Done

        return work

    def wait(self, count: int, semaphore: threading.Semaphore) -> None:
        for _ in range(count):
            self.assertTrue(semaphore.acquire(timeout=_SECONDS))

    def test_bounded(self) -> None:
        """Of many jobs only so many are at work at a time, and all are done."""
        pool = threads.Threads(lambda: 3, Done)
        for number in range(10):
            pool.submit(str(number), self.job(str(number)))
        self.wait(3, self.three)
        self.assertEqual({"0", "1", "2"}, set(self.begun))
        self.go_on.set()
        self.wait(10, self.ended)
        self.assertEqual(sorted(map(str, range(10))), sorted(self.begun))

    def test_once(self) -> None:
        """A cluster that is looked at, or waits for that, gets no second look meanwhile."""
        pool = threads.Threads(lambda: 1, Done)
        for name in ("a", "b", "a", "b"):
            pool.submit(name, self.job(name))
        self.wait(1, self.three)
        pool.submit("a", self.job("a"))
        self.go_on.set()
        self.wait(2, self.ended)
        self.assertEqual(["a", "b"], self.begun)

    def test_failing(self) -> None:
        """After a job that fails the next is done."""
        pool = threads.Threads(lambda: 1, Done)
        self.go_on.set()
        pool.submit("a", self.job("a", ValueError("unexpected")))
        pool.submit("b", self.job("b"))
        self.wait(2, self.ended)
        self.assertEqual(["a", "b"], self.begun)


class Job:
    """What Magnum's periodic tasks hand to a looping call."""

    def __init__(self, coe: str, done: threading.Event) -> None:
        template = types.SimpleNamespace(coe=coe)
        self.cluster = types.SimpleNamespace(uuid="u", cluster_template=template)
        self._done = done

    def update_status(self) -> None:
        """Look at the cluster."""
        self._done.set()


class BoundedTest(base.BaseTestCase):
    def test_whose(self) -> None:
        """Clusters of other drivers are looked at as Magnum does it."""
        started: list[Any] = []

        class Call:
            def __init__(self, f: Any) -> None:
                self.f = f

            def start(self, interval: float, **kwargs: Any) -> None:
                started.append((self.f.__self__.cluster.cluster_template.coe, interval, kwargs))

        original = types.SimpleNamespace(FixedIntervalLoopingCall=Call, LoopingCallDone=Done)
        loopingcall = threads.bounded(original)
        self.assertIs(Done, loopingcall.LoopingCallDone)
        done = threading.Event()
        for coe in ("kubernetes", "swarm-mode"):
            job = Job(coe, done)
            loopingcall.FixedIntervalLoopingCall(f=job.update_status).start(
                1, stop_on_exception=True
            )
        self.assertTrue(done.wait(_SECONDS))
        self.assertEqual([("kubernetes", 1, {"stop_on_exception": True})], started)
