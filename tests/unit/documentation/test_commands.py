# SPDX-License-Identifier: Apache-2.0
"""No command in the documentation that is not run by a test."""

import ast
import re
from xml.etree import ElementTree

from oslotest import base

from tests import documented

HELP = (
    "Add it to tests/documentation.yaml with the test that runs it, or give the block a language "
    "(.. code-block:: text) if it is no command."
)


def tests_of(module: str) -> set[str]:
    """Return the dotted names of a module's classes and tests, and its own."""
    path = documented.ROOT / (module.replace(".", "/") + ".py")
    if not path.is_file():
        return set()
    found = {module}
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.ClassDef):
            found.add(f"{module}.{node.name}")
            found |= {
                f"{module}.{node.name}.{inner.name}"
                for inner in node.body
                if isinstance(inner, ast.FunctionDef)
            }
    return found


def is_there(runner: str) -> bool:
    """Return whether a test, or program of the checkout, exists."""
    if not runner.startswith("tests."):
        return (
            runner == "here" or runner.startswith("never: ") or (documented.ROOT / runner).is_file()
        )
    module = re.sub(r"(\.[A-Z]\w*)?(\.test_\w+)?$", "", runner)
    # The last of a module's name looks like that of a test.
    return any(runner in tests_of(name) for name in (module, runner))


class CommandsTest(base.BaseTestCase):
    def test_every_command_is_run_by_a_test(self) -> None:
        """Each command of each page stands in the table, or its page is followed by a test."""
        table = documented.table()
        for page in documented.pages():
            told = documented.commands(page)
            if not told:
                continue
            self.assertTrue(page in table, f"{page} has commands: {told[0]}. {HELP}")
            listed = table[page].get("commands", {})
            if "followed" not in table[page]:
                for command in told:
                    self.assertTrue(command in listed, f"{page}: {command}. {HELP}")
            for command in listed:
                self.assertIn(command, told, f"{page} has no command {command} any more.")

    def test_no_page_of_the_table_is_gone(self) -> None:
        """The table is of the pages that there are."""
        self.assertEqual(set(), set(documented.table()) - set(documented.pages()))

    def test_what_runs_them_is_there(self) -> None:
        """Each test that is named exists, and the one that follows a page names the page."""
        for page, entry in documented.table().items():
            followed = entry.get("followed")
            for runner in {*entry.get("commands", {}).values(), *filter(None, [followed])}:
                self.assertTrue(is_there(runner), f"{page}: there is no {runner}")
            if followed:
                module = ".".join(followed.split(".")[:-2])
                text = (documented.ROOT / f"{module.replace('.', '/')}.py").read_text()
                self.assertTrue(page in text, f"{followed} does not take up {page}")

    def test_what_is_never_run_is_said(self) -> None:
        """A command that no test runs is named among what no test shows."""
        said = (documented.SOURCE / "contributor/coverage.rst").read_text()
        for page, entry in documented.table().items():
            for command, runner in entry.get("commands", {}).items():
                if runner.startswith("never: "):
                    self.assertIn(f"``{command.removeprefix('./')}``", said, page)


class ParserTest(base.BaseTestCase):
    def test_blocks(self) -> None:
        """Blocks of commands are told from other literal blocks; lines that go on are one."""
        blocks = list(documented.blocks("README.rst"))
        self.assertIn("./tools/demo", [block.text for block in blocks])
        commands = documented.commands("README.rst")
        self.assertIn("./tools/devcloud up", commands)
        self.assertEqual(1, sum("cluster-template-create" in command for command in commands))
        self.assertNotIn("\\", "".join(commands))
        languages = {block.language for block in documented.blocks("doc/source/install/index.rst")}
        self.assertEqual({"", "ini"}, languages)


class DrawingTest(base.BaseTestCase):
    def test_drawings(self) -> None:
        """Each drawing is SVG that needs nothing else, and is described on a page."""
        pages = "".join((documented.ROOT / page).read_text() for page in documented.pages())
        for path in sorted((documented.SOURCE / "images").glob("*.svg")):
            root = ElementTree.parse(path).getroot()
            self.assertEqual("{http://www.w3.org/2000/svg}svg", root.tag)
            self.assertNotIn("href", path.read_text())
            self.assertRegex(pages, rf"figure:: /images/{path.name}\n +:alt: ")
