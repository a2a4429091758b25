# SPDX-License-Identifier: Apache-2.0
"""What is tested, in the tests' own words.

``swarm-mode-tests:: functional`` lists each test of a suite with the sentence in its docstring,
below that of its module; with ``:modules:`` only the modules, with the number of their tests.
"""

import ast
import pathlib
from collections.abc import Iterator
from typing import ClassVar

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

_TESTS = pathlib.Path(__file__).resolve().parents[3] / "tests"


def _sentence(node: ast.Module | ast.FunctionDef) -> str:
    """Return the first paragraph of a docstring on one line."""
    text = (ast.get_docstring(node) or "").partition("\n\n")[0]
    return " ".join(text.split())


def _tests(module: ast.Module) -> Iterator[ast.FunctionDef]:
    for node in ast.walk(module):
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
            yield node


class TestList(SphinxDirective):
    """The tests of a suite."""

    required_arguments = 1
    option_spec: ClassVar = {"modules": directives.flag}

    def run(self) -> list[nodes.Node]:
        """Return a definition list of modules, or a bullet list where only they are wanted."""
        brief = "modules" in self.options
        result: nodes.Element = nodes.bullet_list() if brief else nodes.definition_list()
        for path in sorted((_TESTS / self.arguments[0]).rglob("test_*.py")):
            self.env.note_dependency(str(path))
            module = ast.parse(path.read_text(encoding="utf-8"))
            name = str(path.relative_to(_TESTS.parent))
            result += self._brief(name, module) if brief else self._full(name, module)
        return [result]

    @staticmethod
    def _brief(name: str, module: ast.Module) -> nodes.list_item:
        count = len(list(_tests(module)))
        text = nodes.paragraph("", "", nodes.literal(text=name))
        text += nodes.Text(f" ({count}): {_sentence(module)}")
        return nodes.list_item("", text)

    @staticmethod
    def _full(name: str, module: ast.Module) -> nodes.definition_list_item:
        rows = nodes.bullet_list()
        for test in _tests(module):
            rows += nodes.list_item("", nodes.paragraph(text=_sentence(test) or test.name))
        term = nodes.term("", "", nodes.literal(text=name))
        inside = nodes.definition("")
        if about := _sentence(module):
            inside += nodes.paragraph(text=about)
        inside += rows
        return nodes.definition_list_item("", term, inside)


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directive."""
    app.add_directive("swarm-mode-tests", TestList)
    return {"parallel_read_safe": True}
