# SPDX-License-Identifier: Apache-2.0
"""Extracts, compiles and checks the catalogues of translations; see tools/messages."""

from __future__ import annotations

import io
import sys
from pathlib import Path

from babel.messages import catalog, extract, mofile, pofile
from horizon.utils import babel_extract_angular

PACKAGE = Path(__file__).resolve().parent.parent / "magnum_swarm_mode_ui"
LANGUAGES = ("de", "zh_Hans")
_KEYWORDS = {"gettext": None, "ngettext": (1, 2)}


def sources() -> catalog.Catalog:
    """Return the sentences of scripts and pages."""
    found = catalog.Catalog(project="magnum-swarm-mode-ui", fuzzy=False)
    for path in sorted((PACKAGE / "static").rglob("*")):
        if path.suffix == ".js":
            with path.open("rb") as file:
                messages = list(extract.extract("javascript", file, _KEYWORDS))
        elif path.suffix == ".html":
            with path.open("rb") as file:
                messages = [
                    (line, text, comments, None)
                    for line, _, text, comments in babel_extract_angular.extract_angular(
                        file, (), (), {}
                    )
                ]
        else:
            continue
        for _, message, _, _ in messages:
            # Places of sentences change with every line: they are left out.
            found.add(message)
    return found


def path_of(language: str) -> Path:
    """Return where a language's catalogue is."""
    return PACKAGE / "locale" / language / "LC_MESSAGES" / "djangojs.po"


def read(language: str) -> catalog.Catalog:
    """Return a language's catalogue; an empty one where there is none."""
    path = path_of(language)
    if not path.is_file():
        return catalog.Catalog(locale=language, project="magnum-swarm-mode-ui", fuzzy=False)
    with path.open("rb") as file:
        return pofile.read_po(file, locale=language)


def extract_all() -> int:
    """Write what the sources have into each catalogue; translations stay."""
    template = sources()
    for language in LANGUAGES:
        found = read(language)
        found.update(template, no_fuzzy_matching=True)
        found.obsolete.clear()
        found.header_comment = "# SPDX-License-Identifier: Apache-2.0"
        found.fuzzy = False
        # No date: it would differ with each run.
        text = io.BytesIO()
        pofile.write_po(text, found, sort_output=True, omit_header=False, width=100)
        lines = [
            line
            for line in text.getvalue().decode().splitlines(keepends=True)
            if not line.startswith(('"POT-Creation-Date', '"PO-Revision-Date', '"Generated-By'))
        ]
        path_of(language).parent.mkdir(parents=True, exist_ok=True)
        path_of(language).write_text("".join(lines))
    return 0


def compile_all() -> int:
    """Write what Horizon reads."""
    for language in LANGUAGES:
        if path_of(language).is_file():
            with path_of(language).with_suffix(".mo").open("wb") as file:
                mofile.write_mo(file, read(language))
    return 0


def check() -> int:
    """Print the sentences that a catalogue lacks or does not translate."""
    status = 0
    wanted = {message.id for message in sources() if message.id}
    for language in LANGUAGES:
        translated = {
            message.id
            for message in read(language)
            if message.id
            and (all(message.string) if isinstance(message.string, tuple) else message.string)
        }
        for text in sorted(wanted - translated, key=str):
            print(f"{language}: not translated: {text}")
            status = 1
    return status


if __name__ == "__main__":
    sys.exit({"extract": extract_all, "compile": compile_all, "check": check}[sys.argv[1]]())
