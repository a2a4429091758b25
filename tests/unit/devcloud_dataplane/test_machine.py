# SPDX-License-Identifier: Apache-2.0
import subprocess
import sys

from oslotest import base

from devcloud.dataplane import machine

# A process that starts a child of a name of its own, and tells the child's process id.
PARENT = """
import subprocess, sys
child = subprocess.Popen(["bash", "-c", f"printf %s {sys.argv[1]} > /proc/$$/comm; echo; read"],
                         stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
child.stdout.readline()
print(child.pid, flush=True)
sys.stdin.read()
"""


class FirstProcessTest(base.BaseTestCase):
    """Which child of systemd-nspawn is the machine's first process."""

    def _child(self, name: str) -> tuple[int, int]:
        """Start a process with a child of that name; return the ids of both."""
        parent = subprocess.Popen(
            (sys.executable, "-c", PARENT, name),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.addCleanup(parent.communicate)
        assert parent.stdout is not None
        return parent.pid, int(parent.stdout.readline())

    def test_running(self) -> None:
        """The init system's first process is the machine's."""
        parent, child = self._child("systemd")
        self.assertEqual(child, machine.first_process(parent))

    def test_set_up(self) -> None:
        """The child that sets the machine up is not its first process: it ends soon."""
        parent, _child = self._child(machine.SUPERVISOR)
        self.assertIsNone(machine.first_process(parent))

    def test_no_child(self) -> None:
        """Without a child there is none."""
        _parent, child = self._child("systemd")
        self.assertIsNone(machine.first_process(child))
