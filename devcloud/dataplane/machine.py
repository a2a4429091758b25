# SPDX-License-Identifier: Apache-2.0
"""One machine: a Debian root file system booted by systemd-nspawn in a network of its own.

Everything about a machine is in its directory (``state.json``, ``upper`` and ``work`` of the
overlay over its image, ``docker``, ``console.log``, ``pid``), so whoever looks there later can go
on with it. No part of OpenStack is needed::

    machine = Machine("6ba7b810-9dad-11d1-80b4-00c04fd430c8")
    spec = MachineSpec(machine.uuid, "node-1", "/var/lib/devcloud/images/docker-20.10")
    machine.create(spec, {"openstack/latest/user_data": b"#cloud-config"})
    machine.start()
    machine.remove()
"""

import contextlib
import json
import os
import shutil
import signal
import stat
import subprocess
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from devcloud import settings
from devcloud.dataplane import cgroup, commands, fabric, loop_devices, machine_files
from devcloud.dataplane.machine_files import Interface, MachineSpec, Volume
from devcloud.dataplane.network_model import tap_name

START_SECONDS = 30.0  # until the machine's first process exists
KILL_SECONDS = 20.0  # until all processes of a machine are gone after SIGKILL
POLL_SECONDS = 0.05
SUPERVISOR = "systemd-nspawn"


class MachineError(RuntimeError):
    """A machine could not be started or stopped; the text says what was seen last."""


