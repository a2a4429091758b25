# SPDX-License-Identifier: Apache-2.0
"""Where the templates are: in the package, in a checkout, or where the operator keeps a copy."""

import pathlib

from magnum_swarm_mode import conf, exceptions

_PACKAGE = pathlib.Path(__file__).resolve().parents[2]


def shipped_directories() -> list[pathlib.Path]:
    """Return where this release's own templates may be: in a wheel, or in a checkout."""
    # A wheel has no place beside the package; a checkout keeps templates where people look.
    return [_PACKAGE / "templates" / "heat", _PACKAGE.parent / "templates" / "heat"]


def template_directory() -> pathlib.Path:
    """Return the directory that holds the templates for Heat and cloud-init.

    :raises Inconsistent: when there is no such directory.
    """
    configured = conf.CONF.swarm_mode.template_path
    candidates = [pathlib.Path(configured)] if configured else shipped_directories()
    for candidate in candidates:
        if candidate.is_dir():
            return candidate
    raise exceptions.Inconsistent(
        "The templates for clusters are missing on the server; ask the operator.",
        f"No directory {candidates[-1]}"
        + (" ([swarm_mode] template_path)." if configured else "; reinstall the package."),
    )


def read(name: str) -> str:
    """Return the text of a template, named relative to the directory of templates.

    :raises Inconsistent: when it cannot be read, naming the file to the operator.
    """
    path = template_directory() / name
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        advice = " [swarm_mode] template_path needs a complete copy of this release's templates."
        raise exceptions.Inconsistent(
            f"The template {name} is missing or cannot be read on the server; ask the operator.",
            f"Template {path}: {error}." + (advice if conf.CONF.swarm_mode.template_path else ""),
        ) from error
