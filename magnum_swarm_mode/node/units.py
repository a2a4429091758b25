# SPDX-License-Identifier: Apache-2.0
"""The systemd units that do everything again after a reboot."""

from typing import Dict, Tuple

from . import system
from .paths import PROGRAM, Paths

PREPARE = "magnum-swarm-prepare.service"
NODE = "magnum-swarm-node.service"
JOIN = "magnum-swarm-join.service"
RENEW = "magnum-swarm-renew.service"
RENEW_TIMER = "magnum-swarm-renew.timer"
_RUN = f"/usr/bin/python3 {PROGRAM}"

_COMMON = {
    PREPARE: f"""\
[Unit]
Description=Volume, settings and firewall of the Docker Engine
Wants=network-online.target
After=network-online.target
Before=docker.service
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart={_RUN} prepare
TimeoutStartSec=infinity
[Install]
WantedBy=multi-user.target
""",
    # The engine never starts without its volume.
    "docker.service.d/10-magnum-swarm-mode.conf": f"""\
[Unit]
Requires={PREPARE}
After={PREPARE}
""",
    NODE: f"""\
[Unit]
Description=This server's place in the swarm
Requires={PREPARE}
Wants=docker.service
After={PREPARE} docker.service
[Service]
Type=exec
RemainAfterExit=yes
ExecStart={_RUN} run
Restart=on-failure
RestartSec=60
[Install]
WantedBy=multi-user.target
""",
}

_MANAGER = {
    JOIN: f"""\
[Unit]
Description=Worker join tokens for this swarm's servers
After=docker.service
[Service]
ExecStart={_RUN} serve
Restart=always
RestartSec=2
[Install]
WantedBy=multi-user.target
""",
    RENEW: f"""\
[Unit]
Description=Renewal of the manager's certificate
[Service]
Type=oneshot
ExecStart={_RUN} renew
""",
}


def timer(interval: int) -> str:
    """Return the timer that looks at the certificate every so many seconds."""
    return f"""\
[Unit]
Description=Renewal of the manager's certificate
[Timer]
OnBootSec=120
OnUnitActiveSec={interval}
AccuracySec={max(1, interval // 10)}
[Install]
WantedBy=timers.target
"""


def for_role(role: str) -> Tuple[Dict[str, str], Tuple[str, ...]]:
    """Return a role's unit files (name to text) and the names that start at boot."""
    if role != "manager":
        return dict(_COMMON), (PREPARE, NODE)
    files = {**_COMMON, **_MANAGER, RENEW_TIMER: timer(3600)}
    return files, (PREPARE, NODE, JOIN, RENEW_TIMER)


def install(role: str, paths: Paths, more: Dict[str, str]) -> None:
    """Write the units and have them start at boot.

    :param more: further unit files to write and start at boot
    :raises NodeError: when systemd refuses
    """
    files, enabled = for_role(role)
    changed = [system.write(paths.units / name, text) for name, text in {**files, **more}.items()]
    if any(changed):
        system.run("systemctl", "daemon-reload")
        system.run("systemctl", "enable", *enabled, *more)


def set_timer(interval: int, paths: Paths) -> None:
    """Let the certificate be looked at every so many seconds, from now on."""
    if system.write(paths.units / RENEW_TIMER, timer(interval)):
        system.run("systemctl", "daemon-reload")
    system.run("systemctl", "restart", RENEW_TIMER)
