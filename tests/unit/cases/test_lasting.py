# SPDX-License-Identifier: Apache-2.0
import importlib
import json
import subprocess
import sys
from pathlib import Path

import fixtures
import yaml
from oslotest import base

from tests import lasting


class LastingTest(base.BaseTestCase):
    def test_rows(self) -> None:
        """Every row has a name of its own, and a test that is there."""
        rows = lasting.read()
        self.assertEqual(len(rows), len({row.id for row in rows}))
        for row in rows:
            module, name, method = row.test.rsplit(".", 2)
            self.assertTrue(hasattr(getattr(importlib.import_module(module), name), method), row)

    def test_measured(self) -> None:
        """What a test leaves takes the place of what was measured before; the last one counts."""
        path = Path(self.useFixture(fixtures.TempDir()).path) / "results"
        self.useFixture(fixtures.EnvironmentVariable("LASTING_FILE", str(path)))
        row = lasting.Row("one", "o", "s", self.id(), "5", "1")
        self.useFixture(fixtures.MonkeyPatch("tests.lasting.read", lambda: [row]))
        lasting.shown(self, "one", seconds=7.4, refusals="120 ms")
        lasting.shown(self, "one", seconds=8.6)
        (merged,) = lasting.merge([row], lasting.measured(path))
        self.assertEqual(("9", "120 ms"), (merged.seconds, merged.refusals))
        self.assertEqual(2, len([json.loads(line) for line in path.read_text().splitlines()]))

    def test_unknown(self) -> None:
        """A row that is not there, or is another test's, fails the test that names it."""
        self.assertRaises(AssertionError, lasting.shown, self, "no-such-row")
        first = lasting.read()[0].id
        self.assertRaises(AssertionError, lasting.shown, self, first)

    def test_dump(self) -> None:
        """What is written is what was read, under the same first comment."""
        before = lasting.FILE.read_text(encoding="utf-8")
        text = lasting.dump(lasting.read(), before)
        self.assertEqual(before.splitlines()[0], text.splitlines()[0])
        self.assertEqual(
            [row.id for row in lasting.read()], [one["id"] for one in yaml.safe_load(text)]
        )

    def test_printed(self) -> None:
        """A command prints the table."""
        done = subprocess.run(
            [sys.executable, "tools/cases", "lasting"],
            cwd=lasting.ROOT,
            capture_output=True,
            text=True,
            check=True,
        )
        self.assertIn("Backup of a swarm", done.stdout)
        self.assertIn("endtoend.test_34_backup", done.stdout)
