# SPDX-License-Identifier: Apache-2.0
"""The table of faults names tests that exist."""

import pathlib
import re

from oslotest import base

TESTS = pathlib.Path(__file__).resolve().parents[2]
PAGE = TESTS.parent / "doc/source/contributor/faults.rst"
MODULE = re.compile(r"``((?:unit|functional|endtoend)(?:\.\w+)*)``")
NAME = re.compile(r"\b(?:test_\w+|[A-Z]\w*Test)\b")


class FaultsTest(base.BaseTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.page = PAGE.read_text(encoding="utf-8")

    def test_modules(self) -> None:
        """Each folder and module of tests that the table names is there."""
        missing = []
        for name in MODULE.findall(self.page):
            path = TESTS.joinpath(*name.split("."))
            if not (path.is_dir() or path.with_suffix(".py").exists()):
                missing.append(name)
        self.assertEqual([], missing)

    def test_names(self) -> None:
        """Each test and class of tests that the table names is there."""
        modules = list(TESTS.rglob("*.py"))
        code = "\n".join(path.read_text(encoding="utf-8") for path in modules)
        known = {path.stem for path in modules} | set(re.findall(r"(?:def|class) (\w+)", code))
        self.assertEqual([], sorted(set(NAME.findall(self.page)) - known))
