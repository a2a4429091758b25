# SPDX-License-Identifier: Apache-2.0
"""Commands that fail say why."""

import fixtures
from oslotest import base

from devcloud.dataplane import commands


class RunTest(base.BaseTestCase):
    """Running a command."""

    def test_output(self) -> None:
        """Standard output and error come back together."""
        self.assertEqual("out\nerr\n", commands.run("sh", "-c", "echo out; echo err >&2"))

    def test_input(self) -> None:
        """Text can be given to the command."""
        self.assertEqual("text", commands.run("cat", standard_input="text"))

    def test_failure_names_command_status_and_output(self) -> None:
        """Everything that is needed to understand a failure is in its text."""
        error = self.assertRaises(
            commands.CommandError, commands.run, "sh", "-c", "echo no space; exit 3"
        )
        self.assertEqual((3, "no space"), (error.status, error.output))
        self.assertIn("ended with status 3: no space", str(error))

    def test_deadline(self) -> None:
        """A command that does not end in time is killed."""
        error = self.assertRaises(
            commands.CommandError,
            commands.run,
            "sh",
            "-c",
            "echo so far; exec sleep 30",
            timeout=0.5,
        )
        self.assertEqual((None, "so far"), (error.status, error.output))

    def test_system_tools_are_found(self) -> None:
        """The system's own directories are searched, whatever the caller's path is."""
        self.useFixture(fixtures.EnvironmentVariable("PATH", "/usr/bin"))
        self.assertIn("/usr/sbin", commands.environment()["PATH"].split(":"))
