# SPDX-License-Identifier: Apache-2.0
"""What ``magnum swarm-backup`` and ``swarm-restore`` read: files, and words of managers' hosts."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import tarfile
from collections.abc import Iterable
from typing import Any

from magnum_swarm_mode.cli.errors import CommandError, one_line
from magnum_swarm_mode.cli.swarm import backup_file, host, restore
from magnum_swarm_mode.cli.swarm.access import Manager
from tests.fuzz import inputs
from tests.fuzz.harness import Target
from tests.fuzz.targets import docker

COPY = b"copy of the state"
MANIFEST = {
    "swarm": "s",
    "engine": "26.1.5",
    "address": "10.0.0.5",
    "pools": ["10.88.0.0/16"],
    "data_path_port": 4789,
    "mtu": "1450",
    "sha256": hashlib.sha256(COPY).hexdigest(),
    "seconds": 1.5,
    "contents": {"services": {"web": "d"}, "networks": {}, "configs": {}, "secrets": {}},
    "format": 1,
    "made": "2026-11-29T17:00:00+00:00",
    "made_by": "x",
    "cluster": {"uuid": "u", "name": "c"},
}
MANAGERS = [
    Manager("1.1.1.1", state="active", control=True, node_address="10.0.0.4", version="26.1.5")
]
_KINDS = (
    *["plain"] * 20,
    "reversed",
    "alone",
    "twice",
    "symbolic",
    "hard",
    "sparse",
    "directory",
    "extended",
    "long",
    "huge",
    "compressed",
)


def archive(manifest: bytes, kind: str = "plain", copy: bytes = COPY) -> bytes:
    """Return a backup, whose files are of some kind."""
    file = io.BytesIO()
    mode: Any = "w:gz" if kind == "compressed" else "w"
    formats = {"long": tarfile.GNU_FORMAT, "extended": tarfile.PAX_FORMAT}
    with tarfile.open(
        fileobj=file, mode=mode, format=formats.get(kind, tarfile.USTAR_FORMAT)
    ) as tar:
        files = [(backup_file.MANIFEST, manifest), (backup_file.COPY, copy)]
        chosen = {"reversed": files[::-1], "alone": files[:1], "twice": files * 2}
        for name, content in chosen.get(kind, files):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            if kind in ("symbolic", "hard"):
                member.type = tarfile.SYMTYPE if kind == "symbolic" else tarfile.LNKTYPE
                member.linkname, member.size = name, 0
            elif kind == "directory":
                member.type, member.size = tarfile.DIRTYPE, 0
            elif kind == "extended":
                member.pax_headers = {"GNU.sparse.size": "9" * 15, "a": "b" * 5000}
            elif kind == "long":
                member.linkname = "n" * 5000
            elif kind == "huge":
                member.size = 7 << 30
                file.write(member.tobuf(tarfile.USTAR_FORMAT))
                continue
            tar.addfile(member, io.BytesIO(content))
    made = file.getvalue()
    return _sparse(made) if kind == "sparse" else made


def _sparse(made: bytes) -> bytes:
    """Have the first file be one of GNU's with a hole of a terabyte."""
    head = bytearray(made[:512])
    head[156:157] = tarfile.GNUTYPE_SPARSE
    head[257:265] = b"ustar  \0"
    head[345:500] = bytes(155)
    head[386:410] = b"00000000000\0" + b"00000000000\0"
    head[483:495] = b"\x80" + (1 << 40).to_bytes(11, "big")
    head[148:156] = b" " * 8
    head[148:156] = b"%06o\0 " % sum(head)
    return bytes(head) + made[512:]


def _archives(manifests: inputs.Make) -> inputs.Make:
    def made(dice: inputs.Dice) -> bytes:
        return archive(manifests(dice), dice.choice(_KINDS))

    return inputs.often((9, made), (1, inputs.cutting(made)))


class _Command(Target):
    refusals = (CommandError,)

    def told(self, error: BaseException) -> str:
        # As the command prints it.
        return one_line(error)


class Files(_Command):
    """A backup's file.

    Only ``CommandError`` leaves the reader, and what decides whether it fits, with a sentence that
    can be shown. Neither memory nor disk grow beyond the size of the file.
    """

    name = "backup-file"
    depths = (restore.refuse_unfit, restore.summary)

    def inputs(self) -> inputs.Make:
        return _archives(inputs.documents(MANIFEST))

    def read(self, data: bytes) -> Iterable[str]:
        backup = backup_file.unpack(io.BytesIO(data))
        with backup.copy:
            assert len(backup.copy.read()) <= len(data)
        manifest = backup.manifest
        swarm = {"ID": "other", "DataPathPort": 4789}
        restore.refuse_unfit(MANAGERS, [docker.NODE], swarm, manifest)
        yield from backup_file.differences(manifest["contents"], {"services": {"web": "e"}})
        yield restore.summary(manifest, "c", manifest["contents"])


class Words(_Command):
    """What a program on a manager's host leaves as its status, in the archive that Docker makes.

    Only ``CommandError`` leaves the reader, and the step's name can be shown.
    """

    name = "backup-status"
    depths = (host.unpack, host.Status.of)

    def inputs(self) -> inputs.Make:
        said = inputs.documents(
            {"step": "copying"},
            {"step": "failed", "error": "x"},
            {"step": "done", "sha256": "0" * 64, "seconds": 1.5, "ready": True},
        )
        return _archives(said)

    def read(self, data: bytes) -> Iterable[str]:
        text = io.BytesIO()
        host.unpack(io.BytesIO(data), text, host.LONGEST_STATUS)
        status = host.Status.of(text.getvalue())
        yield status.step
        yield status.error
        assert isinstance(status.seconds, float | int)


class Records(_Command):
    """The label of a volume on a manager, in which an earlier run left what it knew.

    Only ``CommandError`` leaves the reader; what it returns is of the kinds that are used.
    """

    name = "backup-record"
    depths = (restore.record_of,)

    def inputs(self) -> inputs.Make:
        record = restore.Record(
            "s",
            "10.0.0.5",
            {"1.1.1.1": "10.0.0.5"},
            [{"name": "n", "labels": {}, "data": "e30="}],
            {"m": {"Labels": {}, "Availability": "active"}},
            {"default-worker": ["w"]},
        )
        said = dataclasses.asdict(record)
        return inputs.documents(said, said, {"Labels": {restore.VOLUME: json.dumps(said)}})

    def read(self, data: bytes) -> Iterable[str]:
        tree = _tree(data)
        inner = isinstance(tree, dict) and "Labels" in tree
        label = data.decode("utf-8", "surrogateescape")
        record = restore.record_of(tree if inner else {"Labels": {restore.VOLUME: label}})
        json.dumps(dataclasses.asdict(record))
        assert all(isinstance(one["name"], str) for one in record.configs)
        return ()


def _tree(data: bytes) -> object:
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        return None


TARGETS = (Files(), Words(), Records())
