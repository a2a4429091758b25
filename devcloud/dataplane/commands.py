# SPDX-License-Identifier: Apache-2.0
"""Run a command of the host and fail with everything that is needed to understand why."""

import os
import subprocess

_SYSTEM_DIRECTORIES = "/usr/local/sbin:/usr/sbin:/sbin:/usr/bin:/bin"


class CommandError(RuntimeError):
    """A command ended with a status other than 0, or did not end in time."""

    def __init__(self, command: tuple[str, ...], status: int | None, output: str) -> None:
        """Keep the command, its exit status (None: killed at the deadline) and its output."""
        self.command = command
        self.status = status
        self.output = output.strip()
        ending = "did not end in time" if status is None else f"ended with status {status}"
        super().__init__(f"`{' '.join(command)}` {ending}: {self.output or 'no output'}")


def environment() -> dict[str, str]:
    """Return an environment in which the host's tools are found and speak plain English.

    Root's search path has no ``sbin`` after a plain ``su``, for example.
    """
    path = os.environ.get("PATH", "")
    return {
        **os.environ,
        "PATH": f"{path}:{_SYSTEM_DIRECTORIES}" if path else _SYSTEM_DIRECTORIES,
        "LC_ALL": "C",
    }


def run(*command: str, standard_input: str | None = None, timeout: float = 60.0) -> str:
    """Run a command to its end and return its output (standard output and error together).

    :param standard_input: text given to the command; without it the input is empty.
    :param timeout: seconds after which the command is killed.
    :raises CommandError: the status was not 0, or the deadline passed.
    """
    try:
        done = subprocess.run(
            command,
            input=(standard_input or "").encode(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=timeout,
            check=False,
            env=environment(),
        )
    except subprocess.TimeoutExpired as late:
        output = (late.stdout or b"").decode(errors="replace")
        raise CommandError(command, None, output) from late
    output = done.stdout.decode(errors="replace")
    if done.returncode:
        raise CommandError(command, done.returncode, output)
    return output


def succeeds(*command: str, timeout: float = 60.0) -> bool:
    """Run a command whose failure is an answer, not an error."""
    try:
        run(*command, timeout=timeout)
    except CommandError:
        return False
    return True
