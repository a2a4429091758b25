# SPDX-License-Identifier: Apache-2.0
"""A container image for clusters that reach no registry: one static busybox."""

import io
import shutil
import tarfile
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

from tests.endtoend.clusters import Cluster, Server

NAME = "local/busybox:1"
APPLETS = ("sh", "httpd", "wget", "nslookup", "hostname", "awk", "sleep", "echo", "cat", "sort")
WIDTH = 3  # machines that get it at once


@cache
def archive() -> bytes:
    """The file system of the image, as a tar archive.

    :raises AssertionError: this machine has no static busybox
    """
    busybox = shutil.which("busybox")
    assert busybox, "there is no busybox: `tools/devcloud install` brings busybox-static"
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for directory in ("bin", "etc", "tmp", "www"):
            entry = tarfile.TarInfo(directory)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o755
            tar.addfile(entry)
        with Path(busybox).open("rb") as program:
            entry = tar.gettarinfo(arcname="bin/busybox", fileobj=program)
            entry.mode = 0o755
            tar.addfile(entry, program)
        for applet in APPLETS:
            entry = tarfile.TarInfo(f"bin/{applet}")
            entry.type, entry.linkname = tarfile.SYMTYPE, "busybox"
            tar.addfile(entry)
    return buffer.getvalue()


def bring(cluster: Cluster) -> None:
    """Import the image on every worker that lacks it, over ssh.

    :raises shell.CommandError: a worker cannot be reached or refuses
    """
    command = (
        f"docker image inspect {NAME} >/dev/null 2>&1 && cat >/dev/null "
        f"|| docker import - {NAME} >/dev/null"
    )

    def one(server: Server) -> None:
        cluster.machine(server).run(command, stdin=archive())

    with ThreadPoolExecutor(WIDTH) as pool:
        list(pool.map(one, cluster.workers()))
