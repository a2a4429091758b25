# SPDX-License-Identifier: Apache-2.0
"""The files with which the docker command talks to a cluster."""

from __future__ import annotations

import contextlib
import os
import pathlib
import shlex
import tempfile
from collections.abc import Mapping

from magnum_swarm_mode.cli.errors import CommandError

# The names that docker expects in DOCKER_CERT_PATH:
# https://docs.docker.com/engine/security/protect-access/
FILES = ("ca.pem", "cert.pem", "key.pem")


def refuse_existing(directory: pathlib.Path) -> None:
    """Refuse to go on when one of the files is there already.

    :raises CommandError: naming the file.
    """
    for name in FILES:
        if (directory / name).exists():
            raise CommandError(
                f"{directory / name} exists already: add --force to overwrite it, or choose another"
                " --dir."
            )


def write(directory: pathlib.Path, contents: Mapping[str, str]) -> None:
    """Write the files, readable by their owner only and each complete or not at all.

    :param contents: text by file name.
    :raises CommandError: if the directory or a file cannot be written.
    """
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        for name, text in contents.items():
            _write_private(directory / name, text)
    except OSError as e:
        raise CommandError(f"Cannot write to {directory}: {e.strerror}.") from e


def _write_private(path: pathlib.Path, text: str) -> None:
    # mkstemp makes the file with mode 0600, so the key is never readable by others.
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(text)
        pathlib.Path(temporary).replace(path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            pathlib.Path(temporary).unlink()
        raise


def environment(address: str, directory: pathlib.Path, *, tls: bool, shell: str) -> str:
    """Return the lines that make the docker command use the cluster, for the user's shell.

    :param address: the cluster's ``api_address``.
    :param shell: path of the shell; every csh gets ``setenv``.
    """
    assign = "setenv {} {}" if "csh" in pathlib.PurePath(shell).name else "export {}={}"
    # docker takes any text in DOCKER_TLS_VERIFY as yes and an empty one as no.
    values = {
        "DOCKER_HOST": shlex.quote(address),
        "DOCKER_TLS_VERIFY": "1" if tls else "''",
        "DOCKER_CERT_PATH": shlex.quote(str(directory)),
    }
    return "\n".join(assign.format(name, value) for name, value in values.items())
