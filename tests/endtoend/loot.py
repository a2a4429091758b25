# SPDX-License-Identifier: Apache-2.0
"""Everything that root finds on a machine, taken apart into what could open a door."""

import base64
import binascii
import gzip
import io
import json
import lzma
import re
import tarfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass

from tests.endtoend.machines import Machine

PLACES = (
    "etc/magnum-swarm-mode",
    "etc/docker",
    "etc/environment",
    "etc/systemd/system",
    "root",
    "run/cloud-init",
    "run/magnum-swarm-mode",
    "usr/local",
    "var/lib/cloud",
    "var/lib/magnum-swarm-mode",
    "var/lib/docker/swarm",
    "var/log/cloud-init.log",
    "var/log/cloud-init-output.log",
    "var/log/magnum-swarm-mode.log",
)
# Variables that systemd and sshd number their children with.
NOISE = ("INVOCATION_ID", "JOURNAL_STREAM", "SYSTEMD_", "WATCHDOG_", "SSH_", "XDG_")
DEPTH = 4  # archives and encodings within each other
LARGEST_SECRET = 255  # characters
_BASE64 = re.compile(rb"[A-Za-z0-9+/\n ]{120,}={0,2}")
LEAST_CHANGES = 4  # between letters and digits: words of programs have fewer
# Each of Heat's special characters counts too: few of its passwords have few digits.
_CHANGE = re.compile(r"(?<=[a-zA-Z])(?=[0-9])|(?<=[0-9])(?=[a-zA-Z])|[!@#%^&*]")
_VARIABLE = re.compile(r"[A-Za-z_]\w*=")
_BLOB = re.compile(r"\S{300,}")  # packed data, which is looked into where it lies unpacked
_URL = re.compile(r"https?://[A-Za-z0-9\[][!#-&*-;=?-\[\]^-z~]*")
_WORD = re.compile(r"[A-Za-z0-9_\-.=+/~]{16,}")
_IDENT = re.compile(r"\b(?:[0-9a-f]{32}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\b")
_KEY = re.compile(
    r"-----BEGIN (?:\w+ )?PRIVATE KEY-----.+?-----END (?:\w+ )?PRIVATE KEY-----", re.S
)
_CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.S)


@dataclass(frozen=True)
class Loot:
    """What was found."""

    files: dict[str, bytes]
    texts: tuple[str, ...]  # all files, with what they contain in any encoding
    urls: frozenset[str]
    idents: frozenset[str]  # what looks like the identity of a user, project or credential
    secrets: frozenset[str]  # what could be a password, secret or token
    keys: tuple[str, ...]  # private keys, PEM
    certificates: tuple[str, ...]  # PEM


def collect(machine: Machine) -> Loot:
    """Take everything from ``machine`` that is in any of the places, and from its metadata."""
    places = " ".join(PLACES)
    archive = machine.run(f"cd / && tar -cz --ignore-failed-read {places} 2>/dev/null || true")
    files = {}
    with tarfile.open(fileobj=io.BytesIO(archive), mode="r:gz") as tar:
        for member in tar.getmembers():
            content = tar.extractfile(member) if member.isfile() else None
            if content is not None:
                files[member.name] = content.read()
    files["the config drive"] = machine.run(
        "d=$(mktemp -d); for label in config-2 CONFIG-2; do "
        "mount -o ro -L $label $d 2>/dev/null && tar -c -C $d . && umount $d; done; "
        "rmdir $d; true"
    )
    files["the metadata service"] = machine.run(
        "for path in meta_data.json user_data vendor_data.json network_data.json; do "
        "curl -s -m 3 http://169.254.169.254/openstack/latest/$path; done; true"
    )
    files["environments"] = machine.run(
        "cat /proc/[0-9]*/environ 2>/dev/null | tr '\\0' '\\n' | grep -Ev '^("
        + "|".join(NOISE)
        + ")' ; true"
    )
    files["command lines"] = machine.run("cat /proc/[0-9]*/cmdline 2>/dev/null; true")
    return take_apart(files)


def take_apart(files: dict[str, bytes]) -> Loot:
    """Find what could open a door in ``files``."""
    texts = tuple(dict.fromkeys(text for content in files.values() for text in layers(content)))
    everything = "\n".join(texts)
    idents = frozenset(_IDENT.findall(everything))
    unpacked = _BLOB.sub(" ", _CERTIFICATE.sub(" ", _KEY.sub(" ", everything)))
    words = {word.strip(".=") for word in _WORD.findall(unpacked)} | set(_leaves(texts))
    return Loot(
        files=files,
        texts=texts,
        urls=frozenset(_URL.findall(everything)),
        idents=idents,
        secrets=frozenset(word for word in words if _could_be_secret(word)),
        keys=tuple(dict.fromkeys(_KEY.findall(everything))),
        certificates=tuple(dict.fromkeys(_CERTIFICATE.findall(everything))),
    )


def _could_be_secret(word: str) -> bool:
    """Long enough, not too long, well mixed, and no path, URL or variable."""
    return (
        16 <= len(word) <= LARGEST_SECRET
        and not any(character.isspace() for character in word)
        and len(_CHANGE.findall(word)) >= LEAST_CHANGES
        and not word.startswith(("/", "http:", "https:"))
        and word.count("/") < 3
        and not _VARIABLE.match(word)
    )


def layers(content: bytes, depth: int = DEPTH) -> Iterator[str]:
    """``content`` as text, and all that is packed or encoded in it."""
    if depth == 0 or not content:
        return
    inner = list(_unpacked(content))
    if not inner:
        text = content.decode(errors="replace")
        yield text.replace("\\n", "\n") if "PRIVATE KEY" in text else text
        for match in _BASE64.finditer(content):
            decoded = _decoded(match[0])
            if decoded is not None:
                inner.append(decoded)
    for one in inner:
        yield from layers(one, depth - 1)


def _decoded(text: bytes) -> bytes | None:
    try:
        decoded = base64.b64decode(re.sub(rb"\s", b"", text), validate=True)
    except (binascii.Error, ValueError):
        return None
    packed = any(True for _ in _unpacked(decoded))
    return decoded if packed or decoded.isascii() else None


def _unpacked(content: bytes) -> Iterator[bytes]:
    """What an archive or compressed file contains."""
    try:
        if content.startswith(b"\x1f\x8b"):
            yield gzip.decompress(content)
        elif content.startswith(b"\xfd7zXZ"):
            yield lzma.decompress(content)
        elif zipfile.is_zipfile(io.BytesIO(content)):
            with zipfile.ZipFile(io.BytesIO(content)) as archive:
                for name in archive.namelist():
                    yield archive.read(name)
    except (OSError, EOFError, lzma.LZMAError, zipfile.BadZipFile, NotImplementedError):
        return


def _leaves(texts: tuple[str, ...]) -> Iterator[str]:
    """Every string in texts that are JSON, and in JSON within their strings."""
    for text in texts:
        for piece in [text, *text.splitlines()]:
            stripped = piece.strip()
            if stripped.startswith(("{", "[")):
                try:
                    yield from _strings(json.loads(stripped))
                except ValueError:
                    continue


def _strings(value: object) -> Iterator[str]:
    if isinstance(value, dict):
        for one in value.values():
            yield from _strings(one)
    elif isinstance(value, list):
        for one in value:
            yield from _strings(one)
    elif isinstance(value, str):
        yield value
        if value.startswith("{"):
            yield from _leaves((value,))
