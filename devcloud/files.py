# SPDX-License-Identifier: Apache-2.0
"""Files written whole or not at all, and hashes that say whether something changed."""

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path


def write(path: Path, text: str, mode: int = 0o644) -> bool:
    """Replace ``path`` by ``text`` atomically; return whether that changed anything."""
    try:
        if path.read_text(encoding="utf-8") == text and path.stat().st_mode & 0o777 == mode:
            return False
    except OSError:
        pass
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    # Created with its final mode: a secret is never readable, not even for a moment.
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        os.fchmod(file.fileno(), mode)
        file.write(text)
    temporary.replace(path)
    return True


def read(path: Path) -> str:
    """Return the text of a stamp; empty where there is none."""
    try:
        return path.read_text(encoding="ascii")
    except OSError:
        return ""


def hash_text(*texts: str) -> str:
    """One hash over several texts, that depends on where each ends."""
    digest = hashlib.sha256()
    for text in texts:
        digest.update(f"{len(text)}:".encode() + text.encode())
    return digest.hexdigest()


def hash_tree(root: Path, names: Iterable[str], suffixes: tuple[str, ...] = ()) -> str:
    """One hash over the files ``names`` below ``root`` (directories: all in them) and their paths.

    Byte code does not count, nor does what is not there. With ``suffixes`` only such files count.
    """
    digest = hashlib.sha256()
    for name in sorted(names):
        top = root / name
        found = [top] if top.is_file() else sorted(path for path in top.rglob("*"))
        for path in found:
            if not path.is_file() or "__pycache__" in path.parts:
                continue
            if suffixes and path.suffix not in suffixes:
                continue
            content = path.read_bytes()
            digest.update(f"{path.relative_to(root)}:{len(content)}:".encode() + content)
    return digest.hexdigest()
