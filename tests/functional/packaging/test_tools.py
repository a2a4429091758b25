# SPDX-License-Identifier: Apache-2.0
"""tools/test counts what ran, and never calls a run good that was not."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import importlib.machinery
import importlib.util
import json
import os
import pathlib
import signal
import subprocess
import sys
import threading
import time
from typing import Any

import fixtures
from oslotest import base

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


def load() -> Any:
    """Return tools/test as a module."""
    loader = importlib.machinery.SourceFileLoader("tools_test", str(CHECKOUT / "tools/test"))
    spec = importlib.util.spec_from_loader("tools_test", loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    # Its dataclasses look themselves up here.
    sys.modules["tools_test"] = module
    loader.exec_module(module)
    return module


class ReportTest(base.BaseTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.tool = load()
        self.addCleanup(sys.modules.pop, "tools_test")
        self.logs = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        self.useFixture(fixtures.MonkeyPatch("tools_test.LOGS", self.logs))
        self.useFixture(fixtures.MonkeyPatch("tools_test.SERVICE_LOGS", self.logs))

    def report(self, *outcomes: Any) -> tuple[int, list[str]]:
        """Return the exit code and the lines of a report."""
        out = self.useFixture(fixtures.StringStream("out"))
        with fixtures.MonkeyPatch("sys.stdout", out.stream):
            code = self.tool.report(list(outcomes))
        out.stream.flush()
        return code, out.getDetails()["out"].as_text().splitlines()

    def outcome(self, name: str, passed: int = 0, failed: int = 0, *problems: str) -> Any:
        """Return how a suite of that name ended."""
        step = self.tool.Step(name, "", 1, tests="tests")
        return self.tool.Outcome(step, passed, failed, list(problems))

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
        outcome = self.outcome("b", 4, 1)
        outcome.red.append("tests.b.Test.test_it")
        self.assertEqual("failed: b tests.b.Test.test_it", self.report(outcome)[1][-3])

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
        counted = subprocess.run(
            [sys.executable, "-m", "tests.results"],
            input=stream, capture_output=True, cwd=CHECKOUT, check=True, text=False,
        ).stdout  # fmt: skip
        self.assertEqual(
            b'{"fail": 1, "skip": 1, "success": 1, "xfail": 1}',
            b"{" + b", ".join(sorted(counted.strip(b"{}\n").split(b", "))) + b"}",
        )

    def test_deadline_ends_all_children(self) -> None:
        """A command that does not end is ended with everything it started, and said so."""
        began = time.monotonic()
        mark = self.logs / "mark"
        problem = asyncio.run(
            self.tool.run(
                ["sh", "-c", f"(sleep 3; touch {mark}) & sleep 60"], self.logs / "late.log", 0.5
            )
        )
        self.assertEqual("sh did not end within 0 s", problem)
        self.assertLess(time.monotonic() - began, 30)
        time.sleep(3.5)
        self.assertFalse(mark.exists())

    def beside(self, *commands: tuple[str, ...]) -> list[Any]:
        """Return how steps of these commands ended, beside a block that does nothing."""
        steps = [
            self.tool.Step(f"step-{number}", "", 30, (command,), beside=True)
            for number, command in enumerate(commands)
        ]
        outcomes: list[Any] = []
        asyncio.run(self.tool.beside(steps, None, outcomes))
        return outcomes

    def test_beside(self) -> None:
        """Steps beside another run one after the other, politely, with their output in a log."""
        out = self.useFixture(fixtures.StringStream("out"))
        with fixtures.MonkeyPatch("sys.stdout", out.stream):
            first, second = self.beside(("sh", "-c", "nice; echo done"), ("false",))
        out.stream.flush()
        self.assertEqual((True, False), (first.good, second.good))
        priority = os.nice(0) + self.tool.BESIDE_NICE
        self.assertIn(f"{priority}\ndone\n", (self.logs / "step-0.log").read_text())
        self.assertNotIn("done", out.getDetails()["out"].as_text())

    def test_beside_what_fails(self) -> None:
        """When what they run beside is interrupted, the step at work is ended, no other begun."""
        # A shell has what it starts in the background ignore it.
        before = signal.signal(signal.SIGINT, signal.default_int_handler)
        self.addCleanup(signal.signal, signal.SIGINT, before)
        steps = [
            self.tool.Step(name, "", 60, (("sleep", "60"),), beside=True) for name in ("a", "b")
        ]
        outcomes: list[Any] = []

        async def both(seconds: float) -> None:
            async with asyncio.TaskGroup() as group:
                group.create_task(self.tool.beside(steps, None, outcomes))
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

    def test_what_ran_beside_has_the_end_of_its_log_shown(self) -> None:
        """Its output was not on the terminal, so more of it is shown where it failed."""
        (self.logs / "a.log").write_text("".join(f"line {n}\n" for n in range(200)))
        for quiet in (True, False):
            outcome = self.outcome("a", 0, 1)
            outcome.quiet = quiet
            self.assertEqual(quiet, "line 10" in self.report(outcome)[1])

    def test_what_shares_nothing_with_the_cloud(self) -> None:
        """Only steps that need no cloud run beside those that do."""
        beside = [step for step in self.tool.STEPS if step.beside]
        self.assertEqual(["docs", "unit", "functional", "bare"], [step.name for step in beside])
        self.assertEqual([], [step.name for step in beside if step.needs_cloud])

    def test_each_test_on_the_cloud_has_its_place(self) -> None:
        """Every test on the cloud is planned once, and only what takes long is left out."""
        short, everything = (self._planned(*more) for more in ((), ("--long",)))
        for names in (short, everything):
            self.assertEqual(len(names), len(set(names)))
        self.assertEqual(
            ["test_08_releases", "test_08_releases", "test_23_conductors"],
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

    def step(self, *tests: str) -> Any:
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
        self.useFixture(fixtures.MonkeyPatch("tools_test.CHECKOUT", self.logs))
        self.useFixture(fixtures.MonkeyPatch("tools_test.count", self._count))
        return self.tool.Step("suite", "", 400, tests="suite", planned=True, needs_cloud=True)

    def _count(self, stestr: Any) -> dict[str, int]:
        last = subprocess.run(
            (*stestr, "last", "--subunit"), cwd=self.logs, capture_output=True, check=False
        )
        counted = subprocess.run(
            [sys.executable, "-m", "tests.results"],
            input=last.stdout, capture_output=True, cwd=CHECKOUT, check=True,
        )  # fmt: skip
        result: dict[str, int] = json.loads(counted.stdout)
        return result

    def run_step(self, step: Any, regex: str | None = None, with_long: bool = False) -> Any:
        options = argparse.Namespace(regex=regex, concurrency=1, long=with_long)
        return asyncio.run(self.tool.run_tests(step, self.logs / "suite.log", options))

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
        self.assertEqual(["suite.test_bad.Sample.test_it"], outcome.red)
        self.assertEqual(1, self.moments().count(["bad", "begins"]))

    def test_older_releases(self) -> None:
        """With --long, some tests run again on older releases of Magnum, which end with them."""
        endtoend = next(step for step in self.tool.STEPS if step.needs_cloud)
        older = self.tool.older(endtoend)
        self.assertEqual(["21.0.1", "22.0.0"], [step.release for step in older])
        self._devcloud("")
        outcomes: list[Any] = []
        step = self.tool.Step("old", "", 60, (("true",),), release="21.0.1")
        asyncio.run(self.tool.on_cloud(step, True, None, outcomes))
        self.assertEqual([("old", True)], [(one.step.name, one.good) for one in outcomes])
        self.assertEqual(["up --magnum 21.0.1", "up"], self._verbs())

    def _devcloud(self, more: str) -> None:
        """Have a tools/devcloud that notes what it is called with."""
        tool = self.logs / "tools/devcloud"
        tool.parent.mkdir()
        tool.write_text(f'#!/bin/sh\necho "$@" >> verbs\n{more}\n')
        tool.chmod(0o755)
        self.useFixture(fixtures.MonkeyPatch("tools_test.CHECKOUT", self.logs))

    def _verbs(self) -> list[str]:
        return (self.logs / "verbs").read_text().splitlines()

    def test_fresh_cloud(self) -> None:
        """What is left on the cloud is deleted before it is brought up, if that is asked for."""
        self._devcloud('[ "$1" != status ]')

        async def use(options: argparse.Namespace) -> None:
            async with self.tool.cloud(options, []) as is_up:
                self.assertTrue(is_up)

        for fresh, verbs in ((True, "status reset up down"), (False, "status up down")):
            (self.logs / "verbs").unlink(missing_ok=True)
            asyncio.run(use(argparse.Namespace(fresh=fresh, keep=False)))
            self.assertEqual(verbs.split(), self._verbs())
