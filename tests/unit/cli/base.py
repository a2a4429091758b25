# SPDX-License-Identifier: Apache-2.0
"""What tests of the command share: a cloud, a user's environment, and a run of the command."""

from __future__ import annotations

import dataclasses
import os
import pathlib
import shlex

import fixtures
from oslotest import base

from magnum_swarm_mode.cli import main
from tests.unit.cli import fake_cloud


@dataclasses.dataclass(frozen=True)
class Ran:
    """What a run of the command left."""

    code: int
    out: str
    err: str

    def row(self, first: str) -> list[str]:
        """Return the cells of the table's row with that first cell."""
        rows = [[c.strip() for c in line.strip("|").split("|")] for line in self.out.splitlines()]
        [found] = [row for row in rows if row[0] == first]
        return found


class CommandTestCase(base.BaseTestCase):
    """A user with the OS_* variables of a cloud that speaks HTTP."""

    def setUp(self) -> None:
        super().setUp()
        self.cloud = self.useFixture(fake_cloud.FakeCloud())
        self.home = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        for name in [n for n in os.environ if n.startswith("OS_") or n.lower().endswith("_proxy")]:
            self.useFixture(fixtures.EnvironmentVariable(name))
        self.set_environment(HOME=str(self.home), SHELL="/bin/bash", **self.cloud.environment)

    def set_environment(self, **variables: str | None) -> None:
        """Set variables for this test; None removes one."""
        for name, value in variables.items():
            self.useFixture(fixtures.EnvironmentVariable(name, value))

    def magnum(self, *words: str) -> Ran:
        """Run the command in this process, as a shell would with these words."""
        out = fixtures.StringStream("out")
        err = fixtures.StringStream("err")
        with out, err:
            with (
                fixtures.MonkeyPatch("sys.stdout", out.stream),
                fixtures.MonkeyPatch("sys.stderr", err.stream),
            ):
                try:
                    code = main.main(list(words))
                except SystemExit as e:
                    code = int(e.code or 0)
            out.stream.flush()
            err.stream.flush()
            return Ran(code, out.getDetails()["out"].as_text(), err.getDetails()["err"].as_text())

    def magnum_line(self, line: str) -> Ran:
        """Run a line as a user types it, which begins with ``magnum``."""
        first, *words = shlex.split(line)
        self.assertEqual("magnum", first)
        return self.magnum(*words)