class Machine:
    """A machine by its uuid, whether it exists already or not."""

    def __init__(self, uuid: str, home: Path = settings.NODES) -> None:
        """Name a machine; nothing is touched.

        :param home: directory that holds the directories of all machines.
        """
        self.uuid = uuid
        self.directory = home / uuid
        self._state = self.directory / "state.json"

    # -- what is known ----------------------------------------------------------------------------

    @property
    def exists(self) -> bool:
        """Whether the machine was created and not removed."""
        return self._state.exists()

    @property
    def spec(self) -> MachineSpec:
        """What the machine was made of.

        :raises MachineError: there is no such machine.
        """
        try:
            return MachineSpec.from_json(json.loads(self._state.read_text()))
        except FileNotFoundError as error:
            raise MachineError(f"machine {self.uuid} does not exist") from error

    @property
    def running(self) -> bool:
        """Whether the machine is on: its launcher is alive, also between two boots."""
        return self._launcher() is not None

    @property
    def leader(self) -> int | None:
        """Process id, on the host, of the machine's first process; None while it has none."""
        supervisor = self._supervisor()
        return first_process(supervisor) if supervisor else None

    def console(self, limit: int = 100_000) -> bytes:
        """Return the end of what the machine wrote to its console, at most ``limit`` bytes."""
        try:
            with (self.directory / "console.log").open("rb") as file:
                file.seek(max(0, os.fstat(file.fileno()).st_size - limit))
                return file.read()
        except FileNotFoundError:
            return b""

    # -- life cycle -------------------------------------------------------------------------------

    def create(self, spec: MachineSpec, seed: Mapping[str, bytes]) -> None:
        """Make the machine's directory and first files.

        :param seed: contents of the config drive, by path ("openstack/latest/user_data").
        :raises MachineError: its image has no root file system on this host.
        """
        root_filesystem = Path(spec.root_filesystem)
        if not (root_filesystem / "usr").is_dir():
            raise MachineError(f"there is no root file system at {root_filesystem}")
        for name in ("upper", "work", "root", "docker", "disk"):
            (self.directory / name).mkdir(parents=True, exist_ok=True)
        upper = self.directory / "upper"
        for path, content in machine_files.first_files(spec, seed).items():
            _write_over(upper, root_filesystem, path, content)
        for path, target in machine_files.first_links().items():
            _link_over(upper, root_filesystem, path, target)
        self._save(replace(spec, root_filesystem=str(root_filesystem.resolve())))

    def start(self) -> None:
        """Boot the machine and return when its first process runs; on already is fine.

        :raises MachineError: it did not start; the text has the end of its console.
        """
        if self.running:
            return
        spec = self.spec
        self._kill()
        cgroup.remove(self.uuid)
        groups = cgroup.prepare(self.uuid, spec.memory_mb)
        self._write_network(spec)
        self._write_volumes(spec)
        script = machine_files.launch_script(spec, self.directory, cgroup.launcher_groups(), groups)
        launcher = self.directory / "launch.sh"
        _write_atomically(launcher, script.encode())
        with (self.directory / "console.log").open("ab") as console:
            # Forked away, so that the machine outlives whoever started it.
            subprocess.run(
                ["setsid", "--fork", "sh", str(launcher)],
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=console,
                cwd="/",
                env=commands.environment(),
                check=True,
            )
        deadline = time.monotonic() + START_SECONDS
        while self.leader is None:
            if time.monotonic() > deadline:
                self._kill()
                end = self.console(800).decode(errors="replace")
                raise MachineError(f"machine {self.uuid} did not start: {end}")
            time.sleep(POLL_SECONDS)

    def stop(self, timeout: float = 0.0) -> None:
        """Turn the machine off; off already is fine.

        :param timeout: seconds that it may take to shut down by itself; 0 cuts its power.
        :raises MachineError: processes of it are left after SIGKILL.
        """
        supervisor = self._supervisor()
        if timeout > 0 and supervisor:
            os.kill(supervisor, signal.SIGTERM)  # nspawn asks the machine to power off
            deadline = time.monotonic() + timeout
            while self.running and time.monotonic() < deadline:
                time.sleep(POLL_SECONDS)
        self._kill()

    def remove(self) -> None:
        """Remove the machine with all it has on this host; what is gone already is fine.

        :raises MachineError: processes of it are left after SIGKILL.
        """
        self._kill()
        if self.exists:
            for item in self.spec.interfaces:
                fabric.remove_link(tap_name(item.id))
            for volume in self.spec.volumes:
                loop_devices.detach(volume.file)
        fabric.remove_namespace(machine_files.namespace_name(self.uuid))
        cgroup.remove(self.uuid)
        for directory in machine_files.NSPAWN_DIRECTORIES:
            with contextlib.suppress(OSError):
                (directory / machine_files.nspawn_name(self.uuid)).rmdir()
        _remove_tree(self.directory)

    def execute(self, *command: str, timeout: float = 60.0) -> str:
        """Run a command inside, as root, and return its output.

        :param timeout: seconds.
        :raises MachineError: the machine is off.
        :raises commands.CommandError: the command failed.
        """
        leader = self.leader
        if leader is None:
            raise MachineError(f"machine {self.uuid} is off")
        enter = ("nsenter", f"--target={leader}", "--all", "--root", "--wd", "--")
        return commands.run(*enter, *command, timeout=timeout)

    # -- changes ----------------------------------------------------------------------------------

    def attach_interface(self, interface: Interface) -> None:
        """Add a network interface, at once if the machine is on.

        :raises commands.CommandError: the kernel refused it.
        """
        spec = self.spec
        if any(item.id == interface.id for item in spec.interfaces):
            return
        if self.running:
            lines = machine_files.interface_commands(
                machine_files.namespace_name(self.uuid), interface, len(spec.interfaces)
            )
            commands.run("sh", "-ec", "\n".join(lines))
        self._change(replace(spec, interfaces=(*spec.interfaces, interface)))

    def detach_interface(self, interface_id: str) -> None:
        """Remove a network interface, at once; one that is gone already is fine."""
        spec = self.spec
        fabric.remove_link(tap_name(interface_id))
        left = tuple(item for item in spec.interfaces if item.id != interface_id)
        self._change(replace(spec, interfaces=left))

    def set_interfaces(self, interfaces: tuple[Interface, ...]) -> None:
        """Replace the interfaces that the machine has from its next start on."""
        self._change(replace(self.spec, interfaces=interfaces))

    def attach_volume(self, volume: Volume) -> None:
        """Add a block device, at once if the machine is on.

        :raises commands.CommandError: no loop device could be had.
        """
        spec = self.spec
        others = tuple(item for item in spec.volumes if item.id != volume.id)
        self._save(replace(spec, volumes=(*others, volume)))
        leader = self.leader
        if leader is not None:
            device = loop_devices.attach(volume.file)
            node = _inside(leader, f"/dev/{volume.device}")
            node.unlink(missing_ok=True)
            os.mknod(node, stat.S_IFBLK | 0o660, os.makedev(device.major, device.minor))
            link = _inside(leader, machine_files.by_id(volume))
            link.parent.mkdir(parents=True, exist_ok=True)
            link.unlink(missing_ok=True)
            link.symlink_to(f"../../{volume.device}")
        self._write_volumes(self.spec)

    def detach_volume(self, volume_id: str) -> None:
        """Remove a block device, at once; one that is gone already is fine."""
        spec = self.spec
        gone = [item for item in spec.volumes if item.id == volume_id]
        self._save(replace(spec, volumes=tuple(i for i in spec.volumes if i.id != volume_id)))
        leader = self.leader
        for volume in gone:
            if leader is not None:
                _inside(leader, machine_files.by_id(volume)).unlink(missing_ok=True)
                _inside(leader, f"/dev/{volume.device}").unlink(missing_ok=True)
            loop_devices.detach(volume.file)
        self._write_volumes(self.spec)

    # -- inside -----------------------------------------------------------------------------------

    def _change(self, spec: MachineSpec) -> None:
        self._save(spec)
        self._write_network(spec)

    def _save(self, spec: MachineSpec) -> None:
        _write_atomically(self._state, json.dumps(spec.to_json(), indent=1).encode())

    def _write_network(self, spec: MachineSpec) -> None:
        _write_atomically(
            self.directory / "network.sh", machine_files.network_script(spec).encode()
        )

    def _write_volumes(self, spec: MachineSpec) -> None:
        """Write which block devices the next boot makes; also a boot that the machine starts."""
        devices = [(volume, loop_devices.attach(volume.file)) for volume in spec.volumes]
        leader = self.leader
        if leader is None:
            top = self.directory / "upper"
            path = top / machine_files.VOLUME_FILE
            _make_parents(top, Path(spec.root_filesystem), machine_files.VOLUME_FILE)
        else:
            # Through the machine's own mount: changes below an overlay are not seen by it.
            path = _inside(leader, machine_files.VOLUME_FILE)
        path.write_bytes(machine_files.volume_file(devices))

    def _launcher(self) -> int | None:
        """Process id of the launcher, if the recorded one is alive and is this machine's."""
        try:
            pid = int((self.directory / "pid").read_text())
            command = Path(f"/proc/{pid}/cmdline").read_bytes()
            status = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
        except (OSError, ValueError):
            return None
        # A process whose parent has not asked for its end is dead all the same.
        return pid if self.uuid.encode() in command and status not in "ZX" else None

    def _supervisor(self) -> int | None:
        """Process id of systemd-nspawn."""
        launcher = self._launcher()
        if launcher is None:
            return None
        for child in _children(launcher):
            if _command_name(child) == SUPERVISOR:
                return child
        return None

    def _kill(self) -> None:
        launcher = self._launcher()
        if launcher is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(launcher, signal.SIGKILL)  # first, or it would boot the machine again
        deadline = time.monotonic() + KILL_SECONDS
        while not cgroup.kill(self.uuid, timeout=1.0) or self.running:
            if time.monotonic() > deadline:
                left = ", ".join(map(str, sorted(cgroup.processes(self.uuid))))
                raise MachineError(f"machine {self.uuid} does not die, processes {left} are left")
            time.sleep(POLL_SECONDS)


