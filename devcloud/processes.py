# SPDX-License-Identifier: Apache-2.0
"""Starts, recognises and stops the cloud's processes.

Each service leads a session of its own. Its record (a JSON file) names the process by number, boot
and start time, so that a number which the kernel gave to someone else is never taken for ours,
and bears a fingerprint of everything the service was started from: an `up` restarts exactly the
services whose fingerprint changed. Facts from proc(5).
"""

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from devcloud import commands, files, settings

_POLL_SECONDS = 0.1


@dataclass(frozen=True)
class ProcessFacts:
    """What the kernel says of one process."""

    pid: int
    state: str
    session: int
    start: int  # clock ticks after boot

    @property
    def alive(self) -> bool:
        """A zombie is not alive: PID 1 of some machines reaps late."""
        return self.state not in "ZX"


@dataclass(frozen=True)
class Service:
    """A process to run.

    :param address: URL or host:port that answers when the service is ready; empty for none.
    :param inputs: texts that matter beside the command line (configuration, version of code).
    :param stop_seconds: how long it may take to end after SIGTERM before it is killed.
    :param uid: numeric user and group to run as, root when absent.
    """

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    address: str = ""
    inputs: tuple[str, ...] = ()
    stop_seconds: float = 5
    uid: int | None = None

    @property
    def fingerprint(self) -> str:
        """Changes when the running process would have to be replaced."""
        environment = json.dumps(dict(sorted(self.environment.items())))
        return files.hash_text(*self.command, environment, *self.inputs)


@dataclass(frozen=True)
class Record:
    """A started process as its record file names it."""

    pid: int
    start: int
    boot: str
    fingerprint: str


def parse_stat(text: str) -> ProcessFacts:
    """Read the one line of ``/proc/<pid>/stat``; the name in it may hold blanks and brackets."""
    pid, rest = text.split(" ", 1)
    fields = rest.rsplit(")", 1)[1].split()
    return ProcessFacts(int(pid), fields[0], int(fields[3]), int(fields[19]))


