# SPDX-License-Identifier: Apache-2.0
"""tools/test counts what ran, and never calls a run good that was not."""

from __future__ import annotations

import asyncio
import collections
import contextlib
import datetime
import io
import json
import os
import pathlib
import signal
import subprocess
import sys
import threading
import time

import fixtures
from oslotest import base

from tests import results
from tests.runner import kept, processes, report, steps
from tests.runner.schedule import Schedule
from tests.runner.steps import STEPS, Outcome, Result, Step

CHECKOUT = pathlib.Path(__file__).resolve().parents[3]

SAMPLE = """
import time, unittest

class Sample(unittest.TestCase):
    def test_good(self):
        pass

    def test_bad(self):
        self.fail("on purpose")

    @unittest.skip("on purpose")
    def test_skipped(self):
        pass

    @unittest.expectedFailure
    def test_expected(self):
        self.fail("on purpose")
"""

SUITE = """
import pathlib, time, unittest

LOGS, NAME = pathlib.Path("{logs}"), "{name}"

def note(what):
    with (LOGS / "moments").open("a") as file:
        file.write(NAME + " " + what + "\\n")

class Sample(unittest.TestCase):
    beside = NAME if NAME in "ab" else ""

    def test_it(self):
        note("begins")
        time.sleep(4 if self.beside else 0)
        note("ends")
        if NAME == "bad":
            self.fail("each time")

    def test_more(self):
        note("more")

    test_more.long = True
"""


# Three steps, of which the first does not want to end; prints the process of each command.
STUBBORN = """
import pathlib, sys
from tests.runner import main, processes, schedule, steps

schedule.Schedule.logs = pathlib.Path(sys.argv[1])
script = "trap '' TERM INT; echo $$ >> {logs}/pids; (trap '' TERM; sleep 99) & sleep 99"
command = ("sh", "-c", script.format(logs=sys.argv[1]))
sys.exit(main.main("", ["--no-install"], [steps.Step(name, "", 90, (command,)) for name in "abc"]))
"""


