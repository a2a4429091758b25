# SPDX-License-Identifier: Apache-2.0
"""Commands and files."""

import os
import subprocess
import tempfile
from pathlib import Path
from typing import Mapping, Optional, Sequence

from .errors import NodeError


def run(
    *command: str,
    timeout: float = 120,
    accept: Sequence[int] = (0,),
    env: Optional[Mapping[str, str]] = None,
    stdin: str = "",
) -> str:
    """Run a command and return its standard output.

    :param timeout: seconds after which the command is killed
    :param accept: exit codes that are no error
    :param env: variables to add to the environment
    :raises NodeError: with command, exit code and the end of stderr
    """
    try:
        done = subprocess.run(
            command,
            input=stdin,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout,
            check=False,
            env={**os.environ, "LC_ALL": "C", **(env or {})},
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NodeError(f"{' '.join(command)}: {error}") from error
    if done.returncode not in accept:
        text = (done.stderr.strip() or done.stdout.strip())[-400:]
        raise NodeError(f"{' '.join(command)}: exit code {done.returncode}: {text}")
    return done.stdout


def write(path: Path, text: str, mode: int = 0o644) -> bool:
    """Replace a file atomically; return whether its content changed.

    Directories that are missing are made (0755).

    :raises NodeError: when the disk is full or the file cannot be written
    """
    try:
        if path.is_file() and path.read_text() == text:
            path.chmod(mode)
            return False
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "w") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            Path(name).chmod(mode)
            Path(name).replace(path)
        except BaseException:
            Path(name).unlink()
            raise
    except OSError as error:
        raise NodeError(f"{path} cannot be written: {error.strerror}") from error
    return True


def read(path: Path) -> str:
    """Return a file's text, or an empty string where there is none."""
    try:
        return path.read_text()
    except FileNotFoundError:
        return ""
