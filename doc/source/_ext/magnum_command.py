# SPDX-License-Identifier: Apache-2.0
"""The directive ``magnum-commands``: the help of each command, taken from the table of commands."""

import os

from docutils import nodes
from docutils.parsers.rst import Directive
from sphinx.application import Sphinx

from magnum_swarm_mode.cli import commands, declare

# Columns that a line of the help may have in the documentation.
_COLUMNS = "90"


class MagnumCommands(Directive):
    """One section per command of ``magnum``."""

    def run(self) -> list[nodes.Node]:
        """Return a section for each row of the table."""
        return [self._section(command) for command in commands.TABLE]

    @staticmethod
    def _section(command: declare.Command) -> nodes.section:
        before = os.environ.get("COLUMNS")
        os.environ["COLUMNS"] = _COLUMNS
        try:
            text = command.parser().format_help()
        finally:
            del os.environ["COLUMNS"]
            if before is not None:
                os.environ["COLUMNS"] = before
        section = nodes.section(ids=[f"magnum-{command.name}"])
        section += nodes.title(text=command.name)
        section += nodes.literal_block(text, text, language="text")
        return section


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directive."""
    app.add_directive("magnum-commands", MagnumCommands)
    return {"parallel_read_safe": True}
