# SPDX-License-Identifier: Apache-2.0
"""A `docker` command for the host: its own, or the one in a node image's root file system."""

import os
import shutil

from devcloud import files, images, settings

_IMAGE = "docker-26.1"


def _host_path(path: str) -> str:
    """A search path without our own directory, which openrc adds."""
    return os.pathsep.join(
        part for part in path.split(os.pathsep) if part not in ("", str(settings.BIN))
    )


def provide() -> None:
    """Make ``settings.BIN/docker`` when the host has no docker command of its own.

    The client in the image is a program of Debian's that needs only the C library; the wrapper
    runs it with the image's loader and libraries, so the host's own do not matter.
    """
    wrapper = settings.BIN / "docker"
    if shutil.which("docker", path=_host_path(os.environ.get("PATH", os.defpath))):
        wrapper.unlink(missing_ok=True)
        return
    root = images.root_path(_IMAGE)
    loaders = sorted(root.glob("lib/ld-linux-*.so.*")) + sorted(root.glob("lib64/ld-linux-*.so.*"))
    if not loaders:
        return
    libraries = ":".join(str(path) for path in sorted(root.glob("usr/lib/*-linux-gnu")))
    text = f'#!/bin/sh\nexec {loaders[-1]} --library-path {libraries} {root}/usr/bin/docker "$@"\n'
    files.write(wrapper, text, 0o755)
