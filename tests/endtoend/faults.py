# SPDX-License-Identifier: Apache-2.0
"""A node image whose machines break in a way that their names choose.

It is the ordinary image with a unit that runs before cloud-init, and with additions to the units of
the node program; both run the script below. What happens then is real: the kernel drops packets, a
file system is full, the engine refuses its configuration.
"""

import contextlib
import secrets
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from devcloud import settings
from devcloud.demo import rest
from devcloud.services import resources
from tests.endtoend.users import User

NAME = "failing"  # of image, template and root file system; the clusters' names begin with it
BASE = "docker-20.10"
LIBFAKETIME = "*/faketime/libfaketime.so.1"  # below /usr/lib, by architecture
FAULT = f"""#!/bin/sh
# The host's name says what is wrong with this machine; $1 is "boot" or "prepare".
drop() {{ iptables -w -I OUTPUT -p tcp "$@" -j DROP; }}
case "$1 $(cat /etc/hostname)" in
"boot {NAME}-magnum-"*) drop --dport {settings.MAGNUM_PORT} ;;
"boot {NAME}-join-worker-"*) drop --dport 2377:2378 ;;
"boot {NAME}-late-worker-"*) drop --dport 2377:2378 ;;
"boot {NAME}-timeout-worker-"*) drop --destination {settings.HOST_ADDRESS} ;;
"boot {NAME}-engine-"*) mkdir -p /etc/docker; echo '{{"nonsense": 1}}' >/etc/docker/daemon.json ;;
"boot {NAME}-clock-"*)
    printf '%s\\n' LD_PRELOAD=/usr/local/lib/libfaketime.so.1 FAKETIME=+1d >/run/fault.environment
    ;;
"prepare {NAME}-disk-"*)
    # One file system without room for anything, where the node program writes.
    mkdir -p /run/full
    mount -t tmpfs -o size=512k full /run/full
    for directory in /etc/docker /var/lib/magnum-swarm-mode; do
        copy=/run/full/$(basename $directory)
        mkdir -p $copy $directory
        cp -a $directory/. $copy/
        mount --bind $copy $directory
    done
    ln -sf /run/full/log /var/log/magnum-swarm-mode.log
    cat /dev/zero >/run/full/rest || :
    ;;
esac
"""
CUT = ("iptables", "-w", "-D", "OUTPUT", "-p", "tcp", "--dport", "2377:2378", "-j", "DROP")
FILES = {
    "usr/local/sbin/fault": FAULT,
    "etc/systemd/system/fault.service": (
        "[Unit]\nDescription=What is wrong with this machine\nDefaultDependencies=no\n"
        "After=local-fs.target\nBefore=cloud-init-local.service\n"
        "[Service]\nType=oneshot\nExecStart=/usr/local/sbin/fault boot\n"
    ),
    "etc/systemd/system/magnum-swarm-prepare.service.d/fault.conf": (
        "[Service]\nExecStartPre=/usr/local/sbin/fault prepare\n"
    ),
    "etc/systemd/system/magnum-swarm-node.service.d/fault.conf": (
        "[Service]\nEnvironmentFile=-/run/fault.environment\n"
    ),
}
WANTS = "etc/systemd/system/sysinit.target.wants/fault.service"


@contextlib.contextmanager
def image(user: User) -> Iterator[None]:
    """Have the image, under its name, while the block runs."""
    remove(user)
    root = settings.IMAGES / NAME
    try:
        # Nothing that is there is changed, so that the files can be shared.
        base = (settings.IMAGES / BASE).resolve()
        subprocess.run(["cp", "-al", str(base), str(root)], check=True)
        for name, text in FILES.items():
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        (root / "usr/local/sbin/fault").chmod(0o755)
        (root / WANTS).parent.mkdir(exist_ok=True)
        (root / WANTS).symlink_to("../fault.service")
        shutil.copy(next(Path("/usr/lib").glob(LIBFAKETIME)), root / "usr/local/lib")
        resources.link_image(_register(user), NAME)
        yield
    finally:
        remove(user)


def remove(user: User) -> None:
    """Remove image and root file system; fine when there is none."""
    for found in user.cloud.get("image", f"/v2/images?name={NAME}")["images"]:
        user.cloud.call("DELETE", "image", f"/v2/images/{found['id']}")
        (settings.IMAGES_BY_ID / found["id"]).unlink(missing_ok=True)
    shutil.rmtree(settings.IMAGES / NAME, ignore_errors=True)


def _register(user: User) -> str:
    """Make the image in Glance; its id."""
    wanted = {
        "name": NAME,
        "disk_format": "raw",
        "container_format": "bare",
        "os_distro": settings.OS_DISTRO,
    }
    ident: str = user.cloud.call("POST", "image", "/v2/images", wanted)["id"]
    rest.request(
        "PUT",
        f"{user.cloud.endpoint('image')}/v2/images/{ident}/file",
        secrets.token_hex(8),
        {"X-Auth-Token": user.cloud.token, "Content-Type": "application/octet-stream"},
    )
    return ident
