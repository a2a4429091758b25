# SPDX-License-Identifier: Apache-2.0
"""Root's work on a manager's host, brought there through its engine's API alone.

An image of five symbolic links is imported; a container of it enters the host's namespaces and
starts ``host_program`` there as a unit of systemd. A second container, which is
never started, holds the unit's directory, so that files are put and fetched through the API.
Whatever another run left on the host is removed first, and everything at the end.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import io
import json
import pathlib
import tarfile
import tempfile
import time
from collections.abc import Callable
from typing import Any, BinaryIO

from docker import errors as docker_errors

from magnum_swarm_mode import text
from magnum_swarm_mode.cli.errors import CommandError
from magnum_swarm_mode.cli.swarm import access as swarm_access
from magnum_swarm_mode.cli.swarm import backup_file, host_program
from magnum_swarm_mode.cli.swarm.access import FAILURES, Access

IMAGE = "magnum-swarm-mode-transfer:1"
LABEL = "magnum-swarm-mode.transfer"
_LINKS = ("bin", "lib", "lib64", "sbin", "usr")
# Enters the host; the program's text and the verb follow.
_COMMAND = (
    "/usr/bin/nsenter", "--target", "1", "--mount", "--uts", "--ipc", "--net", "--pid", "--",
    "/usr/bin/python3", "-c", "import sys; exec(sys.argv[1])",
)  # fmt: skip
# What an archive has beside its file.
_FRAMING = 64 << 10
_LONGEST_STANDSTILL = 86_400
_START_SECONDS = 400.0  # also what an earlier run left may have to end first
LONGEST_STATUS = 64 << 10  # bytes
_LONGEST_COPY = 4 << 30  # bytes; as much comes of one answer


@dataclasses.dataclass(frozen=True)
class Status:
    """How far the program on a host has come; a tenant's root can write it.

    :ivar step: ``done``, ``failed``, or what it does now.
    :ivar seconds: for which the engine stood still.
    :ivar ready: whether the swarm sees the engine again.
    """

    step: str
    error: str = ""
    sha256: str = ""
    seconds: float = 0.0
    ready: bool = False

    @classmethod
    def of(cls, said: bytes) -> Status:
        """Read the file in which the program leaves it.

        :raises CommandError: when it is no status.
        """
        try:
            found = text.parsed(said)
            seconds = found.get("seconds") or 0.0
            if not isinstance(seconds, float | int) or not 0 <= seconds < _LONGEST_STANDSTILL:
                raise ValueError("seconds")
            return cls(
                text.line(found["step"]),
                text.line(found.get("error") or ""),
                text.line(found.get("sha256") or ""),
                seconds,
                bool(found.get("ready")),
            )
        except (ValueError, LookupError, TypeError, AttributeError) as e:
            raise CommandError("The program on the host leaves no good status") from e


def unpack(packed: BinaryIO, file: BinaryIO, longest: int) -> str:
    """Write the only file of an archive of Docker's to another one; return its SHA-256.

    :param longest: in bytes.
    :raises CommandError: when it is no such archive.
    """
    digest = hashlib.sha256()
    try:
        for piece in backup_file.member(packed, "", longest):
            digest.update(piece)
            file.write(piece)
    except (tarfile.TarError, ValueError) as e:
        raise CommandError("A file of the host cannot be fetched") from e
    return digest.hexdigest()


class Host:
    """The host of one manager.

    :param say: is told each step.
    """

    def __init__(self, access: Access, address: str, say: Callable[[str], None]) -> None:
        self._access = access
        self.address = address
        self._say = say
        self._transfer = ""

    def launch(self) -> None:
        """Start the program, which waits for what it shall do.

        :raises CommandError: if the host does not let it.
        """
        try:
            self._run("launch")
            self._prepare()
        except FAILURES as e:
            raise CommandError(
                f"Manager {self.address} does not let root's work be done on its host:"
                f" {swarm_access.reason(e)}."
            ) from e

    @property
    def is_launched(self) -> bool:
        """Whether the program was started."""
        return bool(self._transfer)

    def _prepare(self) -> None:
        client = self._client()
        place = f"{host_program.STAGE}:/transfer"
        made = client.create_container(
            IMAGE,
            command=["/none"],
            labels={LABEL: "files"},
            host_config=client.create_host_config(binds=[place], network_mode="none"),
        )
        self._transfer = str(made["Id"])

    def ask(self, work: str, **asked: str) -> None:
        """Have the program do something; files that it needs are there already."""
        self.put("go.json", io.BytesIO(json.dumps({"work": work, **asked}).encode()))

    def put(self, name: str, file: Any) -> None:
        """Put a file into the program's directory.

        :param file: open for reading in bytes.
        """
        size = file.seek(0, io.SEEK_END)
        file.seek(0)
        with tempfile.TemporaryFile() as packed:
            with tarfile.open(fileobj=packed, mode="w") as archive:
                member = tarfile.TarInfo(name)
                member.size, member.mode = size, 0o600
                archive.addfile(member, file)
            packed.seek(0)
            self._client(600).put_archive(self._transfer, "/transfer", packed)

    def follow(self, seconds: float) -> Status:
        """Wait until the program has done what it was asked for, and return its last word.

        While the engine stands still nothing is heard of it.

        :raises CommandError: if it failed or takes too long.
        """
        deadline = time.monotonic() + seconds
        last = ""
        while time.monotonic() < deadline:
            with contextlib.suppress(*FAILURES, CommandError):
                said = io.BytesIO()
                self.fetch("status.json", said, LONGEST_STATUS)
                status = Status.of(said.getvalue())
                if status.step == "failed":
                    break
                if status.step == "done":
                    return status
                if status.step != last:
                    last = status.step
                    self._say(f"{self.address}: {last}")
            time.sleep(0.5)
        else:
            raise CommandError(
                f"Manager {self.address} did not finish in {seconds:.0f} s; last it was: {last}."
                " Its engine starts again by itself; run the command again."
            )
        raise CommandError(f"On manager {self.address}: {status.error}.")

    def fetch(self, name: str, file: Any, longest: int = _LONGEST_COPY) -> str:
        """Write a file of the program's directory to another one; return its SHA-256.

        :param longest: in bytes.
        :raises CommandError: when it is longer, or something else than a file comes.
        """
        stream, _ = self._client(600).get_archive(self._transfer, f"/transfer/{name}")
        left = longest + _FRAMING
        with tempfile.TemporaryFile() as packed:
            for piece in stream:
                left -= len(piece)
                if left < 0:
                    raise CommandError(f"{name} of manager {self.address} is too long")
                packed.write(piece)
            packed.seek(0)
            return unpack(packed, file, longest)

    def clean(self) -> None:
        """End the program and remove every trace of it.

        :raises CommandError: if the host does not let it.
        """
        self._run("clean")
        client = self._client()
        self._remove_containers(client)
        self._remove_images(client)

    def _client(self, seconds: float = swarm_access.REQUEST_SECONDS) -> Any:
        return self._access.client(self.address, seconds)

    def _remove_containers(self, client: Any) -> None:
        for one in client.containers(all=True, filters={"label": LABEL}):
            with contextlib.suppress(docker_errors.NotFound):
                client.remove_container(one["Id"], force=True)

    def _remove_images(self, client: Any) -> None:
        for one in client.images(quiet=True, filters={"label": LABEL}):
            with contextlib.suppress(docker_errors.NotFound):
                client.remove_image(one, force=True)

    def _run(self, verb: str) -> None:
        """Run a verb of the program on the host, and wait until it has ended."""
        client = self._client(_START_SECONDS)
        self._remove_containers(client)
        self._remove_images(client)
        repository, tag = IMAGE.split(":")
        client.import_image_from_data(
            _image(), repository=repository, tag=tag, changes=[f"LABEL {LABEL}=image"]
        )
        source = pathlib.Path(host_program.__file__).read_text(encoding="utf-8")
        made = client.create_container(
            IMAGE,
            command=[*_COMMAND, source, verb],
            labels={LABEL: verb},
            host_config=client.create_host_config(
                # Not privileged: older engines then ask for more than some hosts have.
                cap_add=["SYS_ADMIN", "SYS_CHROOT", "SYS_PTRACE"],
                security_opt=["seccomp=unconfined", "apparmor=unconfined", "label=disable"],
                pid_mode="host",
                network_mode="none",
                binds=["/:/host:ro"],
                log_config={"Type": "json-file", "Config": {}},
            ),
        )
        try:
            client.start(made["Id"])
            code = client.wait(made["Id"])["StatusCode"]
            if code:
                said = client.logs(made["Id"]).decode(errors="replace").strip().splitlines()[-1:]
                raise CommandError(
                    f"Manager {self.address} does not let root's work be done on its host:"
                    f" {''.join(said) or f'exit code {code}'}."
                )
        finally:
            with contextlib.suppress(*FAILURES):
                client.remove_container(made["Id"], force=True)


def _image() -> bytes:
    """Return a file system of nothing but links to the host's programs and libraries."""
    text = io.BytesIO()
    with tarfile.open(fileobj=text, mode="w") as archive:
        for name in _LINKS:
            link = tarfile.TarInfo(name)
            link.type, link.linkname = tarfile.SYMTYPE, f"host/{name}"
            archive.addfile(link)
    return text.getvalue()
