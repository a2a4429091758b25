# SPDX-License-Identifier: Apache-2.0
"""The faults that the model is to notice can still be put into the driver."""

import contextlib
import io
import pathlib
import subprocess

import fixtures
from oslotest import base

from tests.model import mutations
from tests.model.breaks import BREAKS, Break


class BreaksTest(base.BaseTestCase):
    def test_places(self) -> None:
        """The text that a fault replaces is in the driver exactly once."""
        for one in BREAKS:
            with self.subTest(one.name):
                self.assertEqual(1, one.edit.path.read_text(encoding="utf-8").count(one.old))

    def test_compile(self) -> None:
        """A driver with a fault is Python still."""
        for one in BREAKS:
            with self.subTest(one.name):
                text = one.edit.path.read_text(encoding="utf-8")
                changed = text.replace(one.old, one.new)
                self.assertNotEqual(text, changed)
                compile(changed, one.file, "exec")

    def test_invariants(self) -> None:
        """There is a fault for each of the eight invariants, and a name for each fault."""
        self.assertEqual(set("12345678"), {one.name[0] for one in BREAKS})
        self.assertEqual(len(BREAKS), len({one.name for one in BREAKS}))


class BrokenTest(base.BaseTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.root = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        self.file = self.root / "module.py"
        self.file.write_text("one = 1\n")
        self.fault = Break("1x", "life", "A fault", str(self.file), "one", "two")

    def test_restored(self) -> None:
        """A file is as before also where an exception ends what plays with the fault."""
        with contextlib.suppress(KeyError), mutations.broken(self.fault):
            self.assertEqual("two = 1\n", self.file.read_text())
            raise KeyError
        self.assertEqual("one = 1\n", self.file.read_text())

    def test_twice(self) -> None:
        """A text that is there twice is not replaced."""
        self.file.write_text("one = one\n")
        with self.assertRaisesRegex(ValueError, "2 times"), mutations.broken(self.fault):
            pass
        self.assertEqual("one = one\n", self.file.read_text())

    def test_changes(self) -> None:
        """In a checkout that has changes nothing is broken."""
        subprocess.run(["git", "init", "--quiet", str(self.root)], check=True)
        self.useFixture(fixtures.MonkeyPatch("tests.model.mutations.ROOT", self.root))
        self.useFixture(fixtures.MonkeyPatch("tests.model.mutations.BREAKS", [self.fault]))
        self.useFixture(fixtures.MonkeyPatch("sys.argv", ["mutations"]))
        errors = io.StringIO()
        with contextlib.redirect_stderr(errors):
            self.assertEqual(2, mutations.main())
        self.assertIn("module.py", errors.getvalue())
        self.assertEqual("one = 1\n", self.file.read_text())
