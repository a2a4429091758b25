# SPDX-License-Identifier: Apache-2.0
import ast
import collections
import os
import subprocess
import sys
from pathlib import Path
from unittest import mock

import fixtures
import yaml
from oslotest import base

from tests import attacks
from tests.runner import kept
from tests.runner.steps import Result


def defined(path: Path) -> set[str]:
    """Return the names of the tests that a module defines, as Class.test."""
    return {
        f"{one.name}.{inner.name}"
        for one in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(one, ast.ClassDef)
        for inner in one.body
        if isinstance(inner, ast.FunctionDef) and inner.name.startswith("test_")
    }


class AttacksTest(base.BaseTestCase):
    def test_tests_exist(self) -> None:
        """Every sentence names tests, and each of them is there."""
        for sentence in attacks.read():
            self.assertNotEqual({}, sentence.tests, sentence.id)
            for name in sentence.tests:
                module, case, method = name.rsplit(".", 2)
                path = attacks.ROOT / (module.replace(".", "/") + ".py")
                self.assertTrue(path.is_file(), name)
                self.assertIn(f"{case}.{method}", defined(path), name)

    def test_names(self) -> None:
        """No name stands for two sentences, and no sentence stands there twice."""
        sentences = attacks.read()
        for names in ([one.id for one in sentences], [one.attack for one in sentences]):
            counted = collections.Counter(names)
            self.assertEqual({}, {name: count for name, count in counted.items() if count > 1})

    def test_attackers(self) -> None:
        """Each attacker is a known one, and has at least three sentences."""
        counted = collections.Counter(one.attacker for one in attacks.read())
        self.assertEqual(set(attacks.ATTACKERS), set(counted))
        for attacker, count in counted.items():
            self.assertGreaterEqual(count, 3, attacker)

    def test_on_the_page(self) -> None:
        """The page shows the table of each attacker."""
        page = (attacks.ROOT / "doc/source/reference/threat-model.rst").read_text(encoding="utf-8")
        for attacker in attacks.ATTACKERS:
            self.assertIn(f".. swarm-mode-attacks:: {attacker}\n", page)

    def test_dump(self) -> None:
        """What is written is what was read, under the same first comment."""
        before = attacks.FILE.read_text(encoding="utf-8")
        text = attacks.dump(attacks.read(), before)
        self.assertEqual(before, text)
        self.assertEqual(
            [one.id for one in attacks.read()], [one["id"] for one in yaml.safe_load(text)]
        )

    def test_printed(self) -> None:
        """A command prints the table."""
        done = subprocess.run(
            [sys.executable, "tools/cases", "attacks"],
            cwd=attacks.ROOT,
            capture_output=True,
            text=True,
            check=True,
        )
        self.assertIn("Redirect the conductor", done.stdout)
        self.assertRegex(
            done.stdout, r"RedirectTest.test_elsewhere +\| (passed|failed|not run here) "
        )


class LastRunsTest(base.BaseTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.root = Path(self.useFixture(fixtures.TempDir()).path)

    def run_of(self, when: int, **ends: str) -> None:
        """Leave a run of tests, with how each of them ended, as stestr does."""
        path = self.root / ".stestr" / str(when)
        path.parent.mkdir(exist_ok=True)
        lines = [
            f"test: {name}\n{end}: {name}\n" if end else f"test: {name}\n"
            for name, end in ends.items()
        ]
        path.write_text("".join(lines), encoding="utf-8")
        os.utime(path, (when, when))

    def keep(self, when: float, **ends: str) -> None:
        """Leave a run of tests as tools/test does."""
        logs = self.root / ".logs"
        logs.mkdir(exist_ok=True)
        with mock.patch("time.time", return_value=when):
            kept.keep([Result(name, status) for name, status in ends.items()], logs)

    def test_last(self) -> None:
        """The last end of each test counts, of all runs; others are not known."""
        self.run_of(9, one="failure", two="success", four="success")
        self.run_of(10, one="success", three="skip")
        self.run_of(8, two="failure", three="success")
        found = attacks.last_runs({"one", "two", "three", "five"}, self.root)
        self.assertEqual({"one": "passed", "two": "passed", "three": "failed"}, found)

    def test_kept(self) -> None:
        """A run of tools/test leaves the results of other tests, and counts by its time."""
        self.keep(5, one="fail", two="success", three="success")
        self.keep(7, one="success")
        self.run_of(6, one="failure", two="failure")
        found = attacks.last_runs({"one", "two", "three"}, self.root)
        self.assertEqual({"one": "passed", "two": "failed", "three": "passed"}, found)

    def test_crash(self) -> None:
        """A test that never ended did not pass."""
        self.run_of(1, two="success", one="")
        self.assertEqual(
            {"one": "failed", "two": "passed"}, attacks.last_runs({"one", "two"}, self.root)
        )

    def test_merge(self) -> None:
        """What did not run here keeps its last known result."""
        tests = {"one": "passed", "two": "", "three": "passed"}
        sentence = attacks.Sentence("a", "network", "b", "c", tests)
        (merged,) = attacks.merge([sentence], {"one": "failed"})
        self.assertEqual({**tests, "one": "failed"}, merged.tests)
        self.assertEqual(
            [
                ("network", "b", "c", "one", "failed"),
                ("", "", "", "two", attacks.UNKNOWN),
                ("", "", "", "three", "passed"),
            ],
            merged.lines(),
        )
