# SPDX-License-Identifier: Apache-2.0
"""The help of our commands, taken from their parsers.

``magnum-commands`` is that of each command of ``magnum``, ``swarm-mode-render-help`` that of
``magnum-swarm-mode render``.
"""

import contextlib
import os
from collections.abc import Iterator

from docutils import nodes
from docutils.parsers.rst import Directive
from sphinx.application import Sphinx

from magnum_swarm_mode.cli import commands, declare
from magnum_swarm_mode.preview import main as preview

# Columns that a line of the help may have in the documentation.
_COLUMNS = "90"


@contextlib.contextmanager
def _columns() -> Iterator[None]:
    before = os.environ.get("COLUMNS")
    os.environ["COLUMNS"] = _COLUMNS
    try:
        yield
    finally:
        del os.environ["COLUMNS"]
        if before is not None:
            os.environ["COLUMNS"] = before


class MagnumCommands(Directive):
    """One section per command of ``magnum``."""

    def run(self) -> list[nodes.Node]:
        """Return a section for each row of the table."""
        return [self._section(command) for command in commands.TABLE]

    @staticmethod
    def _section(command: declare.Command) -> nodes.section:
        with _columns():
            text = command.parser().format_help()
        section = nodes.section(ids=[f"magnum-{command.name}"])
        section += nodes.title(text=command.name)
        section += nodes.literal_block(text, text, language="text")
        return section


class RenderHelp(Directive):
    """The help of ``magnum-swarm-mode render``."""

    def run(self) -> list[nodes.Node]:
        """Return a literal block."""
        with _columns():
            text = preview.render_parser().format_help()
        return [nodes.literal_block(text, text, language="text")]


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directives."""
    app.add_directive("magnum-commands", MagnumCommands)
    app.add_directive("swarm-mode-render-help", RenderHelp)
    return {"parallel_read_safe": True}