def facts(pid: int) -> ProcessFacts | None:
    """What the kernel says of process ``pid``, None when there is none."""
    try:
        return parse_stat(Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace"))
    except (OSError, ValueError, IndexError):
        return None


def all_facts() -> list[ProcessFacts]:
    """Every process of this machine that is alive."""
    names = (path.name for path in Path("/proc").iterdir())
    found = (facts(int(name)) for name in names if name.isdigit())
    return [process for process in found if process is not None and process.alive]


def boot_id() -> str:
    """Changes with every boot of the machine, so start times of different boots do not mix."""
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


def is_same(record: Record, process: ProcessFacts | None, boot: str) -> bool:
    """Whether ``process`` is alive and the one that ``record`` names."""
    return (
        process is not None
        and process.alive
        and record.boot == boot
        and record.pid == process.pid
        and record.start == process.start
    )


def record_path(name: str) -> Path:
    """Where the record of the service is."""
    return _records() / f"{name}.json"


def _records() -> Path:
    return settings.RUN / "services"


def log_path(name: str) -> Path:
    """Where the service's output goes."""
    return settings.LOG / f"{name}.log"


def read_record(name: str) -> Record | None:
    """The record of a service, None when there is none that can be read."""
    try:
        return Record(**json.loads(record_path(name).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def running(name: str) -> Record | None:
    """The record of a service that is alive; None when it is not."""
    record = read_record(name)
    if record is None or not is_same(record, facts(record.pid), boot_id()):
        return None
    return record


def recorded_names() -> list[str]:
    """Names of all services that have a record, alive or not."""
    return sorted(path.stem for path in _records().glob("*.json"))


def start(service: Service) -> subprocess.Popen[bytes]:
    """Start a service in its own session and write its record."""
    environment = commands.clean_environment({**service.environment, commands.MARK: service.name})
    with log_path(service.name).open("ab") as log:
        process = subprocess.Popen(
            service.command,
            stdout=log,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            env=environment,
            cwd="/",
            start_new_session=True,
            user=service.uid,
            group=service.uid,
            extra_groups=None if service.uid is None else [],
        )
    begun = facts(process.pid)
    record = {
        "pid": process.pid,
        "start": begun.start if begun else 0,
        "boot": boot_id(),
        "fingerprint": service.fingerprint,
    }
    files.write(record_path(service.name), json.dumps(record) + "\n")
    return process


def _marked_service(pid: int) -> str | None:
    """The service that process ``pid`` was started for, from its environment."""
    try:
        environment = Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return None
    values = dict(item.partition(b"=")[::2] for item in environment.split(b"\0"))
    if values.get(commands.HOME_MARK.encode()) != commands.home_identity().encode():
        return None
    name = values.get(commands.MARK.encode())
    return name.decode() if name else None


def _in_a_machine(pid: int) -> bool:
    """Whether the process belongs to a server of the cloud: those are the data plane's to stop."""
    try:
        groups = Path(f"/proc/{pid}/cgroup").read_text(encoding="utf-8")
    except OSError:
        return False
    return f"/{settings.CGROUP}/" in groups


def members(names: Iterable[str]) -> dict[int, str]:
    """Process numbers of the named services: their sessions and all that bear their mark."""
    wanted = set(names)
    boot = boot_id()
    processes = all_facts()
    by_pid = {process.pid: process for process in processes}
    sessions: dict[int, str] = {}
    for name in wanted:
        record = read_record(name)
        if record is not None and is_same(record, by_pid.get(record.pid), boot):
            sessions[record.pid] = name
    found: dict[int, str] = {}
    for process in processes:
        name = sessions.get(process.session) or _marked_service(process.pid) or ""
        if name in wanted and process.pid != os.getpid() and not _in_a_machine(process.pid):
            found[process.pid] = name
    return found


def marked_names() -> set[str]:
    """Names of services of which any process lives, recorded or not."""
    found = {_marked_service(process.pid) for process in all_facts()}
    return {name for name in found if name}


def _send(pids: Iterable[int], number: signal.Signals) -> None:
    for pid in pids:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            continue


def stop(names: Iterable[str], seconds: float = 5) -> list[str]:
    """Stop the services: SIGTERM to their leaders, after ``seconds`` SIGKILL to all that is left.

    Returns the names of those that had to be killed. Their records are removed.
    """
    wanted = list(names)
    alive = members(wanted)
    leaders = {record.pid for name in wanted if (record := running(name)) is not None}
    # A leader ends its own workers in order; processes whose leader is gone hear of nothing else.
    led = {process.pid for process in all_facts() if process.session in leaders} - leaders
    _send([pid for pid in alive if pid not in led], signal.SIGTERM)
    deadline = time.monotonic() + seconds
    killed: set[str] = set()
    while alive:
        for pid in alive:
            reap(pid)
        alive = members(wanted)
        if alive and time.monotonic() > deadline:
            killed.update(alive.values())
            _send(alive, signal.SIGKILL)
            if time.monotonic() > deadline + 10:
                break
        time.sleep(_POLL_SECONDS)
    for name in wanted:
        record_path(name).unlink(missing_ok=True)
    return sorted(killed)


def terminate_commands() -> None:
    """Ask the commands that this process runs (:func:`devcloud.commands.run`) to end."""
    children = [process.pid for process in all_facts() if process.session == os.getsid(0)]
    _send(
        [pid for pid in children if _marked_service(pid) == commands.SETUP and pid != os.getpid()],
        signal.SIGTERM,
    )


def reap(pid: int) -> None:
    """Take the exit status of ``pid`` when it is a child of this process."""
    try:
        os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return


def memory_mib(pids: Iterable[int]) -> float:
    """Proportional memory of the processes in MiB: shared pages count once among those who share.

    From /proc/<pid>/smaps_rollup (proc(5)).
    """
    total = 0
    for pid in pids:
        try:
            text = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="utf-8")
        except OSError:
            continue
        for line in text.splitlines():
            if line.startswith("Pss:"):
                total += int(line.split()[1])
                break
    return total / 1024
