# SPDX-License-Identifier: Apache-2.0
import collections

from oslotest import base

from tests import cases


class CasesTest(base.BaseTestCase):
    def test_each_is_listed_once(self):
        """No name stands for two cases."""
        names = [case.id for path in cases.DIRECTORY.glob("*.yaml") for case in cases.read(path)]
        self.assertNotEqual([], names)
        self.assertEqual({}, {n: c for n, c in collections.Counter(names).items() if c > 1})

    def test_each_is_shown(self):
        """Every listed case is brought about by a test."""
        tests = "".join(
            path.read_text(encoding="utf-8")
            for path in (cases.ROOT / "tests").rglob("test_*.py")
            if path.parent != cases.ROOT / "tests" / "unit" / "cases"
        )
        lacking = [name for name in cases.known() if f'"{name}"' not in tests]
        self.assertEqual([], lacking, "listed cases that no test names")

    def test_each_is_a_sentence(self):
        """What users read is no word alone, and comes with a status."""
        for case in cases.known().values():
            with self.subTest(case=case.id):
                self.assertRegex(case.answer, r"^([45]\d\d|[A-Z]+(_FAILED|_COMPLETE)?)$")
                self.assertIn(" ", case.sentence)

    def test_placeholders(self):
        """A placeholder stands for any text, everything else for itself."""
        case = cases.Case("a", "b", "400", "needs {needed} servers (of {all}).")
        self.assertTrue(case.matches("needs 11 servers (of 4)."))
        self.assertFalse(case.matches("needs  servers (of 4)."))
        self.assertFalse(case.matches("needs 11 servers of 4."))
