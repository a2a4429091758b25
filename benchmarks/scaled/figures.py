# SPDX-License-Identifier: Apache-2.0
"""What was measured, as numbers and as text; pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

# Seconds of processor and MiB that a pass may cost at a thousand workers.
AIM_PASS_CPU, AIM_PASS_MEMORY = 5.0, 64.0
# How many times as many requests an idle pass may need as one at ten workers.
AIM_REQUESTS = 2.0
# What Heat may cost for a worker, as part of what the removed layout costs.
AIM_SHARE = 0.5
_SERVICES = ("heat-engine", "heat-api", "mariadb", "rabbitmq", "conductor", "cloud")
_ASKED = ("compute", "network", "identity", "docker")


@dataclass(frozen=True)
class Look:
    """Totals at one moment.

    :ivar cpu: seconds of processor of each service so far.
    :ivar asked: requests that each service had so far.
    :ivar messages: that RabbitMQ took so far.
    :ivar rows: in Heat's database.
    :ivar state: MiB of what stacks consist of in Heat's database.
    """

    at: float
    cpu: Mapping[str, float]
    asked: Mapping[str, int]
    messages: int
    rows: int
    state: float
    memory: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Phase:
    """What happened between two looks, to ``changed`` workers."""

    layout: str
    workers: int
    name: str
    changed: int
    before: Look
    after: Look

    @property
    def seconds(self) -> float:
        """How long it took."""
        return self.after.at - self.before.at

    def cpu(self, service: str) -> float:
        """Seconds of processor that a service used."""
        return self.after.cpu.get(service, 0.0) - self.before.cpu.get(service, 0.0)

    def asked(self, service: str) -> int:
        """Return how many requests a service had."""
        return self.after.asked.get(service, 0) - self.before.asked.get(service, 0)

    @property
    def heat(self) -> float:
        """Seconds of processor of Heat with its database and queue, for each worker changed."""
        parts = ("heat-engine", "heat-api", "mariadb", "rabbitmq")
        return sum(map(self.cpu, parts)) / max(1, self.changed)

    def line(self) -> str:
        """Return a line of the table."""
        used = " ".join(f"{self.cpu(name):8.1f}" for name in _SERVICES)
        asked = " ".join(f"{self.asked(name):7}" for name in _ASKED)
        return (
            f"{self.layout:8} {self.workers:5} {self.name:7} | {self.seconds:7.0f} | {used} | "
            f"{1000 * self.heat:8.0f} | {asked} | {self.after.messages - self.before.messages:8} "
            f"{self.after.rows:7} {self.after.state:7.1f} "
            f"{self.after.memory.get('heat-engine', 0.0):7.0f}"
        )


def head() -> str:
    """Return the lines above the table."""
    used = " ".join(f"{name[:8]:>8}" for name in _SERVICES)
    asked = " ".join(f"{name[:7]:>7}" for name in _ASKED)
    return (
        f"{'layout':8} {'nodes':>5} {'':7} | {'':7} | {'seconds of processor':^53} | "
        f"{'Heat, ms':>8} | {'requests to':^31} | {'RPC':>8} {'':7} {'state':>7} {'engine':>7}\n"
        f"{'':8} {'':5} {'':7} | {'seconds':>7} | {used} | {'/ worker':>8} | {asked} | "
        f"{'messages':>8} {'rows':>7} {'MiB':>7} {'MiB':>7}"
    )


def shares(phases: Sequence[Phase]) -> dict[tuple[int, str], float]:
    """Return Heat's cost for a worker as part of the removed layout's.

    :returns: by number of workers and phase, where both layouts were measured.
    """
    costs = {(one.layout, one.workers, one.name): one.heat for one in phases}
    return {
        (workers, name): cost / costs["upstream", workers, name]
        for (layout, workers, name), cost in costs.items()
        if layout == "driver" and costs.get(("upstream", workers, name))
    }


def delta(before: Mapping[str, int], after: Mapping[str, int], least: int = 1) -> list[str]:
    """Return lines of what was counted more than before, the most first."""
    more = {name: count - before.get(name, 0) for name, count in after.items()}
    ordered = sorted(more.items(), key=lambda item: -item[1])
    return [f"{count:8} {name}" for name, count in ordered if count >= least]
