# SPDX-License-Identifier: Apache-2.0
"""Commands and files."""

import contextlib
import fcntl
import json
import os
import subprocess
from pathlib import Path
from typing import Any, Iterator

from .errors import NodeError, Temporary

DEEPEST = 100  # lists and objects around a value of JSON


def run(
    *command: str,
    timeout: float = 120,
    check: bool = True,
    stdin: str = "",
) -> str:
    """Run a command and return its standard output.

    :param timeout: seconds after which the command is killed
    :param check: whether another exit code than 0 is an error
    :raises NodeError: with command, exit code and the end of stderr
    """
    name = " ".join(command)
    try:
        done = subprocess.run(
            command,
            input=stdin,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout,
            check=False,
            env={**os.environ, "LC_ALL": "C"},
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NodeError(f"{name}: {error}") from error
    if check and done.returncode:
        text = (done.stderr or done.stdout).strip()[-400:]
        raise NodeError(f"{name}: exit code {done.returncode}: {text}")
    return done.stdout


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Keep other processes from what is done with a lock on a file.

    :raises Temporary: when another process has it
    """
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise Temporary(f"another process has {path}") from error
        yield


def write(path: Path, text: str, mode: int = 0o644) -> bool:
    """Replace a file atomically; return whether its content changed.

    Directories that are missing are made.

    :raises NodeError: when the disk is full or the file cannot be written
    """
    new = path.with_name(f".{path.name}.new")
    try:
        if read(path) == text and path.exists():
            path.chmod(mode)
            return False
        path.parent.mkdir(parents=True, exist_ok=True)
        new.unlink(missing_ok=True)
        new.touch(mode)
        with new.open("w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        new.chmod(mode)
        new.replace(path)
        _sync(path.parent)
    except OSError as error:
        raise NodeError(f"{path} cannot be written: {error.strerror}") from error
    return True


def _sync(directory: Path) -> None:
    """Have the names in a directory on the disk, so that no loss of power takes a file back."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read(path: Path) -> str:
    """Return a file's text, or an empty string where there is none.

    :raises NodeError: when it holds something else than text
    """
    try:
        return path.read_text()
    except FileNotFoundError:
        return ""
    except UnicodeDecodeError as error:
        raise NodeError(f"{path} holds no text: {error.reason}") from error


def parsed(text: str) -> Any:
    """Return what a JSON text says.

    :raises ValueError: when it is none, or is nested more deeply than anything that is read
    """
    try:
        found = json.loads(text)
    except RecursionError as error:
        raise ValueError("the JSON text is nested too deeply") from error
    level = [found]
    for _ in range(DEEPEST + 1):
        level = [
            inner
            for one in level
            if isinstance(one, (dict, list))
            for inner in (one.values() if isinstance(one, dict) else one)
        ]
        if not level:
            return found
    raise ValueError("the JSON text is nested too deeply")
