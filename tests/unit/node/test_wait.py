# SPDX-License-Identifier: Apache-2.0
from oslotest import base

from magnum_swarm_mode.node.base import wait
from magnum_swarm_mode.node.base.codes import Code
from magnum_swarm_mode.node.base.errors import NodeError, Temporary


class UntilTest(base.BaseTestCase):
    def setUp(self):
        super().setUp()
        self.now = 0.0
        self.pauses = []

    def _sleep(self, seconds):
        self.pauses.append(seconds)
        self.now += seconds

    def _until(self, probe, timeout=10, **more):
        return wait.until(
            "thing", probe, timeout, clock=lambda: self.now, sleep=self._sleep, **more
        )

    def test_result(self):
        """What the probe returns is returned, without a pause."""
        self.assertEqual(5, self._until(lambda: 5))
        self.assertEqual([], self.pauses)

    def test_code_of_the_deadline(self):
        """The error at the deadline has the code of the last state, or else that of the wait."""
        for known, expected in ((Code.CLOCK_SKEW, Code.CLOCK_SKEW), (Code.OTHER, Code.NOT_JOINED)):

            def probe(known=known):
                raise Temporary("not yet", code=known)

            error = self.assertRaises(NodeError, self._until, probe, 0, code=Code.NOT_JOINED)
            self.assertEqual(expected, error.code)

    def test_temporary_is_tried_again(self):
        """A temporary state is waited for and told to whoever listens."""
        answers = iter([Temporary("one"), Temporary("two"), None])
        said: list[str] = []

        def probe():
            answer = next(answers)
            if answer:
                raise answer
            return "done"

        self.assertEqual("done", self._until(probe, say=said.append))
        self.assertEqual(["one", "two"], said)
        self.assertTrue(all(0.5 <= pause <= 1.5 for pause in self.pauses))

    def test_deadline_tells_the_last_state(self):
        """At the deadline the last state seen becomes the error, never later."""

        def probe():
            raise Temporary(f"at {self.now:.0f}", 503)

        error = self.assertRaises(NodeError, self._until, probe)
        self.assertNotIsInstance(error, Temporary)
        self.assertEqual("thing: not within 10 s; last seen: at 10", str(error))
        self.assertEqual(503, error.status)
        self.assertAlmostEqual(10, self.now)

    def test_zero_timeout_tries_once(self):
        """Without time there is one attempt."""

        def probe():
            raise Temporary("no")

        self.assertRaises(NodeError, self._until, probe, timeout=0)
        self.assertEqual([], self.pauses)

    def test_final_error_is_not_tried_again(self):
        """A final error passes at once."""

        def probe():
            raise NodeError("never")

        self.assertRaises(NodeError, self._until, probe)
        self.assertEqual([], self.pauses)
