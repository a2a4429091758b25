# SPDX-License-Identifier: Apache-2.0
"""The file that ``magnum swarm-backup`` writes: a manifest, and the copy of the swarm's state.

It holds the swarm's keys and secrets, so only its owner can read it, here and in the object store.
The manifest says what was in the swarm, so that what a restore brings can be compared with it.
"""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import os
import pathlib
import tarfile
import tempfile
from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO
from urllib import parse

from keystoneauth1 import adapter
from keystoneauth1 import exceptions as keystone_errors

from magnum_swarm_mode import text
from magnum_swarm_mode.cli.errors import CommandError, one_line

FORMAT = 1
MANIFEST, COPY = "manifest.json", "swarm.tar.gz"
# What the cluster's own configs begin with; each cluster has its own.
OURS = "magnum-swarm-mode."
_PIECE = 1 << 20
# Hundred thousand names with their digests have half of it.
_LONGEST_MANIFEST = 16 << 20
_BLOCK = tarfile.BLOCKSIZE
# Headers that say more of the file that follows.
_EXTENSIONS = (
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
)
_MOST_HEADERS = 4
_LONGEST_EXTENSION = 64 << 10
# What a restore needs of the manifest, and its kind.
_KINDS: Mapping[str, type] = {
    "swarm": str,
    "engine": str,
    "address": str,
    "pools": list,
    "data_path_port": int,
    "contents": dict,
    "cluster": dict,
    "made": str,
    "sha256": str,
}


def contents(client: Any) -> dict[str, dict[str, str]]:
    """Return names and digests of what is in a swarm, without what belongs to its cluster.

    A secret's content is told to nobody, so its id stands for it: a secret never changes.
    """
    configs = {
        one["Spec"]["Name"]: _digest(one["Spec"])
        for one in client.configs()
        if not one["Spec"]["Name"].startswith(OURS)
    }
    return {
        "services": {one["Spec"]["Name"]: _digest(one["Spec"]) for one in client.services()},
        "networks": {
            one["Name"]: _digest({key: one.get(key) for key in ("Id", "Driver", "Options", "IPAM")})
            for one in client.networks()
            if one.get("Scope") == "swarm"
        },
        "configs": configs,
        "secrets": {
            one["Spec"]["Name"]: _digest([one["ID"], one["Spec"]]) for one in client.secrets()
        },
    }


def _digest(thing: Any) -> str:
    return hashlib.sha256(json.dumps(thing, sort_keys=True).encode()).hexdigest()


def differences(
    before: Mapping[str, Mapping[str, str]], after: Mapping[str, Mapping[str, str]]
) -> list[str]:
    """Say what is not in both, or not the same; empty where nothing differs."""
    said = []
    for kind in sorted({*before, *after}):
        was, present = before.get(kind, {}), after.get(kind, {})
        said += [f"{kind}: {name} is missing" for name in sorted(was.keys() - present.keys())]
        said += [f"{kind}: {name} is new" for name in sorted(present.keys() - was.keys())]
        both = sorted(was.keys() & present.keys())
        said += [f"{kind}: {name} differs" for name in both if was[name] != present[name]]
    # Names of a file that may come from anybody.
    return [text.line(one) for one in said]


def count(found: Mapping[str, Mapping[str, str]]) -> str:
    """Say how many of each kind there are."""
    return ", ".join(f"{len(found[kind])} {kind}" for kind in sorted(found))


def pack(manifest: Mapping[str, Any], copy: BinaryIO, target: BinaryIO) -> None:
    """Write a backup.

    :param copy: of the swarm's state.
    """
    # Each file has one header, however large it is: :func:`member` reads no others.
    with tarfile.open(fileobj=target, mode="w", format=tarfile.GNU_FORMAT) as archive:
        said = json.dumps(manifest, indent=1, sort_keys=True).encode()
        for name, file in ((MANIFEST, io.BytesIO(said)), (COPY, copy)):
            member = tarfile.TarInfo(name)
            member.size = file.seek(0, io.SEEK_END)
            member.mode = 0o600
            file.seek(0)
            archive.addfile(member, file)


@dataclasses.dataclass
class Backup:
    """A backup that was read; ``copy`` is an open file."""

    manifest: dict[str, Any]
    copy: BinaryIO


def unpack(source: BinaryIO) -> Backup:
    """Read a backup and check that it is whole.

    :raises CommandError: if it is no backup, not whole, or of a newer release.
    """
    try:
        manifest = _manifest(b"".join(member(source, MANIFEST, _LONGEST_MANIFEST)))
        copy = tempfile.TemporaryFile()  # noqa: SIM115
        digest = hashlib.sha256()
        for piece in member(source, COPY):
            digest.update(piece)
            copy.write(piece)
        whole = manifest.get("sha256") == digest.hexdigest()
        if whole:
            _check_kinds(manifest)
    except (tarfile.TarError, ValueError) as e:
        raise CommandError(f"This is no backup of a swarm: {one_line(e)}.") from e
    if not whole:
        raise CommandError("The backup is damaged: its content has not the digest it should have.")
    copy.seek(0)
    return Backup(manifest, copy)


