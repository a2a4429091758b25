# SPDX-License-Identifier: Apache-2.0
"""The systemd units that do everything again after a reboot."""

from typing import Dict

from ..base import system
from ..base.paths import PROGRAM, Paths

PREPARE = "magnum-swarm-prepare.service"
NODE = "magnum-swarm-node.service"
PROXY = "magnum-swarm-proxy.service"
JOIN = "magnum-swarm-join.service"
RENEW = "magnum-swarm-renew.service"
TIMER = "magnum-swarm-renew.timer"


ALWAYS = "\nRestart=always\nRestartSec=2"


def unit(head: str, body: str, kind: str = "Service", target: str = "multi-user.target") -> str:
    """Return the text of a unit.

    :param head: its description, and further lines of the first section
    :param body: the lines of the second section, whose name is kind; begins with a newline
    :param target: what starts it at boot
    """
    return f"[Unit]\nDescription={head}\n[{kind}]{body}\n[Install]\nWantedBy={target}\n"


def _run(verb: str, lines: str) -> str:
    return f"\nExecStart=/usr/bin/python3 {PROGRAM} {verb}{lines}"


def for_role(is_manager: bool) -> Dict[str, str]:
    """Return a role's units that start at boot: name to text."""
    online = "\nWants=network-online.target\nAfter=network-online.target"
    engine = "\nWants=docker.service\nAfter=docker.service"
    stay = "\nRemainAfterExit=yes"
    files = {
        PREPARE: unit(
            f"What the Docker Engine needs{online}\nBefore=docker.service",
            _run("prepare", f"\nType=oneshot\nTimeoutStartSec=infinity{stay}"),
        ),
        NODE: unit(
            f"Place in the swarm{engine} {PREPARE}\nRequires={PREPARE}",
            _run("run", f"\nType=exec\nRestart=on-failure\nRestartSec=60{stay}"),
        ),
    }
    if is_manager:
        files[JOIN] = unit(
            f"Tokens and certificates for other nodes{engine}", _run("serve", ALWAYS)
        )
        files[RENEW] = unit("Renewal of the certificate", _run("renew", "\nType=oneshot"))
    return files


def timer(interval: int) -> str:
    """Return the timer that looks at the certificate every so many seconds."""
    return unit(
        "Renewal of the certificate",
        f"\nOnBootSec=120\nOnUnitActiveSec={interval}\nAccuracySec={interval // 10}",
        "Timer",
        "timers.target",
    )


def install(files: Dict[str, str], paths: Paths) -> None:
    """Write the units and have them start at boot, but for the one that a timer starts.

    :raises NodeError: when systemd refuses
    """
    # The engine never starts without its volume.
    drop_in = paths.units / "docker.service.d/10-magnum-swarm-mode.conf"
    changed = [system.write(drop_in, f"[Unit]\nRequires={PREPARE}\nAfter={PREPARE}\n")]
    changed += [system.write(paths.units / name, text) for name, text in files.items()]
    if any(changed):
        # By itself it would have systemd read everything once more.
        system.run("systemctl", "enable", "--no-reload", *(name for name in files if name != RENEW))
        system.run("systemctl", "daemon-reload")


def set_timer(interval: int, paths: Paths) -> None:
    """Let the certificate be looked at every so many seconds, from now on."""
    if system.write(paths.units / TIMER, timer(interval)):
        system.run("systemctl", "daemon-reload")
    system.run("systemctl", "restart", TIMER)
