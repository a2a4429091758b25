# SPDX-License-Identifier: Apache-2.0
"""Conductors of Magnum beside the cloud's own, so that there are three, and their sudden deaths."""

import atexit
import contextlib
import dataclasses
import fcntl
import os
import re
import signal
import time
from collections.abc import Iterator
from pathlib import Path

from devcloud import infrastructure, processes, releases, settings
from tests.endtoend.waiting import wait_for

OWN = "magnum-conductor"
OTHERS = ("magnum-conductor-2", "magnum-conductor-3")
ALL = (OWN, *OTHERS)
_DATABASE = releases.DEFAULT.database
# Each looks at what is under way every ten seconds; apart they look three times as often.
_APART = 3.3
_CREATION = 120.0  # seconds until Heat has been asked for a cluster
_CALL = 120.0  # seconds that a request takes for whose answer Magnum's API waits
CALLS = settings.RUN / "conductors.calls"  # locked meanwhile, for tests of all processes


def start_others() -> None:
    """Have three conductors; those that run already stay."""
    atexit.register(stop_others)
    for name in OTHERS:
        if processes.running(name) is not None:
            continue
        own = _service(OWN)
        file = settings.RUN / f"{name}.conf"
        file.write_text(f"[DEFAULT]\nhost = {name}\n", encoding="utf-8")
        processes.start(
            processes.Service(
                name=name,
                command=(*own.command, "--config-file", str(file)),
                environment=own.environment,
            )
        )
        time.sleep(_APART)


def stop_others() -> None:
    """Have the cloud's own conductor only."""
    for name in OTHERS:
        if processes.running(name) is None:
            continue
        with _between_calls():
            processes.stop([name])
        (settings.RUN / f"{name}.conf").unlink()
        # Else `magnum service-list` would show it as down from now on.
        infrastructure.query(f"DELETE FROM {_DATABASE}.magnum_service WHERE host = '{name}';")


def kill(name: str, python_path: str | None = None) -> None:
    """Kill a conductor at once with all its workers, and start it again.

    :param python_path: where it then finds modules beside those of its environment; empty for
        nowhere, None for where it did before.
    """
    service = _service(name)
    if python_path is not None:
        environment = {**service.environment, "PYTHONPATH": python_path}
        service = dataclasses.replace(service, environment=environment)
    record = processes.running(name)
    assert record is not None, f"{name} does not run"
    with _between_calls():
        os.killpg(record.pid, signal.SIGKILL)
    processes.start(service)


@contextlib.contextmanager
def calls() -> Iterator[None]:
    """Let no test stop a conductor meanwhile.

    Magnum's API waits for the conductor that has a rotation or a certificate to sign, and answers
    500 a minute after that one died.
    """
    with CALLS.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_SH)
        yield


@contextlib.contextmanager
def _between_calls() -> Iterator[None]:
    """Wait until no other test's request is with a conductor; none is sent in the block."""
    with CALLS.open("a") as file:
        wait_for(
            "requests to be answered",
            lambda: _is_locked(file.fileno()),
            timeout=_CALL,
            interval=0.1,
        )
        _wait_for_creations()
        yield


def _is_locked(file: int) -> bool:
    """Lock a file for this process alone if nobody has it."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _wait_for_creations() -> None:
    """Wait until Heat has been asked for every cluster that is created.

    A creation fails where its conductor dies before: only the user's own token, which the request
    has, lets Heat make a cluster. Tests that run beside create clusters of their own.
    """
    wait_for(
        "Heat to be asked for the clusters that are created",
        lambda: infrastructure.query(
            f"SELECT name FROM {_DATABASE}.cluster "
            "WHERE status = 'CREATE_IN_PROGRESS' AND stack_id IS NULL;"
        ),
        lambda names: not names,
        timeout=_CREATION,
        interval=0.2,
    )


def at_work(cluster_uuid: str) -> str | None:
    """The conductor that holds the lease of a cluster now, if any does."""
    owner = infrastructure.query(
        f"SELECT lease_owner FROM {_DATABASE}.swarm_mode_cluster "
        f"WHERE cluster_uuid = '{cluster_uuid}' AND lease_expires > UNIX_TIMESTAMP();"
    )
    running = {record.pid: name for name in ALL if (record := processes.running(name))}
    found = re.search(r"/(\d+)/", owner)
    return running.get(int(found[1])) if found else None


def _service(name: str) -> processes.Service:
    """A conductor that runs, as it was started."""
    record = processes.running(name)
    assert record is not None, f"{name} does not run"
    place = Path(f"/proc/{record.pid}")
    environment = dict(
        line.split("=", 1) for line in (place / "environ").read_text().split("\0") if "=" in line
    )
    line = (place / "cmdline").read_text()
    # What setproctitle makes of it, as soon as the process has come so far.
    title = re.search(r"\[(.*)\]", line)
    command = title[1].split() if title else line.rstrip("\0").split("\0")
    return processes.Service(name=name, command=tuple(command), environment=environment)