def member(archive: BinaryIO, name: str, longest: int | None = None) -> Iterator[bytes]:
    """Yield the contents of the next file of a tar archive, which must be a plain one.

    ``tarfile`` itself follows links in circles, and makes terabytes of a file that is sparse.

    :param archive: open where the file's header begins.
    :param name: that it must have; any where this is empty.
    :param longest: in bytes.
    :raises tarfile.TarError, ValueError: when it is another file, too long, or not whole.
    """
    for _ in range(_MOST_HEADERS):
        found = tarfile.TarInfo.frombuf(archive.read(_BLOCK), "utf-8", "surrogateescape")
        # Nothing of these is needed: names are short.
        if found.type not in _EXTENSIONS or found.size > _LONGEST_EXTENSION:
            break
        archive.read(found.size + -found.size % _BLOCK)
    if found.type not in (tarfile.REGTYPE, tarfile.AREGTYPE) or (name and found.name != name):
        raise ValueError(f"it holds no file {name} where that should be")
    if longest is not None and found.size > longest:
        raise ValueError(f"{name} in it has more than {longest} bytes")
    left = found.size
    while left > 0:
        piece = archive.read(min(left, _PIECE))
        if not piece:
            raise ValueError(f"{name} in it ends too early")
        left -= len(piece)
        yield piece
    archive.read(-found.size % _BLOCK)


def _manifest(said: bytes) -> dict[str, Any]:
    """Return a manifest of this format.

    :raises CommandError: when it is of a newer release.
    :raises ValueError: when it is none.
    """
    manifest = text.parsed(said)
    if not isinstance(manifest, dict):
        raise ValueError("its manifest is no object")
    if (found := manifest.get("format")) != FORMAT:
        raise CommandError(
            f"The backup is of format {text.line(found, 20)}, and this release reads {FORMAT}."
        )
    return manifest


def _check_kinds(manifest: Mapping[str, Any]) -> None:
    """Check that a restore can use a manifest, which is written only for a whole copy.

    :raises ValueError: naming what is of another kind.
    """
    for name, kind in _KINDS.items():
        if type(manifest.get(name)) is not kind:
            raise ValueError(f"its manifest has no good {name}")
    groups = manifest["contents"].values()
    names = [*manifest["pools"], manifest["cluster"].get("name")]
    names += [digest for group in groups if isinstance(group, dict) for digest in group.values()]
    if not all(isinstance(group, dict) for group in groups) or not all(map(_is_text, names)):
        raise ValueError("its manifest has names that are no texts")


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


class LocalFile:
    """A backup in a file of this machine."""

    def __init__(self, name: str) -> None:
        self._path = pathlib.Path(name).absolute()

    def __str__(self) -> str:
        return str(self._path)

    def check(self) -> None:
        """Fail before anything is done where the file could not be written.

        :raises CommandError: with the reason.
        """
        parent = self._path.parent
        if not parent.is_dir() or not os.access(parent, os.W_OK):
            raise CommandError(f"Cannot write to {parent}.")

    def write(self, source: BinaryIO) -> None:
        """Write the file, readable by its owner only, complete or not at all.

        :raises CommandError: if it cannot be written.
        """
        try:
            descriptor, name = tempfile.mkstemp(dir=self._path.parent, prefix=".swarm-backup.")
            fresh = pathlib.Path(name)
            try:
                with os.fdopen(descriptor, "wb") as file:  # mode 0600
                    while piece := source.read(_PIECE):
                        file.write(piece)
                    file.flush()
                    os.fsync(file.fileno())
                fresh.replace(self._path)
            finally:
                fresh.unlink(missing_ok=True)
        except OSError as e:
            raise CommandError(f"Cannot write {self._path}: {e.strerror}.") from e

    def open(self) -> BinaryIO:
        """Return the file, open for reading.

        :raises CommandError: if it cannot be read.
        """
        try:
            return self._path.open("rb")
        except OSError as e:
            raise CommandError(f"Cannot read {self._path}: {e.strerror}.") from e


class StoredObject:
    """A backup in the cloud's object store (Swift), of the project that asks.

    :param http: Magnum's client, whose session and region are used.
    """

    def __init__(self, http: Any, container: str, name: str) -> None:
        self._container, self._name = container, name
        self._store = adapter.Adapter(
            http.session,
            service_type="object-store",
            interface=http.interface,
            region_name=http.region_name,
        )

    def __str__(self) -> str:
        return f"object {self._name} in container {self._container}"

    def _path(self, *parts: str) -> str:
        return "/" + "/".join(parse.quote(part, safe="") for part in (self._container, *parts))

    def _call(self, method: str, path: str, **more: Any) -> Any:
        try:
            return self._store.request(path, method, **more)
        except keystone_errors.EndpointNotFound as e:
            raise CommandError("This cloud has no object store: use --file.") from e
        except keystone_errors.ClientException as e:
            raise CommandError(f"The object store refuses {self}: {one_line(e)}") from e

    def check(self) -> None:
        """Have the container, which is made where it is not there, before anything is done.

        :raises CommandError: if the object store is not there or refuses.
        """
        self._call("PUT", self._path())

    def write(self, source: BinaryIO) -> None:
        """Store the object, and compare the digest of what was stored.

        :raises CommandError: if the object store refuses or has stored something else.
        """
        digest = hashlib.md5(usedforsecurity=False)
        while piece := source.read(_PIECE):
            digest.update(piece)
        source.seek(0)
        # Swift refuses what does not have this digest.
        headers = {"ETag": digest.hexdigest(), "Content-Type": "application/octet-stream"}
        answer = self._call("PUT", self._path(self._name), data=source, headers=headers)
        if answer.headers.get("ETag", "").strip('"') != digest.hexdigest():
            raise CommandError(f"The object store has stored something else as {self}.")

    def open(self) -> BinaryIO:
        """Return the object, fetched, open for reading.

        :raises CommandError: if the object store refuses.
        """
        answer = self._call("GET", self._path(self._name), stream=True)
        file = tempfile.TemporaryFile()  # noqa: SIM115
        for piece in answer.iter_content(_PIECE):
            file.write(piece)
        file.seek(0)
        return file
