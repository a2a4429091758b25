# SPDX-License-Identifier: Apache-2.0
"""Runs the Django tests, and notes how each ended where somebody counts them.

``TEST_RESULTS`` names the file that takes a line of JSON per test: ``id``, ``status``, ``seconds``
and ``text``, what a test left to read. ``TEST_REGEX`` runs only tests whose names match. A run
without tests fails, unless no name matches.
"""

from __future__ import annotations

import json
import os
import re
import time
import unittest
from pathlib import Path
from typing import Any

from django.test import runner

REGEX = os.environ.get("TEST_REGEX", "")
Error = Any  # what sys.exc_info() returns


class Result(unittest.TextTestResult):
    """Notes a line per test beside what unittest prints."""

    _began = 0.0

    def startTest(self, test: unittest.TestCase) -> None:
        self._began = time.monotonic()
        super().startTest(test)

    def _note(self, test: unittest.TestCase, status: str, text: str = "") -> None:
        if not (path := os.environ.get("TEST_RESULTS")):
            return
        line = {
            "id": test.id(),
            "status": status,
            "seconds": round(time.monotonic() - self._began, 3),
            "text": text,
        }
        with Path(path).open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")

    def addSuccess(self, test: unittest.TestCase) -> None:
        super().addSuccess(test)
        self._note(test, "success")

    def addError(self, test: unittest.TestCase, err: Error) -> None:
        super().addError(test, err)
        self._note(test, "fail", self.errors[-1][1])

    def addFailure(self, test: unittest.TestCase, err: Error) -> None:
        super().addFailure(test, err)
        self._note(test, "fail", self.failures[-1][1])

    def addSubTest(
        self, test: unittest.TestCase, subtest: unittest.TestCase, err: Error | None
    ) -> None:
        super().addSubTest(test, subtest, err)
        if err:
            self._note(subtest, "fail", (self.errors + self.failures)[-1][1])

    def addSkip(self, test: unittest.TestCase, reason: str) -> None:
        super().addSkip(test, reason)
        self._note(test, "skip", reason)

    def addExpectedFailure(self, test: unittest.TestCase, err: Error) -> None:
        super().addExpectedFailure(test, err)
        self._note(test, "xfail")

    def addUnexpectedSuccess(self, test: unittest.TestCase) -> None:
        super().addUnexpectedSuccess(test)
        self._note(test, "uxsuccess")


class Runner(runner.DiscoverRunner):
    """Django's runner with the results above."""

    def get_resultclass(self) -> Any:
        return super().get_resultclass() or Result

    def build_suite(self, *arguments: Any, **options: Any) -> unittest.TestSuite:
        suite: unittest.TestSuite = super().build_suite(*arguments, **options)
        return unittest.TestSuite(
            test for test in runner.iter_test_cases(suite) if re.search(REGEX, test.id())
        )

    def suite_result(self, suite: unittest.TestSuite, result: unittest.TestResult) -> int:
        failed: int = super().suite_result(suite, result)
        if result.skipped or result.expectedFailures or not (result.testsRun or REGEX):
            self.log(f"{result.testsRun} tests ran, {len(result.skipped)} of them skipped.")
            return failed + 1
        return failed
