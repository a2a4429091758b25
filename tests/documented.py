# SPDX-License-Identifier: Apache-2.0
"""The commands that the documentation tells its readers to run, taken from its pages."""

from __future__ import annotations

import dataclasses
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "doc" / "source"
# Files outside of the documentation that it includes or that people read first.
OTHERS = ("README.rst", "CONTRIBUTING.rst", "HACKING.rst")
# A literal block without a language is one of commands, or it gets a language.
_COMMANDS = ("", "bash", "console", "shell", "sh")
_DIRECTIVE = re.compile(r"^( *)\.\. (?:code-block|code|sourcecode)::(?: *(\S+))?\s*$")
_COMMENT = re.compile(r"\s+# .*$")


@dataclasses.dataclass(frozen=True)
class Block:
    """A literal block of a page: its language, its text, and the line that it begins at."""

    language: str
    text: str
    line: int


def pages() -> list[str]:
    """Return all pages, relative to the checkout."""
    found = sorted(str(path.relative_to(ROOT)) for path in SOURCE.rglob("*.rst"))
    return [*OTHERS, *found]


def blocks(page: str) -> Iterator[Block]:
    """Yield the literal blocks of a page.

    :param page: relative to the checkout.
    """
    lines = (ROOT / page).read_text(encoding="utf-8").splitlines()
    number = 0
    while number < len(lines):
        line = lines[number]
        number += 1
        directive = _DIRECTIVE.match(line)
        if directive:
            language, outside = directive[2] or "", len(directive[1])
        elif line.rstrip().endswith("::") and not line.lstrip().startswith(".. "):
            language, outside = "", len(line) - len(line.lstrip())
        else:
            continue
        began, inside = number, []
        while number < len(lines):
            indent = len(lines[number]) - len(lines[number].lstrip())
            if lines[number].strip() and indent <= outside:
                break
            inside.append(lines[number])
            number += 1
        yield Block(language, textwrap.dedent("\n".join(inside)).strip("\n"), began)


def commands(page: str) -> list[str]:
    """Return the commands of a page in their order, each on one line and without comments."""
    found = []
    for block in blocks(page):
        if block.language not in _COMMANDS:
            continue
        # Options of the directive, as :emphasize-lines:, are none of the text.
        text = re.sub(r"\\\n\s*", "", block.text)
        for line in text.splitlines():
            if line and not line.startswith(("#", ":")):
                found.append(_COMMENT.sub("", line))
    return found


def table() -> dict[str, dict[str, Any]]:
    """Return what runs each command: pages to ``followed`` and ``commands``."""
    found: dict[str, dict[str, Any]] = yaml.safe_load(
        (ROOT / "tests/documentation.yaml").read_text()
    )
    return found


def run_here() -> list[str]:
    """Return the commands that are run as they stand in a copy of the checkout."""
    return [
        command
        for page in table().values()
        for command, runner in page.get("commands", {}).items()
        if runner == "here"
    ]
