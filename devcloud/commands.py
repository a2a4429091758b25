# SPDX-License-Identifier: Apache-2.0
"""Runs other programs: their output goes to a log, a failure carries its last lines."""

import os
import shlex
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from devcloud import settings
from devcloud.errors import CommandFailedError

# In the environment of every process: finds those that a killed command left behind.
MARK = "DEVCLOUD_SERVICE"
HOME_MARK = "DEVCLOUD_HOME"
SETUP = "setup"  # the mark of commands that `run` starts; services have their names
_TAIL_LINES = 6
_SEARCH_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# What a child may inherit: enough to reach package registries the way this machine does.
# Everything else (virtual environments, OS_*, PYTHON*) would leak into the services.
_INHERITED_PREFIXES = ("PIP_", "SSL_", "REQUESTS_", "http", "HTTP", "no_proxy", "NO_PROXY")


def home_identity() -> str:
    """What tells this cloud from one in another root file system whose home has the same path."""
    try:
        found = settings.HOME.stat()
    except OSError:
        return "none"
    return f"{found.st_dev}:{found.st_ino}"


def clean_environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment of every child: a fixed PATH and locale, registry settings, ``extra``."""
    environment = {
        key: value for key, value in os.environ.items() if key.startswith(_INHERITED_PREFIXES)
    }
    environment.update({MARK: SETUP, HOME_MARK: home_identity()})
    environment.update(PATH=_SEARCH_PATH, LANG="C.UTF-8", LC_ALL="C.UTF-8", HOME="/root")
    environment.update(extra or {})
    return environment


def tail(text: str, lines: int = _TAIL_LINES) -> str:
    """The last ``lines`` lines of ``text`` that are not empty."""
    return "\n".join([line for line in text.splitlines() if line.strip()][-lines:])


def run(
    command: Sequence[str | Path],
    *,
    environment: Mapping[str, str] | None = None,
    timeout: float = 600,
    log: Path | None = None,
    check: bool = True,
    stdin: str | None = None,
    cwd: Path | None = None,
    uid: int | None = None,
) -> str:
    """Run a command and return what it printed (both streams).

    :param timeout: seconds after which it is killed.
    :param log: file that the output is appended to as well.
    :param uid: numeric user and group to run as.
    :raises CommandFailedError: it ended with another code than 0 (unless not ``check``),
        or too late.
    """
    words = [str(word) for word in command]
    try:
        done = subprocess.run(
            words,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL if stdin is None else None,
            input=None if stdin is None else stdin.encode(),
            env=clean_environment(environment),
            timeout=timeout,
            cwd=cwd or "/",
            user=uid,
            group=uid,
            extra_groups=None if uid is None else [],
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise CommandFailedError(f"{words[0]} did not end within {timeout:g} s") from error
    except OSError as error:
        raise CommandFailedError(f"cannot run {words[0]}: {error.strerror}") from error
    output = done.stdout.decode(errors="replace")
    if log is not None:
        with log.open("a", encoding="utf-8") as file:
            file.write(f"$ {shlex.join(words)}\n{output}\n")
    if check and done.returncode:
        raise CommandFailedError(
            f"{shlex.join(words)} ended with {done.returncode}: {tail(output)}"
        )
    return output
