# SPDX-License-Identifier: Apache-2.0
import importlib
from pathlib import Path

import fixtures
from oslotest import base

from tests import replaced
from tests.guards import removed


class RemovedTest(base.BaseTestCase):
    def test_texts(self) -> None:
        """Each guard is in the package as the list says, so that it can be taken out."""
        for guard in removed.guards():
            for text, without in guard.texts().values():
                self.assertNotEqual(text, without, guard.missing)
                compile(without, guard.missing, "exec")

    def test_tests(self) -> None:
        """Each test that must fail without a guard is there."""
        for guard in removed.guards():
            for name in guard.tests:
                self.assertTrue(_find(name), name)

    def test_put_back(self) -> None:
        """A guard that was taken out is back, also where what ran meanwhile failed."""
        path = Path(self.useFixture(fixtures.TempDir()).path) / "module.py"
        path.write_text("first = 1\nsecond = 2\n")
        edits = [replaced.Edit(str(path), old, "") for old in ("first = 1\n", "second")]
        guard = removed.Guard(0, "nothing", tuple(edits), ())

        def fail() -> None:
            with removed.without(guard):
                self.assertEqual(" = 2\n", path.read_text())
                raise KeyError

        self.assertRaises(KeyError, fail)
        self.assertEqual("first = 1\nsecond = 2\n", path.read_text())

    def test_text_that_is_not_there(self) -> None:
        """A guard whose text has changed is not taken out."""
        path = Path(self.useFixture(fixtures.TempDir()).path) / "module.py"
        for text in ("", "twice twice"):
            path.write_text(text)
            guard = removed.Guard(0, "nothing", (replaced.Edit(str(path), "twice", ""),), ())
            error = self.assertRaises(ValueError, guard.texts)
            self.assertIn("nothing", str(error))


def _find(name: str) -> object:
    """Return a module, class or test; None if there is none."""
    parts = name.split(".")
    at = next(at for at, part in enumerate(parts) if part.startswith("test_"))
    found: object = importlib.import_module(".".join(parts[: at + 1]))
    for part in parts[at + 1 :]:
        found = getattr(found, part, None)
    return found