def all_machines(home: Path = settings.NODES) -> list[Machine]:
    """Return every machine that was created and not removed."""
    if not home.is_dir():
        return []
    found = [Machine(path.name, home) for path in sorted(home.iterdir())]
    return [machine for machine in found if machine.exists]


def first_process(supervisor: int) -> int | None:
    """Return the process id of a machine's first process; None before it runs.

    Before, systemd-nspawn has a child of its own name that sets up the machine's files and ends.
    A command that entered that child would fail when it ends.
    """
    children = _children(supervisor)
    return next((pid for pid in children if _command_name(pid) != SUPERVISOR), None)


def _children(pid: int) -> list[int]:
    try:
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def _command_name(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""


def _inside(leader: int, path: str) -> Path:
    """Return a path of the machine as the host reaches it."""
    return Path(f"/proc/{leader}/root") / path.lstrip("/")


def _make_parents(upper: Path, lower: Path, path: str) -> None:
    """Make the directories above a file of the upper layer with the modes that the image gives."""
    current = Path()
    for part in Path(path).parent.parts:
        current = current / part
        target = upper / current
        if not target.is_dir():
            target.mkdir()
            try:
                target.chmod(stat.S_IMODE((lower / current).stat().st_mode))
            except FileNotFoundError:
                target.chmod(0o755)


def _write_over(upper: Path, lower: Path, path: str, content: bytes) -> None:
    _make_parents(upper, lower, path)
    target = upper / path
    target.unlink(missing_ok=True)
    target.write_bytes(content)
    # What the cloud gives a machine is for its administrator alone.
    target.chmod(0o600 if path.startswith(machine_files.SEED) else 0o644)


def _link_over(upper: Path, lower: Path, path: str, target: str) -> None:
    _make_parents(upper, lower, path)
    link = upper / path
    link.unlink(missing_ok=True)
    link.symlink_to(target)


def _write_atomically(path: Path, content: bytes) -> None:
    """Replace a file so that no reader, a running shell among them, sees half of it."""
    temporary = path.with_suffix(".new")
    temporary.write_bytes(content)
    temporary.replace(path)


def _remove_tree(path: Path) -> None:
    """Remove a directory that dying processes may still write to for a moment."""
    deadline = time.monotonic() + KILL_SECONDS
    while path.exists():
        try:
            shutil.rmtree(path)
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(POLL_SECONDS)
