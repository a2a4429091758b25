# SPDX-License-Identifier: Apache-2.0
"""Where the time of a creation goes: processor seconds of each service and of all machines.

On few processors a creation lasts about as long as its processor seconds divided by their number.
So :class:`Bound` tells what no order of things can better: the services' seconds and those that the
machines take when there is no OpenStack, on all processors without a pause.

The services' part is no idle work that could be left out: it is spread over some 1300 requests of
10 to 70 ms. The largest part of it is Neutron's, then Heat's: once a second that asks Nova for each
server that is not ready, and that interval is no option of Heat. What the machines of a cluster
take more than those of the bare loop is the node program, what systemd reads again for its units,
and what the engines do for the swarm's networks. Figures: doc/source/contributor/measured.rst.
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

    def since(self, before: "Costs") -> "Costs":
        """What was used between two looks; ``at`` is how long that was, in seconds."""
        used = {name: value - before.used.get(name, 0.0) for name, value in self.used.items()}
        at, busy, idle = self.at - before.at, self.busy - before.busy, self.idle - before.idle
        return Costs(at, used, busy, idle)

    @property
    def machines(self) -> float:
        """What all machines used."""
        return self.used.get(MACHINES, 0.0)

    @property
    def services(self) -> float:
        """What all services used."""
        return sum(self.used.values()) - self.machines


@dataclass(frozen=True)
class Bound:
    """What a host's processors allow, whatever is done at the same time as what.

    :ivar loop: seconds that the bare loop took
    :ivar machines: processor seconds of its machines, which are the least that a cluster needs
    :ivar services: processor seconds of the services while the cluster was made
    """

    loop: float
    machines: float
    services: float
    processors: int

    @property
    def ratio(self) -> float:
        """The least that creation can take, as a multiple of the bare loop."""
        return (self.machines + self.services) / self.processors / self.loop

    def services_for(self, ratio: float) -> float:
        """Processor seconds that the services might take at most for that ratio."""
        return ratio * self.loop * self.processors - self.machines

    def describe(self, aim: float) -> str:
        """One sentence."""
        return (
            f"{self.services:.1f} s of processor for the services and {self.machines:.1f} s for "
            f"the machines of the bare loop are {self.ratio:.2f} times its {self.loop:.1f} s on "
            f"{self.processors} processors that never pause; for {aim} times the services might "
            f"take {self.services_for(aim):.1f} s"
        )


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


def _of_machines(root: Path = cgroup.ROOT) -> float:
    tops = cgroup.hierarchies(root)
    # Version 1, in nanoseconds.
    accounts = [path for top in tops for path in (top / settings.CGROUP).glob("*/cpuacct.usage")]
    if accounts:
        return sum(int(path.read_text(encoding="ascii")) for path in accounts) / 1e9
    # Version 2, in microseconds; version 1 has a file of this name that counts something else.
    total = 0
    for top in tops:
        for path in (top / settings.CGROUP).glob("*/cpu.stat"):
            rows = (line.split() for line in path.read_text(encoding="ascii").splitlines())
            total += sum(int(value) for name, value in rows if name == "usage_usec")
    return total / 1e6


def describe(costs: Costs) -> str:
    """One line: what was used between two looks, the most expensive first."""
    total = sum(costs.used.values())
    rows = sorted(costs.used.items(), key=lambda one: -one[1])
    shown = [f"{name} {value:.1f}" for name, value in rows if value >= _SHOWN]
    rest = sum(value for value in costs.used.values() if value < _SHOWN)
    return (
        f"{total:.1f} s of processor in {costs.at:.1f} s: {', '.join(shown)}, the rest {rest:.1f}; "
        f"other processes of the host {costs.busy - total:.1f}, idle {costs.idle:.1f}"
    )
