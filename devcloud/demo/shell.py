# SPDX-License-Identifier: Apache-2.0
"""Commands, run in the environment that a user has after sourcing what ``openrc`` prints."""

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from devcloud import settings

DEVCLOUD = settings.CHECKOUT / "tools" / "devcloud"
STOP_GRACE = 60.0  # seconds a command may take to end after an interruption
SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class CommandError(Exception):
    """A command failed: what it was, its exit code and what it printed."""

    def __init__(self, command: str, code: int, output: str) -> None:
        self.command = command
        self.code = code
        self.output = output
        super().__init__(f"`{command}` ended with {code}: {output.strip()[-2000:]}")


def login_environment(home: str | None = None) -> dict[str, str]:
    """The few variables of a fresh login shell, nothing inherited that could change a result.

    :param home: home directory; default: this user's
    """
    return {
        "HOME": home or os.environ.get("HOME", "/root"),
        # python-magnumclient looks here for the syntax in which it prints variables.
        "SHELL": "/bin/bash",
        "PATH": SYSTEM_PATH,
        "TERM": os.environ.get("TERM", "dumb"),
        "LANG": "C.UTF-8",
    }


def user_environment(*who: str, home: str | None = None) -> dict[str, str]:
    """A login shell's variables after ``source <(tools/devcloud openrc …)``.

    :param who: ``admin`` for the administrator, nothing for the demo user
    :raises CommandError: the cloud has never been up
    """
    script = 'rc=$("$0" openrc "$@") || exit; eval "$rc"; exec env -0'
    command = ["bash", "-c", script, str(DEVCLOUD), *who]
    done = subprocess.run(
        command,
        env=login_environment(home),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise CommandError(
            " ".join([str(DEVCLOUD), "openrc", *who]), done.returncode, done.stderr + done.stdout
        )
    pairs = (line.partition("=") for line in done.stdout.split("\0") if line)
    return {name: value for name, _, value in pairs if name not in ("_", "SHLVL", "PWD")}


def capture(
    command: Sequence[str | Path], environment: Mapping[str, str], timeout: float = 120.0
) -> str:
    """What a command prints on its standard output.

    :param timeout: seconds after which it is killed
    :raises CommandError: it ended with another code than 0, or not in time
    """
    text = " ".join(map(str, command))
    try:
        done = subprocess.run(
            [str(word) for word in command],
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout,
            check=False,
        )
    except FileNotFoundError as error:
        raise CommandError(text, 127, str(error)) from error
    except subprocess.TimeoutExpired as error:
        raise CommandError(text, 124, f"not finished after {timeout:.0f} s") from error
    if done.returncode:
        raise CommandError(text, done.returncode, done.stderr + done.stdout)
    return done.stdout


def run(command: Sequence[str | Path], environment: Mapping[str, str]) -> int:
    """Run a command that prints for itself; its exit code.

    When this program is interrupted, the command gets the time to put its things in order.
    """
    with subprocess.Popen(
        [str(word) for word in command], env=dict(environment), stdin=subprocess.DEVNULL
    ) as process:
        try:
            return process.wait()
        except BaseException:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(STOP_GRACE)
            except subprocess.TimeoutExpired:
                process.kill()
            raise