class ReportTest(base.BaseTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.logs = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        self.schedule = Schedule(logs=self.logs)

    def report(self, *outcomes: Outcome) -> tuple[int, list[str]]:
        """Return the exit code and the lines of a report."""
        out = self.useFixture(fixtures.StringStream("out"))
        with fixtures.MonkeyPatch("sys.stdout", out.stream):
            code = report.report(list(outcomes), self.logs, self.logs)
        out.stream.flush()
        return code, out.getDetails()["out"].as_text().splitlines()

    def outcome(self, name: str, passed: int = 0, failed: int = 0, *problems: str) -> Outcome:
        """Return how a suite of that name ended."""
        results = [
            Result(f"tests.{name}.Test.test_{number}", "success" if number < passed else "fail",
                   number)
            for number in range(passed + failed)
        ]  # fmt: skip
        return Outcome(Step(name, "", 1, tests="tests"), results, list(problems))

    def test_last_line_is_the_sum(self) -> None:
        """The last line sums the suites, and all good is code 0."""
        code, lines = self.report(self.outcome("a", 3), self.outcome("b", 4))
        self.assertEqual((0, "7 passed, 0 failed"), (code, lines[-1]))

    def test_failed_tests(self) -> None:
        """A failed test is counted, and the end of its suite's log is shown."""
        (self.logs / "b.log").write_text("why it failed")
        code, lines = self.report(self.outcome("a", 3), self.outcome("b", 4, 2))
        self.assertEqual((1, "7 passed, 2 failed"), (code, lines[-1]))
        self.assertIn("why it failed", lines)

    def test_names_of_failed_tests(self) -> None:
        """Which tests failed stands at the end, where whoever sees only the end sees it."""
        outcome = self.outcome("b", 4)
        outcome.results.append(Result("tests.b.Test.test_it", "fail"))
        self.assertEqual("failed: b tests.b.Test.test_it", self.report(outcome)[1][-3])

    def test_tracebacks(self) -> None:
        """The end of what a failed test left to read stands under its name."""
        outcome = self.outcome("b", 4)
        text = "\n".join(f"line {number}" for number in range(100))
        outcome.results.append(Result("tests.b.Test.test_it", "fail", 1, text))
        lines = self.report(outcome)[1]
        place = lines.index("--- b tests.b.Test.test_it: fail")
        self.assertEqual(["line 40", "line 99"], [lines[place + 1], lines[place + 60]])

    def test_times(self) -> None:
        """The slowest tests are named and, of what runs on the cloud, the seconds of modules."""
        outcome = self.outcome("b", 30)
        outcome.step = Step("b", "", 1, tests="tests", needs_cloud=True)
        lines = self.report(outcome)[1]
        self.assertEqual("   29.0 s  tests.b.Test.test_29", lines[2])
        self.assertNotIn("    4.0 s  tests.b.Test.test_4", lines)
        self.assertEqual("  435.0 s  tests.b", lines[lines.index("b: modules:") + 1])

    def test_a_step_that_failed_without_tests(self) -> None:
        """What fails without a failed test (lint, a crash) still is no "0 failed"."""
        code, lines = self.report(self.outcome("a", 3), self.outcome("lint", 0, 0, "ended with 1"))
        self.assertEqual((1, "3 passed, 1 failed"), (code, lines[-1]))

    def test_nothing_ran(self) -> None:
        """No step at all is not good."""
        self.assertEqual(1, self.report()[0])

    def test_every_end_of_a_test_is_counted(self) -> None:
        """Skipped and expected failures are told from successes; a crash from both."""
        directory = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        (directory / "test_sample.py").write_text(SAMPLE)
        stream = subprocess.run(
            [sys.executable, "-m", "subunit.run", "discover", str(directory)],
            capture_output=True, check=False,
        ).stdout  # fmt: skip
        tests = results.read(io.BytesIO(stream))
        self.assertEqual(
            {"fail": 1, "skip": 1, "success": 1, "xfail": 1},
            dict(collections.Counter(test["status"] for test in tests)),
        )
        failed = next(test for test in tests if test["status"] == "fail")
        self.assertEqual("AssertionError: on purpose", failed["text"].splitlines()[-1])

    def test_seconds_count_what_is_prepared(self) -> None:
        """What is set up between two tests of a process belongs to the second one."""
        read = results._Results()
        for name, began, ended, tag in (("a", 0, 1, 0), ("b", 2, 5, 1), ("c", 4, 6, 0)):
            moments = [datetime.datetime.fromtimestamp(number) for number in (began, ended)]
            read.take({"id": name, "status": "success", "tags": {f"worker-{tag}"}, "details": {},
                       "timestamps": moments})  # fmt: skip
        self.assertEqual([1, 3, 5], [test["seconds"] for test in read.tests.values()])

    def test_deadline_ends_all_children(self) -> None:
        """A command that does not end is ended with everything it started, and said so."""
        began = time.monotonic()
        mark = self.logs / "mark"
        problem = asyncio.run(
            processes.run(
                ["sh", "-c", f"(sleep 3; touch {mark}) & sleep 60"], self.logs / "late.log", 0.5
            )
        )
        self.assertEqual("sh did not end within 0 s", problem)
        self.assertLess(time.monotonic() - began, 30)
        time.sleep(3.5)
        self.assertFalse(mark.exists())

    def beside(self, *commands: tuple[str, ...]) -> list[Outcome]:
        """Return how steps of these commands ended, beside a block that does nothing."""
        steps = [
            Step(f"step-{number}", "", 30, (command,), beside=True)
            for number, command in enumerate(commands)
        ]
        asyncio.run(self.schedule.beside(steps))
        return self.schedule.outcomes

    def test_beside(self) -> None:
        """Steps beside another run one after the other, politely, with their output in a log."""
        out = self.useFixture(fixtures.StringStream("out"))
        with fixtures.MonkeyPatch("sys.stdout", out.stream):
            first, second = self.beside(("sh", "-c", "nice; echo done"), ("false",))
        out.stream.flush()
        self.assertEqual((True, False), (first.good, second.good))
        priority = os.nice(0) + processes.BESIDE_NICE
        self.assertIn(f"{priority}\ndone\n", (self.logs / "step-0.log").read_text())
        self.assertNotIn("done", out.getDetails()["out"].as_text())

    def test_beside_what_fails(self) -> None:
        """When what they run beside is interrupted, the step at work is ended, no other begun."""
        # A shell has what it starts in the background ignore it.
        before = signal.signal(signal.SIGINT, signal.default_int_handler)
        self.addCleanup(signal.signal, signal.SIGINT, before)
        steps = [Step(name, "", 60, (("sleep", "60"),), beside=True) for name in ("a", "b")]
        outcomes = self.schedule.outcomes

        async def both(seconds: float) -> None:
            async with asyncio.TaskGroup() as group:
                group.create_task(self.schedule.beside(steps))
                await asyncio.sleep(seconds)

        # While the block runs, and while only its end is waited for.
        for seconds in (30.0, 0.0):
            began = time.monotonic()
            outcomes.clear()
            interruption = threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT))
            interruption.start()
            with contextlib.suppress(KeyboardInterrupt):
                asyncio.run(both(seconds))
            self.assertLess(time.monotonic() - began, 20)
            self.assertEqual(
                [("a", ["was ended"])], [(one.step.name, one.problems) for one in outcomes]
            )

    def test_signals(self) -> None:
        """A signal ends all that runs, also what ignores it, and no other step begins.

        That holds where SIGINT is ignored, as it is for what a shell has in the background, and at
        once for a second signal.
        """
        cases = ((signal.SIGTERM, 1), (signal.SIGINT, 1), (signal.SIGTERM, 2))
        for number, times in cases:
            pids = self.logs / "pids"
            pids.unlink(missing_ok=True)
            process = subprocess.Popen(
                [sys.executable, "-c", STUBBORN, str(self.logs)],
                cwd=CHECKOUT, stdout=subprocess.PIPE, text=True,
                preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN) and None,
            )  # fmt: skip
            self.addCleanup(process.kill)
            limit = time.monotonic() + 60
            while not (pids.exists() and pids.read_text()):
                self.assertLess(time.monotonic(), limit, "no step began")
                time.sleep(0.1)
            began = time.monotonic()
            for _ in range(times):
                process.send_signal(number)
                time.sleep(0.5)
            out, _ = process.communicate(timeout=60)
            self.assertEqual(1, process.returncode)
            self.assertLess(time.monotonic() - began, 20 if times == 1 else 4)
            (session,) = pids.read_text().split()
            self.assertEqual([], list(processes._members(int(session))))
            if times == 1:
                self.assertEqual("0 passed, 2 failed", out.splitlines()[-1])

    def test_what_ran_beside_has_the_end_of_its_log_shown(self) -> None:
        """Its output was not on the terminal, so more is shown if no test tells why it failed."""
        (self.logs / "a.log").write_text("".join(f"line {n}\n" for n in range(200)))
        for quiet in (True, False):
            outcome = self.outcome("a", 0, 0, "ended with 1")
            outcome.quiet = quiet
            self.assertEqual(quiet, "line 10" in self.report(outcome)[1])

    def test_what_shares_nothing_with_the_cloud(self) -> None:
        """Only steps that need no cloud run beside those that do."""
        beside = [step for step in STEPS if step.beside]
        self.assertEqual(
            ["docs", "unit", "functional", "horizon", "bare"], [step.name for step in beside]
        )
        self.assertEqual([], [step.name for step in beside if step.needs_cloud])

    def test_each_test_on_the_cloud_has_its_place(self) -> None:
        """Every test on the cloud is planned once, and only what takes long is left out."""
        short, everything = (self._planned(*more) for more in ((), ("--long",)))
        for names in (short, everything):
            self.assertEqual(len(names), len(set(names)))
        self.assertEqual(
            [*3 * ("test_08_releases",), "test_23_conductors", "test_90_devcloud"],
            sorted(name.split(".")[2] for name in set(everything) - set(short)),
        )
        modules = {path.stem for path in (CHECKOUT / "tests/endtoend").glob("test_*.py")}
        self.assertEqual(modules, {name.split(".")[2] for name in everything})

    def _planned(self, *more: str) -> list[str]:
        done = subprocess.run(
            [sys.executable, "-m", "tests.plan", "tests/endtoend", *more],
            capture_output=True, cwd=CHECKOUT, check=True,
        )  # fmt: skip
        return [name for together in json.loads(done.stdout) for part in together for name in part]

    def step(self, *tests: str) -> Step:
        """Return a step of a suite of these test modules."""
        directory = self.logs / "suite"
        directory.mkdir()
        (directory / "__init__.py").touch()
        for name in tests:
            (directory / f"test_{name}.py").write_text(SUITE.format(name=name, logs=self.logs))
        # The plan is this checkout's, of the suite's tests.
        (self.logs / "tests").mkdir()
        (self.logs / "tests/__init__.py").touch()
        (self.logs / "tests/plan.py").write_text((CHECKOUT / "tests/plan.py").read_text())
        self.schedule.checkout = self.logs
        return Step("suite", "", 400, tests="suite", needs_cloud=True)

    def run_step(self, step: Step, regex: str = "", with_long: bool = False) -> Outcome:
        self.schedule.regex, self.schedule.long = regex, with_long
        outcome = Outcome(step)
        asyncio.run(self.schedule.run_tests(outcome, self.logs / "suite.log"))
        return outcome

    def moments(self) -> list[list[str]]:
        """What the tests of the suite noted."""
        return [line.split() for line in (self.logs / "moments").read_text().splitlines()]

    def test_rounds(self) -> None:
        """Tests that may run beside others do so first, the others follow, all are counted."""
        outcome = self.run_step(self.step("a", "b", "c"))
        self.assertEqual((3, 0, []), (outcome.passed, outcome.failed, outcome.problems))
        moments = self.moments()
        self.assertEqual(["begins", "begins", "ends", "ends"], [what for _, what in moments[:4]])
        self.assertEqual([["c", "begins"], ["c", "ends"]], moments[4:])

    def test_rounds_of_what_is_wanted(self) -> None:
        """Only rounds with tests that match are run."""
        outcome = self.run_step(self.step("a", "b", "c"), regex="test_b")
        self.assertEqual((1, 0, []), (outcome.passed, outcome.failed, outcome.problems))

    def test_long(self) -> None:
        """A test that takes long runs only where that is asked for."""
        outcome = self.run_step(self.step("c"), with_long=True)
        self.assertEqual((2, 0), (outcome.passed, outcome.failed))
        self.assertIn(["c", "more"], self.moments())

    def test_nothing_to_run(self) -> None:
        """A suite without a test is not good."""
        outcome = self.run_step(self.step())
        self.assertEqual(["no test was run"], outcome.problems)

    def test_a_module_that_cannot_be_imported(self) -> None:
        """A suite with a module that cannot be imported is not good."""
        step = self.step("c")
        (self.logs / "suite/test_broken.py").write_text("import nothing_of_that_name")
        out = self.useFixture(fixtures.StringStream("out"))
        with fixtures.MonkeyPatch("sys.stdout", out.stream):
            outcome = self.run_step(step)
        self.assertFalse(outcome.good)

    def test_no_second_attempt(self) -> None:
        """A test on the cloud that fails is not tried again, and the result names it."""
        outcome = self.run_step(self.step("a", "bad"))
        self.assertEqual((1, 1), (outcome.passed, outcome.failed))
        self.assertEqual(["suite.test_bad.Sample.test_it"], [test.id for test in outcome.red])
        self.assertEqual(1, self.moments().count(["bad", "begins"]))

    def test_results_stay(self) -> None:
        """The last result of a test is known although later runs were of others."""
        step = self.step("c", "bad")
        self.run_step(step)
        self.run_step(step, regex="test_c")
        self.assertEqual(
            {"suite.test_bad.Sample.test_it": "fail", "suite.test_c.Sample.test_it": "success"},
            {ident: status for ident, status, _ in kept.read(self.logs)},
        )

    def run_counted(self, script: str, regex: str = "") -> Outcome:
        """Return how a step ended whose command notes its tests itself."""
        self.schedule.regex = regex
        step = Step("counted", "", 60, (("sh", "-c", script),), counted=True)
        return asyncio.run(self.schedule.carry_out(step))

    def test_noted_results(self) -> None:
        """Tests that a command notes are counted, kept, and red where they were skipped."""
        lines = (
            '{"id": "a", "status": "success", "seconds": 1}',
            '{"id": "b", "status": "skip", "seconds": 0, "text": "on purpose"}',
        )
        outcome = self.run_counted(f"printf '%s\\n' '{lines[0]}' '{lines[1]}' > $TEST_RESULTS")
        self.assertEqual("1 passed, 1 failed", outcome.verdict)
        self.assertEqual(["b"], [result.id for result in outcome.red])
        ends = [(ident, status) for ident, status, _ in kept.read(self.logs)]
        self.assertEqual([("a", "success"), ("b", "skip")], ends)

    def test_no_noted_results(self) -> None:
        """A command that notes no test is not good, and what an earlier one noted is forgotten."""
        self.run_counted("""echo '{"id": "a", "status": "success"}' > $TEST_RESULTS""")
        self.assertEqual("0 passed, 0 failed; no test was run", self.run_counted("true").verdict)
        self.assertEqual(["sh -c false ended with 1"], self.run_counted("false").problems)

    def test_noted_results_that_match(self) -> None:
        """The command learns what the names of tests must match; none of them may."""
        line = """{"id": "'$TEST_REGEX'", "status": "success"}"""
        outcome = self.run_counted(f"echo '{line}' > $TEST_RESULTS", "chosen")
        self.assertEqual(["chosen"], [result.id for result in outcome.results])
        self.assertTrue(self.run_counted("true", "other").good)

    def test_older_releases(self) -> None:
        """With --long, some tests run again on older releases of Magnum, which end with them."""
        endtoend = next(step for step in STEPS if step.needs_cloud)
        older = steps.older(endtoend)
        self.assertEqual(["21.0.1", "22.0.0"], [step.release for step in older])
        self._devcloud("")
        outcomes = self.schedule.outcomes
        step = Step("old", "", 60, (("true",),), release="21.0.1")
        asyncio.run(self.schedule.on_cloud(step, True))
        self.assertEqual([("old", True)], [(one.step.name, one.good) for one in outcomes])
        self.assertEqual(["up --magnum 21.0.1", "up"], self._verbs())

    def _devcloud(self, more: str) -> None:
        """Have a tools/devcloud that notes what it is called with."""
        tool = self.logs / "tools/devcloud"
        tool.parent.mkdir()
        tool.write_text(f'#!/bin/sh\necho "$@" >> verbs\n{more}\n')
        tool.chmod(0o755)
        self.schedule.checkout = self.logs

    def _verbs(self) -> list[str]:
        return (self.logs / "verbs").read_text().splitlines()

    def test_fresh_cloud(self) -> None:
        """What is left on the cloud is deleted before it is brought up, if that is asked for."""
        self._devcloud('[ "$1" != status ]')

        async def use() -> None:
            async with self.schedule.cloud() as is_up:
                self.assertTrue(is_up)

        up = "up --horizon"
        for fresh, verbs in ((True, ["reset", up]), (False, [up])):
            (self.logs / "verbs").unlink(missing_ok=True)
            self.schedule.fresh = fresh
            asyncio.run(use())
            self.assertEqual(["status", *verbs, "down"], self._verbs())
