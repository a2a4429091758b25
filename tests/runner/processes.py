# SPDX-License-Identifier: Apache-2.0
"""Runs a command with a log, a deadline and a priority, and ends all of it where it must end."""

from __future__ import annotations

import asyncio
import contextlib
import os
import pathlib
import signal
import sys
import time
from collections.abc import Iterator, Mapping, Sequence

CHECKOUT = pathlib.Path(__file__).resolve().parents[2]
STOP_SECONDS = 5
# Beside the tests on the cloud a step gets what they leave of the processors, but at least a tenth,
# for its tests have limits of time; it may take so many times as long as alone.
BESIDE_NICE = 5
BESIDE_FACTOR = 3

# Sessions of the commands that run now.
_sessions: set[int] = set()


async def run(
    command: Sequence[str],
    log: pathlib.Path,
    deadline: float,
    beside: bool = False,
    variables: Mapping[str, str] | None = None,
    cwd: pathlib.Path = CHECKOUT,
) -> str:
    """Run a command, its output in the log and, unless it runs beside another, on the terminal.

    It is ended with all that it started at its deadline, and where this is cancelled.

    :param deadline: seconds it may take alone.
    :param beside: with low priority, and more time.
    :param variables: of its environment, beside those of this process.
    :returns: what was wrong; empty: nothing.
    """
    polite = ("nice", "-n", str(BESIDE_NICE)) if beside else ()
    deadline *= BESIDE_FACTOR if beside else 1
    with log.open("ab") as file:
        file.write(f"$ {' '.join(command)}\n".encode())
        file.flush()
        process = await asyncio.create_subprocess_exec(
            *polite,
            *command,
            cwd=cwd,
            env={**os.environ, **(variables or {})},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=file,
            stderr=asyncio.subprocess.STDOUT,
            # A session of its own, so that all that it started can be found.
            start_new_session=True,
        )
    _sessions.add(process.pid)
    if beside:
        _lower_group(process.pid)
    showing = None if beside else asyncio.create_task(_show(log, log.stat().st_size))
    try:
        code = await asyncio.wait_for(process.wait(), deadline)
    except TimeoutError:
        return f"{command[0]} did not end within {deadline:.0f} s"
    finally:
        if process.returncode is None:
            await _end(process.pid)
        _sessions.discard(process.pid)
        if showing:
            showing.cancel()
            await asyncio.wait([showing])
    return f"{' '.join(command[:4])} ended with {code}" if code else ""


async def output(
    *command: str, given: bytes = b"", cwd: pathlib.Path = CHECKOUT
) -> tuple[int, bytes, str]:
    """Return exit code, output and errors of a command that takes seconds."""
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=cwd,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    _sessions.add(process.pid)
    try:
        out, errors = await process.communicate(given)
    finally:
        if process.returncode is None:
            await _end(process.pid)
        _sessions.discard(process.pid)
    return process.returncode or 0, out, errors.decode(errors="replace")


def kill_all() -> None:
    """Kill everything that runs, at once."""
    for session in _sessions:
        _signal(session, signal.SIGKILL)


async def _end(session: int) -> None:
    """End all processes of a session: politely, then not.

    The leader may be gone long before the others. What left the session (a service of the cloud
    that a test started again) stays.
    """
    for how in (signal.SIGTERM, signal.SIGKILL):
        _signal(session, how)
        limit = time.monotonic() + STOP_SECONDS
        while any(_members(session)) and time.monotonic() < limit:
            await asyncio.sleep(0.1)


def _signal(session: int, how: signal.Signals) -> None:
    for pid in _members(session):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, how)


def _members(session: int) -> Iterator[int]:
    """Return the processes of a session that have not ended."""
    for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            state, _parent, _group, its_session = stat.read_text().rpartition(")")[2].split()[:4]
            if its_session == str(session) and state not in "ZX":
                yield int(stat.parent.name)


def _lower_group(pid: int) -> None:
    """Lower the priority of a session.

    Where Linux groups processes by session, only that of the group says something among groups.
    """
    with contextlib.suppress(OSError):  # no such groups, not root, or it ended
        pathlib.Path(f"/proc/{pid}/autogroup").write_text(str(BESIDE_NICE))


async def _show(log: pathlib.Path, position: int) -> None:
    """Print what comes into a log after a position, until this is cancelled."""
    with log.open("rb") as file:
        file.seek(position)
        try:
            while True:
                _print(file.read())
                await asyncio.sleep(0.2)
        finally:
            _print(file.read())


def _print(data: bytes) -> None:
    """Print text in whatever encoding."""
    sys.stdout.write(data.decode(errors="replace"))
    sys.stdout.flush()
