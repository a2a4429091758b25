# SPDX-License-Identifier: Apache-2.0
"""Extracts, compiles and checks the catalogues of translations; see tools/messages."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import Any, BinaryIO

from babel.messages import catalog, extract, mofile, pofile
from horizon.utils import babel_extract_angular

PACKAGE = Path(__file__).resolve().parent.parent / "magnum_swarm_mode_ui"
LANGUAGES = ("de", "zh_Hans")
# Pages and scripts have a catalogue, what runs on the server another; Django calls them so.
DOMAINS = {"djangojs": (".js", ".html"), "django": (".py",)}
_KEYWORDS = {"_": None, "gettext": None, "ngettext": (1, 2)}
_METHODS = {".js": "javascript", ".py": "python"}


def sources(domain: str) -> catalog.Catalog:
    """Return the sentences of a domain's files."""
    found = catalog.Catalog(project="magnum-swarm-mode-ui", fuzzy=False)
    for path in sorted(PACKAGE.rglob("*")):
        if path.suffix in DOMAINS[domain]:
            with path.open("rb") as file:
                for message in _messages(path.suffix, file):
                    # Places of sentences change with every line: they are left out.
                    found.add(message)
    return found


def _messages(suffix: str, file: BinaryIO) -> list[Any]:
    if suffix == ".html":
        angular = babel_extract_angular.extract_angular(file, (), (), {})
        return [text for _line, _function, text, _comments in angular]
    return [found[1] for found in extract.extract(_METHODS[suffix], file, _KEYWORDS)]


def path_of(language: str, domain: str) -> Path:
    """Return where a language's catalogue is."""
    return PACKAGE / "locale" / language / "LC_MESSAGES" / f"{domain}.po"


def read(language: str, domain: str) -> catalog.Catalog:
    """Return a language's catalogue; an empty one where there is none."""
    path = path_of(language, domain)
    if not path.is_file():
        return catalog.Catalog(locale=language, project="magnum-swarm-mode-ui", fuzzy=False)
    with path.open("rb") as file:
        return pofile.read_po(file, locale=language)


def catalogues() -> list[tuple[str, str]]:
    """Return each pair of language and domain."""
    return [(language, domain) for domain in DOMAINS for language in LANGUAGES]


def write(language: str, domain: str, found: catalog.Catalog) -> None:
    """Write a catalogue, without dates: they would differ with each run."""
    found.header_comment = "# SPDX-License-Identifier: Apache-2.0"
    found.fuzzy = False
    text = io.BytesIO()
    pofile.write_po(text, found, sort_output=True, width=100)
    lines = [
        line
        for line in text.getvalue().decode().splitlines(keepends=True)
        if not line.startswith(('"POT-Creation-Date', '"PO-Revision-Date', '"Generated-By'))
    ]
    path = path_of(language, domain)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(lines))


def extract_all() -> int:
    """Write what the sources have into each catalogue; translations stay."""
    for language, domain in catalogues():
        found = read(language, domain)
        found.update(sources(domain), no_fuzzy_matching=True)
        found.obsolete.clear()
        write(language, domain, found)
    return 0


def compile_all() -> int:
    """Write what Horizon reads."""
    for language, domain in catalogues():
        with path_of(language, domain).with_suffix(".mo").open("wb") as file:
            mofile.write_mo(file, read(language, domain))
    return 0


def check() -> int:
    """Print the sentences that a catalogue does not translate, or has and nobody says."""
    status = 0
    for language, domain in catalogues():
        wanted = {message.id for message in sources(domain) if message.id}
        found = {message.id: message.string for message in read(language, domain) if message.id}
        for text in sorted(wanted, key=str):
            strings = found.get(text) or ""
            if not all(strings if isinstance(strings, tuple) else (strings,)):
                print(f"{language}, {domain}: not translated: {text}")
                status = 1
        for text in sorted(set(found) - wanted, key=str):
            print(f"{language}, {domain}: said by nobody: {text}")
            status = 1
    return status


if __name__ == "__main__":
    sys.exit({"extract": extract_all, "compile": compile_all, "check": check}[sys.argv[1]]())
