# SPDX-License-Identifier: Apache-2.0
import pathlib
import textwrap

from oslotest import base

from acceptance import promises
from acceptance.promises import PROMISES, Result, Verdict

PASSED = {one.name: Result(Verdict.PASSED, 1.4) for one in PROMISES}


class TableTest(base.BaseTestCase):
    def test_rows(self):
        """Every promise has a row, with its reason on one line; what was not tried says so."""
        results = {
            "create": Result(Verdict.PASSED, 61.7),
            "nodes": Result(Verdict.FAILED, 3.2, "only\n2 of 3"),
        }
        lines = promises.table(results).splitlines()
        self.assertEqual("PROMISE          RESULT     SECONDS  REASON", lines[0])
        self.assertEqual("create           passed          62", lines[1])
        self.assertEqual("nodes            FAILED           3  only 2 of 3", lines[2])
        self.assertEqual("api-tls          not tried", lines[3])
        self.assertEqual("1 passed, 1 failed, 12 not tried", lines[-1])
        self.assertEqual(len(PROMISES) + 2, len(lines))

    def test_listing(self):
        """The list has a sentence for every promise."""
        lines = promises.listing().splitlines()
        self.assertEqual([one.name for one in PROMISES], [line.split()[0] for line in lines])
        self.assertTrue(all(line.endswith(".") for line in lines))

    def test_documentation(self):
        """The documentation lists the promises as the program does."""
        page = pathlib.Path(__file__).parents[3] / "doc/source/install/acceptance.rst"
        self.assertIn(textwrap.indent(promises.listing(), "   "), page.read_text())

    def test_exit_code(self):
        """Only when all promises hold it is 0; a failure counts more than what was not tried."""
        self.assertEqual(0, promises.exit_code(PASSED))
        self.assertEqual(1, promises.exit_code({**PASSED, "nodes": Result(Verdict.FAILED)}))
        self.assertEqual(1, promises.exit_code({"nodes": Result(Verdict.FAILED)}))
        untried = {name: one for name, one in PASSED.items() if name != "delete"}
        self.assertEqual(3, promises.exit_code(untried))
