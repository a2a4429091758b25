# SPDX-License-Identifier: Apache-2.0
"""Hosts on which the pages for operators are followed word by word, and which can lose their power.

A host is a mount, host name and process namespace of this machine: what is written to its
``/etc``, ``/opt`` and ``/var/lib/magnum`` is gone with it, and so are its processes when its first
one dies. The network is the machine's. In place of commands that would touch the machine itself, or
that need systemd, stand short scripts; everything else is the real thing.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import textwrap
from collections.abc import Mapping
from pathlib import Path

from devcloud import infrastructure, settings
from devcloud.demo import shell

_SET_UP = """
set -e
hostname "$NAME"
mount -t tmpfs tmpfs /opt
mkdir /opt/magnum /opt/etc /opt/work /opt/commands /opt/lib /opt/run
mount -t overlay overlay -o lowerdir=/etc,upperdir=/opt/etc,workdir=/opt/work /etc
mount --bind /opt/lib /var/lib/magnum
mount --bind "$VENV" /opt/magnum
cp "$COMMANDS"/* /opt/commands/
# What Debian's package of HAProxy brings.
mkdir -p /etc/haproxy /etc/systemd/system
useradd --system --no-create-home haproxy
echo 'ExecStart=haproxy -db -f /etc/haproxy/haproxy.cfg' > /etc/systemd/system/haproxy.service
echo ready
exec sleep infinity
"""
# As systemd does it: ExecStart as the unit's user, in a session of its own.
_SYSTEMCTL = """#!/bin/bash
set -e
verb=$1; shift
[ "$verb" = daemon-reload ] && exit 0
[ "$1" = --now ] && shift
for unit; do
    file=/etc/systemd/system/$unit.service
    command=$(sed -n 's/^ExecStart=//p' "$file")
    user=$(sed -n 's/^User=//p' "$file")
    become=; [ -n "$user" ] && become="setpriv --reuid $user --regid $user --init-groups"
    setsid $become $command < /dev/null >> "$LOGS/$unit.log" 2>&1 &
done
"""


def _commands(directory: Path) -> None:
    """Write the commands that stand in for those of the machine."""
    image = settings.IMAGES / "docker-20.10"
    libraries = "/usr/lib/x86_64-linux-gnu"
    scripts = {
        "systemctl": _SYSTEMCTL,
        "mysql": f"""#!/bin/sh
            exec setpriv --reuid {infrastructure.DATABASE_UID} --clear-groups mariadb \\
                --no-defaults --socket={infrastructure.DATABASE_SOCKET} --user=root "$@"
            """,
        "rabbitmqctl": f"""#!/bin/sh
            export HOME={infrastructure.RABBIT_DIRECTORY} ERL_EPMD_PORT={settings.EPMD_PORT}
            export RABBITMQ_NODENAME=devcloud@localhost
            cd /
            exec setpriv --reuid {infrastructure.RABBIT_UID} --clear-groups \\
                {_rabbitmqctl()} "$@"
            """,
        # The rules are for a host of its own, so that the kernel gets them in a network of its own.
        "nft": '#!/bin/sh\nexec unshare --net /usr/sbin/nft "$@"\n',
        "haproxy": f"""#!/bin/sh
            exec {image}{libraries}/ld-linux-x86-64.so.2 \\
                --library-path {image}{libraries} {image}/usr/sbin/haproxy "$@"
            """,
    }
    for name, text in scripts.items():
        path = directory / name
        path.write_text(textwrap.dedent(text))
        path.chmod(0o755)


def _rabbitmqctl() -> str:
    [*_, found] = sorted(Path("/usr/lib/rabbitmq/lib").glob("rabbitmq_server-*/sbin/rabbitmqctl"))
    return str(found)


class Controller:
    """A host.

    :param directory: of its own, for logs.
    :param top: what its commands are run in.
    """

    def __init__(self, name: str, address: str, directory: Path, top: Path) -> None:
        self.name = name
        self.address = address
        self._directory = directory
        self._top = top
        self._commands = directory / "commands"
        self._process: subprocess.Popen[str] | None = None
        self._first = 0

    def start(self) -> None:
        """Switch it on."""
        self._commands.mkdir(parents=True)
        self._directory.chmod(0o777)
        _commands(self._commands)
        self._process = subprocess.Popen(
            ["unshare", "--mount", "--uts", "--pid", "--fork", "--kill-child", "--mount-proc",
             "bash", "-c", _SET_UP],
            env={"PATH": shell.SYSTEM_PATH, "NAME": self.name, "VENV": str(settings.VENV),
                 "COMMANDS": str(self._commands)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
        )  # fmt: skip
        assert self._process.stdout is not None
        said = self._process.stdout.readline()
        assert said == "ready\n", f"{self.name} did not start: {said}"
        pid = self._process.pid
        self._first = int(Path(f"/proc/{pid}/task/{pid}/children").read_text())

    def run(self, command: str, environment: Mapping[str, str], timeout: float = 180.0) -> str:
        """Run a shell's command on it and return what it printed.

        :param timeout: seconds.
        :raises shell.CommandError: it failed.
        """
        path = f"/opt/commands:{environment.get('PATH', shell.SYSTEM_PATH)}"
        return shell.capture(
            ["nsenter", "--target", str(self._first), "--mount", "--uts", "--pid",
             f"--wdns={self._top}", "bash", "-ec", command],
            {**environment, "PATH": path, "CONTROLLER": self.address,
             "LOGS": str(self._directory)},
            timeout,
        )  # fmt: skip

    def log(self, unit: str) -> str:
        """What a unit has printed."""
        path = self._directory / f"{unit}.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def power_off(self) -> None:
        """End everything on it at once, as without power; nothing of it stays."""
        if self._process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._first, signal.SIGKILL)
        self._process.wait(30)
        if self._process.stdout is not None:
            self._process.stdout.close()
        self._process = None
