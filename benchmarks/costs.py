# SPDX-License-Identifier: Apache-2.0
"""Where the time of a creation goes: processor seconds of each service and of all machines.

With as many cores as this project's machines have (two), a creation lasts about as long as its
processor seconds divided by the cores: of a creation of 3 managers and 8 workers only five seconds
were waiting. What was found when it was looked at first (processor seconds):

- services 56: Neutron 13, heat-engine 10, Nova's API 8, MariaDB 5, nova-conductor 4, Cinder 5,
  Keystone, nova-compute and magnum-conductor 2 each;
- machines 41, of which the bare loop needs 25: the rest is the node program (3), what systemd reads
  again for its units (1.5), and what the engines do for the swarm's networks.

So the services alone take longer on two cores than the bare loop, and the ratio that is aimed at
would leave them a fifth of that. No part of it is idle work that could be left out: it is spread
over some 1300 requests of 10 to 70 ms. The largest that is left is Heat's: once a second it asks
Nova for each server that is not ready, for which Nova asks Neutron twice (8 in all), and that
interval is no option of Heat.
"""

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from devcloud import processes, settings
from devcloud.dataplane import cgroup

MACHINES = "machines"
_TICK = os.sysconf("SC_CLK_TCK")  # per second
_SHOWN = 0.5  # seconds; what took less is summed up


@dataclass(frozen=True)
class Costs:
    """Processor seconds since the start of each, by service; all machines are one."""

    at: float  # on the monotonic clock
    used: Mapping[str, float]
    busy: float  # all processors of the host, whatever they did
    idle: float


def look() -> Costs:
    """What everything has used so far."""
    names = processes.marked_names() | set(processes.recorded_names())
    used: dict[str, float] = {}
    for pid, name in processes.members(names).items():
        used[name] = used.get(name, 0.0) + _of_process(pid)
    used[MACHINES] = _of_machines()
    first = Path("/proc/stat").read_text(encoding="ascii").splitlines()[0]
    ticks = [int(word) for word in first.split()[1:9]]
    idle = ticks[3] + ticks[4]
    return Costs(time.monotonic(), used, (sum(ticks) - idle) / _TICK, idle / _TICK)


def _of_process(pid: int) -> float:
    """Of a process and of its children that have ended; 0 when it is gone."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return 0.0
    return sum(int(word) for word in text.rsplit(")", 1)[1].split()[11:15]) / _TICK


def _of_machines() -> float:
    for top in cgroup.hierarchies():
        accounts = [*(top / settings.CGROUP).glob("*/cpuacct.usage")]
        if accounts:  # version 1, in nanoseconds
            return sum(int(path.read_text(encoding="ascii")) for path in accounts) / 1e9
        accounts = [*(top / settings.CGROUP).glob("*/cpu.stat")]
        if accounts:  # version 2, in microseconds on its first line
            lines = (path.read_text(encoding="ascii").splitlines()[0] for path in accounts)
            return sum(int(line.split()[1]) for line in lines) / 1e6
    return 0.0


def describe(before: Costs, after: Costs) -> str:
    """One line: what was used between two looks, the most expensive first."""
    used = {name: value - before.used.get(name, 0.0) for name, value in after.used.items()}
    total = sum(used.values())
    rows = sorted(used.items(), key=lambda one: -one[1])
    shown = [f"{name} {value:.1f}" for name, value in rows if value >= _SHOWN]
    rest = sum(value for value in used.values() if value < _SHOWN)
    others = after.busy - before.busy - total
    return (
        f"{total:.1f} s of processor in {after.at - before.at:.1f} s: {', '.join(shown)}, "
        f"the rest {rest:.1f}; other processes of the host {others:.1f}, "
        f"idle {after.idle - before.idle:.1f}"
    )
